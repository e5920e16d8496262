//! IDX, NumPy and PNG: values that were written come back, and a damaged file keeps all of its records or is refused.

use std::fs::{self, File};
use std::path::Path;

use hashvfl_core::Task;
use hashvfl_data::{LabelsSource, Table, Target, load_labels};
use proptest::prelude::*;

use crate::expected::bits_of;
use crate::{cases, read};

fn load(format: &str, path: &Path) -> Result<Table, String> {
    read(&format!("format = {format:?}\npaths = [{path:?}]"), "")
}

fn idx(records: &[Vec<u8>], height: u32, width: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    [records.len() as u32, height, width].iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    records.iter().for_each(|record| bytes.extend(record));
    bytes
}

fn npy(number: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{number}', 'fortran_order': False, 'shape': ({shape}), }}");
    let padding = 63 - (10 + header.len()) % 64;
    header += &" ".repeat(padding);
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn idx_images_come_back_and_damaged_ones_keep_their_number(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 6), 1..8),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let whole = idx(&records, 2, 3);
        fs::write(&path, &whole).unwrap();
        let table = load("idx", &path).unwrap();
        let expected: Vec<f32> = records.concat().iter().map(|byte| f32::from(*byte) / 255.0).collect();
        prop_assert_eq!(table.matrix.values(), &expected[..]);
        let at = at.index(whole.len());
        fs::write(&path, &whole[..at]).unwrap();
        prop_assert!(load("idx", &path).is_err());
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        fs::write(&path, flipped).unwrap();
        if let Ok(table) = load("idx", &path) {
            prop_assert_eq!(table.ids.len(), records.len());
        }
    }

    #[test]
    fn numpy_columns_come_back_and_damaged_ones_keep_their_number(
        values in prop::collection::vec(any::<f64>(), 2..16),
        big: bool,
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let bytes: Vec<u8> =
            values.iter().flat_map(|value| if big { value.to_be_bytes() } else { value.to_le_bytes() }).collect();
        let whole = npy(if big { ">f8" } else { "<f8" }, &format!("{}, 1", values.len()), &bytes);
        fs::write(&path, &whole).unwrap();
        if let Ok(table) = load("npy", &path) {
            let found: Vec<u32> = table.matrix.values().iter().map(|value| bits_of(*value)).collect();
            let expected: Vec<u32> = values.iter().map(|value| bits_of(*value as f32)).collect();
            prop_assert_eq!(found, expected);
        }
        let ordinary = npy("<i2", "3, 1", &[1, 0, 2, 0, 3, 0]);
        let at = at.index(ordinary.len());
        fs::write(&path, &ordinary[..at]).unwrap();
        prop_assert!(load("npy", &path).is_err());
        let mut flipped = ordinary.clone();
        flipped[at] ^= 1 << bit;
        fs::write(&path, flipped).unwrap();
        if let Ok(table) = load("npy", &path) {
            prop_assert_eq!((table.ids.len(), table.names.len()), (3, 1));
        }
    }

    #[test]
    fn whole_numbers_of_numpy_come_back_or_are_refused(values in prop::collection::vec(any::<i64>(), 1..6), small: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let values: Vec<i64> = values.into_iter().map(|value| if small { value >> 45 } else { value }).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(&path, npy("<i8", &format!("{}, 1", values.len()), &bytes)).unwrap();
        match load("npy", &path) {
            Ok(table) => {
                let expected: Vec<f32> = values.iter().map(|value| *value as f32).collect();
                prop_assert_eq!(table.matrix.values(), &expected[..]);
                prop_assert!(values.iter().all(|value| *value as f64 as i128 == i128::from(*value)));
            }
            Err(message) => prop_assert!(!small, "{message}"),
        }
    }

    #[test]
    fn png_images_come_back_as_they_were_written(
        pixels in prop::collection::vec(any::<u8>(), 12),
        colour: bool,
        deep: bool,
        names in prop::collection::hash_set("([a-cé,.'\u{301}][a-cé ,.'\u{301}]{0,3})?[a-z0-9]", 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (channels, bytes_each) = (if colour { 3 } else { 1 }, if deep { 2 } else { 1 });
        let width = pixels.len() / channels / bytes_each;
        for name in &names {
            let file = File::create(folder.path().join(format!("{name}.png"))).unwrap();
            let mut encoder = png::Encoder::new(file, width as u32, 1);
            encoder.set_color(if colour { png::ColorType::Rgb } else { png::ColorType::Grayscale });
            encoder.set_depth(if deep { png::BitDepth::Sixteen } else { png::BitDepth::Eight });
            encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        }
        let table = load("png", folder.path()).unwrap();
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        prop_assert_eq!(table.ids.iter().collect::<Vec<_>>(), sorted);
        let values: Vec<f32> = if deep {
            pixels.chunks(2).map(|pair| f32::from(u16::from_be_bytes([pair[0], pair[1]])) / 65535.0).collect()
        } else {
            pixels.iter().map(|byte| f32::from(*byte) / 255.0).collect()
        };
        let planes: Vec<f32> =
            (0..channels).flat_map(|channel| values.iter().skip(channel).step_by(channels).copied().collect::<Vec<_>>()).collect();
        prop_assert_eq!(table.matrix.row(0), &planes[..]);
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn idx_labels_come_back_and_damaged_ones_keep_their_number(
        labels in prop::collection::vec(any::<u8>(), 2..12),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels");
        let mut whole = vec![0, 0, 8, 1];
        whole.extend((labels.len() as u32).to_be_bytes());
        whole.extend(&labels);
        let source: LabelsSource = toml::from_str(&format!("format = \"idx\"\npaths = [{path:?}]")).unwrap();
        let load = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            load_labels(&source, Task::Multiclass).map_err(|error| error.to_string())
        };
        let several = labels.iter().any(|label| *label != labels[0]);
        match load(&whole) {
            Ok(found) => {
                let Target::Classes { names, index } = &found.target else { panic!("classes") };
                let found: Vec<u8> = index.iter().map(|class| names[*class as usize].parse().unwrap()).collect();
                prop_assert_eq!(&found, &labels);
            }
            Err(message) => prop_assert!(!several, "{}", message),
        }
        let at = at.index(whole.len());
        prop_assert!(load(&whole[..at]).is_err());
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        if let Ok(found) = load(&flipped) {
            prop_assert_eq!(found.ids.len(), labels.len());
        }
    }

    #[test]
    fn parts_of_numpy_images_come_back(
        bytes in prop::collection::vec(any::<u8>(), 24),
        channels in 1_usize..3,
        top in 0_usize..3,
        left in 0_usize..2,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        // Three rows of two pixels.
        let records = bytes.len() / (6 * channels);
        fs::write(&path, npy("|u1", &format!("{records}, {channels}, 3, 2"), &bytes)).unwrap();
        let crop = format!("crop = {{ top = {top}, left = {left}, height = {}, width = {} }}", 3 - top, 2 - left);
        let table = read(&format!("format = \"npy\"\npaths = [{path:?}]\n{crop}"), "").unwrap();
        prop_assert_eq!(table.ids.len(), records);
        let pixel = |record: usize, channel: usize, row: usize, column: usize| {
            f32::from(bytes[((record * channels + channel) * 3 + row) * 2 + column]) / 255.0
        };
        for record in 0..records {
            let mut expected = Vec::new();
            for channel in 0..channels {
                for row in top..3 {
                    expected.extend((left..2).map(|column| pixel(record, channel, row, column)));
                }
            }
            prop_assert_eq!(table.matrix.row(record), &expected[..]);
        }
    }
}

#[test]
fn a_changed_bit_of_a_png_image_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let mut encoder = png::Encoder::new(File::create(&path).unwrap(), 3, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[7, 0, 255, 3, 4, 5]).unwrap();
    let whole = fs::read(&path).unwrap();
    let expected = load("png", folder.path()).unwrap();
    for bit in 0..8 * whole.len() {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, damaged).unwrap();
        if let Ok(table) = load("png", folder.path()) {
            assert_eq!((table.ids.len(), table.matrix.values()), (1, expected.matrix.values()), "bit {bit}");
        }
    }
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(load("png", folder.path()).is_err(), "{length} bytes");
    }
}
