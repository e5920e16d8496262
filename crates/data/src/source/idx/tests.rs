//! Tables from IDX files: a gzip round trip, crops, and a message for every damaged file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use crate::{ColumnsSource, Crop, IdxColumns, Table, load};

/// An IDX file of `count` images of 2 x 3 whose bytes count up: 0, 51, 102, ... (a fifth each).
fn images(count: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for size in [count, 2, 3] {
        bytes.extend(size.to_be_bytes());
    }
    bytes.extend((0..count * 6).map(|pixel| (pixel % 6 * 51) as u8));
    bytes
}

fn load_paths(paths: &[&Path], crop: Option<Crop>) -> Result<Table, String> {
    let source = ColumnsSource::Idx(IdxColumns { paths: paths.iter().map(PathBuf::from).collect(), crop });
    load(&source).map_err(|error| error.to_string())
}

fn load_bytes(bytes: &[u8], crop: Option<Crop>) -> Result<Table, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images");
    std::fs::write(&path, bytes).unwrap();
    load_paths(&[&path], crop)
}

#[test]
fn gzip_images_are_loaded_and_put_one_below_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let zipped = folder.path().join("a.gz");
    let plain = folder.path().join("b");
    let mut encoder = GzEncoder::new(File::create(&zipped).unwrap(), Compression::fast());
    encoder.write_all(&images(2)).unwrap();
    encoder.finish().unwrap();
    std::fs::write(&plain, images(1)).unwrap();

    let table = load_paths(&[&zipped, &plain], None).unwrap();
    assert_eq!(table.ids, ["0", "1", "2"]);
    assert_eq!(table.names[5], "pixel_1_2");
    assert_eq!((table.matrix.rows(), table.matrix.cols()), (3, 6));
    assert_eq!(table.matrix.row(2), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    let image = table.image.unwrap();
    assert_eq!((image.channels, image.height, image.width), (1, 2, 3));
}

#[test]
fn a_crop_takes_its_rectangle() {
    let crop = Crop { top: 1, left: 1, height: 1, width: 2 };
    let table = load_bytes(&images(2), Some(crop)).unwrap();
    assert_eq!(table.names, ["pixel_1_1", "pixel_1_2"]);
    assert_eq!(table.matrix.values(), [0.8, 1.0, 0.8, 1.0]);
    assert_eq!(table.image.unwrap().height, 1);
}

#[test]
fn a_crop_must_lie_within_the_image() {
    for (top, left, height, width) in [(0, 0, 3, 3), (0, 2, 2, 2), (0, 0, 0, 3), (usize::MAX, 0, 2, 1)] {
        let crop = Crop { top, left, height, width };
        let message = load_bytes(&images(1), Some(crop)).unwrap_err();
        assert!(message.contains("within images of 2 x 3"), "{message}");
    }
}

#[test]
fn damaged_files_are_named_with_what_is_wrong() {
    let good = images(2);
    let with = |position: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[position] = byte;
        bytes
    };
    let mut longer = good.clone();
    longer.push(0);
    for (bytes, expected) in [
        (b"id,a\n1,2\n".to_vec(), "is not an IDX file"),
        (with(2, 0x0d), "is not an IDX file"),
        (with(3, 1), "has 1 dimension instead of 3"),
        (good[..2].to_vec(), "ends after 0 of the 0 records"),
        (good[..10].to_vec(), "ends after 0 of the 0 records"),
        (good[..good.len() - 1].to_vec(), "ends after 1 of the 2 records"),
        (longer, "continues after the 2 records"),
        (images(0), "holds no records"),
        (with(4, 0xff), "but at most"),
        (with(8, 0xff), "but at most"),
        (with(11, 0), "within images of 0 x 3"),
    ] {
        let message = load_bytes(&bytes, None).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn files_with_images_of_two_sizes_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a"), folder.path().join("b"));
    std::fs::write(&first, images(1)).unwrap();
    let mut other = images(1);
    (other[11], other[15]) = (3, 2);
    std::fs::write(&second, other).unwrap();
    let message = load_paths(&[&first, &second], None).unwrap_err();
    assert!(message.contains("3 x 2 pixels, but the first has 2 x 3"), "{message}");
}

#[test]
fn a_gzip_file_that_is_cut_off_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gz");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&images(50)).unwrap();
    let bytes = encoder.finish().unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let message = load_paths(&[&path], None).unwrap_err();
    assert!(message.contains("a.gz ends after"), "{message}");
    assert!(load_paths(&[], None).unwrap_err().contains("`paths` is empty"));
}

proptest! {
    /// All records are read, or the file is refused: one that is cut off or goes on is.
    #[test]
    fn no_record_is_lost(count in 1_u32..20, cut in 1_usize..40) {
        let bytes = images(count);
        prop_assert_eq!(load_bytes(&bytes, None).unwrap().ids.len(), count as usize);
        let whole = bytes.len().saturating_sub(cut);
        prop_assert!(load_bytes(&bytes[..whole], None).is_err());
        prop_assert!(load_bytes(&[bytes, vec![0; cut]].concat(), None).is_err());
    }
}
