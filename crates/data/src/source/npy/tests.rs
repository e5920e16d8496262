//! Tables from NumPy files, whose bytes are written here as numpy.save writes them, and a message for every fault.

use std::path::PathBuf;

use proptest::prelude::*;

use crate::encoding::content::{Content, is_faulty};
use crate::encoding::treatment::{Faulty, Missing, Treatment};
use crate::{ColumnsSource, Crop, Encoding, NpyColumns, Table, load_as};

/// A file of version 1, its header padded to 64 bytes.
fn npy(number: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{number}', 'fortran_order': False, 'shape': ({shape}), }}");
    let padding = 63 - (10 + header.len()) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn load_files(files: &[Vec<u8>], crop: Option<Crop>, treatment: &Treatment) -> Result<Table, String> {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..files.len()).map(|at| folder.path().join(format!("{at}.npy"))).collect();
    paths.iter().zip(files).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    load_as(&ColumnsSource::Npy(NpyColumns { paths, crop }), treatment).map_err(|error| error.to_string())
}

fn load_one(bytes: Vec<u8>) -> Result<Table, String> {
    load_files(&[bytes], None, &Treatment::default())
}

#[test]
fn rows_of_numbers_are_columns_and_files_stand_one_below_the_other() {
    let files =
        [npy("<f4", "2, 2", &floats(&[1.5, -2.0, 3.0, 4.0])), npy("<i2", "1, 2", &[7, 0, 0xff, 0xff])];
    let table = load_files(&files, None, &Treatment::default()).unwrap();
    assert_eq!(
        (table.ids, table.names),
        (["0", "1", "2"].map(String::from).to_vec(), vec!["column_0".into(), "column_1".into()])
    );
    assert_eq!(table.matrix.values(), [1.5, -2.0, 3.0, 4.0, 7.0, -1.0]);
    assert_eq!(table.image, None);
    let mut second = npy("<f4", "1, 1", &floats(&[5.0]));
    second[6] = 2; // version 2: a header's length takes four bytes
    second.splice(10..10, [0, 0]);
    assert_eq!(load_one(second).unwrap().matrix.values(), [5.0]);
}

#[test]
fn numbers_that_stand_for_a_missing_value_do_so() {
    let file = || npy("<f4", "2, 2", &floats(&[1.5, -999.0, -999.0, 4.0]));
    let treatment =
        Treatment { null_values: vec!["-999".to_owned()], missing: Missing::Fill, ..Treatment::default() };
    let table = load_files(&[file()], None, &treatment).unwrap();
    assert!(table.matrix.row(0)[1].is_nan() && table.matrix.row(1)[0].is_nan());
    assert_eq!((table.matrix.row(0)[0], table.matrix.row(1)[1]), (1.5, 4.0));
    let strict = Treatment { missing: Missing::Error, ..treatment.clone() };
    assert!(load_files(&[file()], None, &strict).unwrap_err().contains("a missing value"));
    // 32 bits hold no -99.9, and neither width holds what people write for 1e20.
    let null_values = vec!["-99.90".to_owned(), "1e+20".to_owned()];
    let treatment = Treatment { null_values, ..treatment };
    let doubles: Vec<u8> = [-99.9_f64, 7.0, 1e20].iter().flat_map(|value| value.to_le_bytes()).collect();
    for file in [npy("<f4", "3, 1", &floats(&[-99.9, 7.0, 1e20])), npy("<f8", "3, 1", &doubles)] {
        let table = load_files(&[file], None, &treatment).unwrap();
        let missing: Vec<bool> = table.matrix.values().iter().map(|value| value.is_nan()).collect();
        assert_eq!(missing, [true, false, true]);
    }
}

#[test]
fn one_record_that_cannot_be_used_stops_no_serving() {
    let served = Treatment { faulty: Faulty::Mark, ..Treatment::default() };
    let unusable = |table: &Table| -> Vec<bool> {
        (0..table.ids.len()).map(|row| table.matrix.row(row).iter().all(|value| is_faulty(*value))).collect()
    };
    let images = npy("<f4", "3, 1, 2", &floats(&[0.5, 1.0, f32::NAN, 0.0, 0.25, f32::INFINITY]));
    let table = load_files(std::slice::from_ref(&images), None, &served).unwrap();
    assert_eq!((unusable(&table), table.matrix.row(0)), (vec![false, true, true], &[0.5, 1.0][..]));
    assert!(load_one(images).unwrap_err().contains("not finite"));
    let wide: Vec<u8> = [7_i64, (1 << 53) + 1, 9].iter().flat_map(|value| value.to_le_bytes()).collect();
    for shape in ["3, 1", "3, 1, 1"] {
        let file = npy("<i8", shape, &wide);
        let table = load_files(std::slice::from_ref(&file), None, &served).unwrap();
        assert_eq!(
            (unusable(&table), table.matrix.row(2)),
            (vec![false, true, false], &[9.0][..]),
            "{shape}"
        );
        assert!(load_one(file).unwrap_err().contains("more digits"), "{shape}");
    }
}

#[test]
fn types_and_missing_values_are_those_of_the_config() {
    let treatment = Treatment {
        types: toml::from_str("column_1 = \"category\"").unwrap(),
        missing: Missing::Fill,
        ..Treatment::default()
    };
    let bytes = npy("<f4", "3, 2", &floats(&[f32::NAN, 7.0, 1.0, 9.0, 2.0, 7.0]));
    let table = load_files(std::slice::from_ref(&bytes), None, &treatment).unwrap();
    assert!(table.matrix.row(0)[0].is_nan());
    assert_eq!(table.matrix.row(2), [2.0, 0.0]);
    assert_eq!(table.contents, [Content::Number, Content::Category(vec!["7".into(), "9".into()])]);
    let message = load_one(bytes).unwrap_err();
    assert!(message.contains("record 0 (from 0), \"column_0\": a missing value (NaN)"), "{message}");
    let unknown =
        Treatment { types: toml::from_str("column_2 = \"number\"").unwrap(), ..Treatment::default() };
    let message = load_files(&[npy("|u1", "1, 2", &[1, 2])], None, &unknown).unwrap_err();
    assert!(message.contains("no column \"column_2\", which `types` names"), "{message}");
}

#[test]
fn images_are_pixels_and_bytes_among_them_go_from_0_to_1() {
    let grey = load_one(npy("|u1", "2, 1, 3", &[0, 51, 255, 51, 0, 0])).unwrap();
    assert_eq!(grey.matrix.row(0), [0.0, 0.2, 1.0]);
    assert_eq!(grey.names, ["pixel_0_0", "pixel_0_1", "pixel_0_2"]);
    let crop = Some(Crop { top: 1, left: 0, height: 1, width: 1 });
    let values: Vec<f32> = (0..8).map(|value| value as f32).collect();
    let colour = npy("<f4", "1, 2, 2, 2", &floats(&values));
    let table = load_files(&[colour], crop, &Treatment::default()).unwrap();
    assert_eq!(table.matrix.values(), [2.0, 6.0], "floats stay as they are");
    assert_eq!(table.names, ["pixel_0_1_0", "pixel_1_1_0"]);
    let image = table.image.unwrap();
    assert_eq!((image.channels, image.height, image.width), (2, 1, 1));
    let crop = Some(Crop { top: 0, left: 0, height: 2, width: 1 });
    let message = load_files(&[npy("|u1", "1, 1, 1", &[0])], crop, &Treatment::default()).unwrap_err();
    assert!(message.contains("within images of 1 x 1"), "{message}");
    let message = load_files(&[npy("|u1", "1, 1", &[0])], crop, &Treatment::default()).unwrap_err();
    assert!(message.contains("`crop` is for images"), "{message}");
}

#[test]
fn pixels_of_two_scales_are_no_list_and_not_those_of_a_trained_model() {
    let (bytes, numbers) = (npy("|u1", "2, 1, 1", &[0, 255]), npy("<f4", "2, 1, 1", &floats(&[0.0, 255.0])));
    let treatment = Treatment::default();
    for files in [[bytes.clone(), numbers.clone()], [numbers.clone(), bytes.clone()]] {
        let message = load_files(&files, None, &treatment).unwrap_err();
        assert!(message.contains("1.npy holds pixels of another type than the first file"), "{message}");
    }
    for (trained, served) in [(&bytes, &numbers), (&numbers, &bytes)] {
        let encoding = Encoding::fit(&load_one(trained.clone()).unwrap(), &[0, 1], &treatment).unwrap();
        let encoding = Encoding::from_text(&encoding.to_text()).unwrap();
        assert!(encoding.encode(load_one(trained.clone()).unwrap(), &treatment).is_ok());
        let message = encoding.encode(load_one(served.clone()).unwrap(), &treatment).unwrap_err().to_string();
        assert!(message.contains("in training, so the same picture"), "{message}");
        // A model of before knows nothing of it.
        let older =
            encoding.to_text().replace(",\"pixels\":\"bytes\"", "").replace(",\"pixels\":\"numbers\"", "");
        let older = Encoding::from_text(&older).unwrap();
        assert!(older.encode(load_one(served.clone()).unwrap(), &treatment).is_ok());
        assert!(!older.to_text().contains("pixels\":"), "its text, of which digests are taken, stays");
    }
}

#[test]
fn damaged_files_are_named_with_what_is_wrong() {
    let good = npy("|u1", "2, 2", &[1, 2, 3, 4]);
    let with = |from: &str, to: &str| {
        let at = good.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let longer = [good.as_slice(), &[0]].concat();
    let mut version = good.clone();
    version[6] = 4;
    for (bytes, expected) in [
        (b"PK\x03\x04 an archive".to_vec(), "is not a .npy file"),
        (version, "is not a .npy file"),
        (good[..9].to_vec(), "ends after 0 of the 0 records"),
        (good[..40].to_vec(), "ends after 0 of the 0 records"),
        (good[..good.len() - 1].to_vec(), "ends after 1 of the 2 records"),
        (longer, "continues after the 2 records"),
        (with("False", "True "), "Fortran order"),
        (with("|u1", "<f2"), "not one of bool, whole numbers"),
        (with("shape", "shade"), "does not describe an array of numbers"),
        (npy("|u1", "4", &[1, 2, 3, 4]), "an array of 1 dimension, expected"),
        (npy("|u1", "1, 1, 1, 2, 2", &[1, 2, 3, 4]), "an array of 5 dimensions"),
        (npy("|u1", "0, 2", &[]), "holds no records"),
        (npy("|u1", "2, 0", &[]), "no column left"),
        (npy("|u1", "2, 0, 3", &[]), "within images of 0 x 3"),
        (npy("|u1", "18446744073709551615, 2", &[]), "but at most"),
        (npy("|u1", "2, 18446744073709551615", &[]), "but at most"),
        (npy("|u1", "2, 18446744073709551615, 3, 9", &[]), "but at most"),
        (
            npy("<f4", "1, 1", &floats(&[f32::INFINITY])),
            "record 0 (from 0), \"column_0\": a value that is not finite",
        ),
        (
            npy("<f4", "1, 1, 1", &floats(&[f32::NAN])),
            "record 0 (from 0), \"pixel_0_0\": a value that is not finite",
        ),
    ] {
        let message = load_one(bytes).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
    let two = |second: Vec<u8>| load_files(&[good.clone(), second], None, &Treatment::default()).unwrap_err();
    assert!(two(npy("|u1", "1, 3", &[1, 2, 3])).contains("has 3 columns, but the first file has 2"));
    assert!(two(npy("|u1", "1, 1, 1", &[1])).contains("3 dimensions"));
    let images = [npy("|u1", "1, 1, 2", &[1, 2]), npy("|u1", "1, 2, 1", &[1, 2])];
    let message = load_files(&images, None, &Treatment::default()).unwrap_err();
    assert!(message.contains("2 x 1 pixels, but the first has 1 x 2"), "{message}");
}

#[test]
fn images_whose_channels_come_last_are_refused() {
    let message = load_one(npy("|u1", "1, 6, 5, 3", &[0; 90])).unwrap_err();
    assert!(message.contains("[records, 6, 5, 3]") && message.contains("moveaxis"), "{message}");
    assert!(load_one(npy("|u1", "1, 3, 6, 5", &[0; 90])).is_ok());
    assert!(load_one(npy("|u1", "1, 3, 2, 2", &[0; 12])).is_ok());
}

#[test]
fn whole_numbers_that_fall_together_are_refused() {
    let words = |from: i64| (0..100).flat_map(|row: i64| (from + row).to_le_bytes()).collect::<Vec<u8>>();
    let message = load_one(npy("<i8", "100, 1", &words(1_700_000_000))).unwrap_err();
    assert!(message.contains("\"column_0\": 100 distinct numbers become 2"), "{message}");
    let message = load_one(npy("<i8", "100, 1", &words((1 << 53) + 1))).unwrap_err();
    assert!(
        message.contains("more digits than a 64-bit float can hold") && !message.contains("9007"),
        "{message}"
    );
    assert!(load_one(npy("<i8", "100, 1", &words(1_000))).is_ok());
}

proptest! {
    /// What was written is read back; a file that is cut off or goes on is refused.
    #[test]
    fn what_was_written_is_read_back(values in prop::collection::vec(-1e3_f32..1e3, 1..40), cut in 0_usize..8) {
        let bytes = npy("<f4", &format!("{}, 1", values.len()), &floats(&values));
        let table = load_one(bytes.clone()).unwrap();
        prop_assert_eq!(table.matrix.values(), &values[..]);
        let cut_off = bytes[..bytes.len() - 1 - cut].to_vec();
        prop_assert!(load_one(cut_off).is_err());
        prop_assert!(load_one([bytes, vec![0; cut + 1]].concat()).is_err());
    }
}
