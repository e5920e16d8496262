//! Tables from folders of PNG images: ids from names, depths and colours, and a message for every fault.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType};

use crate::encoding::content::is_faulty;
use crate::source::png::folder::list;
use crate::{ColumnsSource, Crop, Faulty, PngColumns, Table, Treatment, load, load_as};
use crate::{TableError, fingerprint};

fn write(path: &Path, (width, height): (u32, u32), (color, depth): (ColorType, BitDepth), bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        encoder.set_palette(vec![0, 0, 0, 255, 0, 51]);
    }
    encoder.write_header().unwrap().write_image_data(bytes).unwrap();
}

const GREY: (ColorType, BitDepth) = (ColorType::Grayscale, BitDepth::Eight);

fn source(paths: &[&Path], crop: Option<Crop>) -> ColumnsSource {
    ColumnsSource::Png(PngColumns { paths: paths.iter().map(PathBuf::from).collect(), crop })
}

fn load_folder(folder: &Path, crop: Option<Crop>) -> Result<Table, String> {
    let message = |error: TableError| {
        let message = error.to_string();
        assert!(!message.contains("secret"), "{message}");
        message
    };
    load(&source(&[folder], crop)).map_err(message)
}

#[test]
fn images_are_records_in_the_order_of_names_and_names_are_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("k10.png"), (3, 2), GREY, &[0, 51, 102, 153, 204, 255]);
    write(&path("b/k1.PNG"), (3, 2), GREY, &[255; 6]);
    write(&path(" k2 .png"), (3, 2), (ColorType::Grayscale, BitDepth::Sixteen), &[128; 12]);
    fs::write(path("labels.csv"), "id,y\n").unwrap();
    let table = load_folder(folder.path(), None).unwrap();
    assert_eq!(table.ids, ["b/k1", "k10", "k2"]);
    assert_eq!(table.names[5], "pixel_1_2");
    assert_eq!(table.matrix.row(1), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    assert!(table.matrix.row(2).iter().all(|value| *value == 32_896.0 / 65_535.0));
    let remarks = source(&[folder.path()], None).remarks().unwrap();
    assert!(remarks[0].starts_with("ignored 1 file: names that do not end in .png"), "{remarks:?}");
    let crop = Crop { top: 1, left: 1, height: 1, width: 2 };
    let cropped = load_folder(folder.path(), Some(crop)).unwrap();
    assert_eq!((cropped.matrix.row(1), cropped.names[0].as_str()), (&[0.8, 1.0][..], "pixel_1_1"));

    let source = source(&[folder.path()], None);
    let mut ids = Vec::new();
    source
        .ids()
        .visit(|id| {
            ids.push(id.to_owned());
            Ok::<(), TableError>(())
        })
        .unwrap();
    assert_eq!((ids, source.ids().count_at_most().unwrap()), (table.ids, 3));
    let before = fingerprint(source.files()).unwrap();
    assert_eq!(fingerprint(source.files()).unwrap(), before);
    hashvfl_files::rename_durably(&path(" k2 .png"), &path("k3.png")).unwrap();
    assert_ne!(fingerprint(source.files()).unwrap(), before);
}

#[test]
fn colours_come_channel_by_channel_and_palettes_are_colours() {
    let folder = tempfile::tempdir().unwrap();
    let rgb = [255, 0, 51, 0, 255, 51];
    write(&folder.path().join("a.png"), (2, 1), (ColorType::Rgb, BitDepth::Eight), &rgb);
    write(&folder.path().join("b.png"), (2, 1), (ColorType::Indexed, BitDepth::Eight), &[1, 0]);
    let table = load_folder(folder.path(), None).unwrap();
    assert_eq!(
        table.names,
        ["pixel_0_0_0", "pixel_0_0_1", "pixel_1_0_0", "pixel_1_0_1", "pixel_2_0_0", "pixel_2_0_1"]
    );
    assert_eq!(table.matrix.row(0), [1.0, 0.0, 0.0, 1.0, 0.2, 0.2]);
    assert_eq!(table.matrix.row(1), [1.0, 0.0, 0.0, 0.0, 0.2, 0.0]);
    assert_eq!(table.image.unwrap().channels, 3);
    let bits = tempfile::tempdir().unwrap();
    write(&bits.path().join("a.png"), (2, 1), (ColorType::Grayscale, BitDepth::One), &[0b0100_0000]);
    assert_eq!(load_folder(bits.path(), None).unwrap().matrix.row(0), [0.0, 1.0]);
}

#[test]
fn one_image_that_cannot_be_used_stops_no_serving() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write(&path("c.png"), (3, 2), GREY, &[255; 6]);
    let whole = fs::read(path("c.png")).unwrap();
    fs::write(path("a.png"), &whole[..whole.len() - 20]).unwrap();
    fs::write(path("b.png"), "no image").unwrap();
    write(&path("d.png"), (2, 2), GREY, &[7; 4]);
    write(&path("e.png"), (3, 2), (ColorType::Rgba, BitDepth::Eight), &[7; 24]);
    write(&path("f.png"), (3, 2), GREY, &[0; 6]);
    let source = source(&[folder.path()], None);
    for faulty in [Faulty::Mark, Faulty::Fill] {
        let table = load_as(&source, &Treatment { faulty, ..Treatment::default() }).unwrap();
        assert_eq!(table.ids.concat(), "abcdef");
        let unusable =
            (0..6).map(|row| table.matrix.row(row).iter().all(|value| is_faulty(*value))).collect::<Vec<_>>();
        assert_eq!(unusable, [true, true, false, true, true, false]);
        assert_eq!(table.matrix.row(2), [1.0; 6]);
    }
    assert!(load(&source).unwrap_err().to_string().contains("image 1 of"));
    for name in ["c.png", "d.png", "f.png"] {
        fs::remove_file(path(name)).unwrap();
    }
    let none = load_as(&source, &Treatment { faulty: Faulty::Mark, ..Treatment::default() });
    assert!(none.unwrap_err().to_string().contains("image 1 of"), "the first says why");
}

#[test]
fn an_image_that_is_shown_turned_is_known_by_its_exif_data() {
    let folder = tempfile::tempdir().unwrap();
    for (name, exif) in
        [("a", None), ("b", Some(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"))]
    {
        let file = File::create(folder.path().join(name).with_extension("png")).unwrap();
        let mut encoder = png::Encoder::new(file, 3, 2);
        encoder.set_color(ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[51; 6]).unwrap();
        // Behind the pixels, where it is as valid as before them.
        if let Some(exif) = exif {
            writer.write_chunk(png::chunk::eXIf, exif).unwrap();
        }
    }
    let folders = [folder.path().to_owned()];
    let images = list(&folders).unwrap();
    let decoded: Vec<_> = images.iter().map(|image| image.decode(|_| Ok(())).unwrap()).collect();
    assert_eq!(decoded, [(vec![0.2; 6], false), (vec![0.2; 6], true)]);
}

#[test]
fn faults_are_placed_by_number_and_no_name_is_shown() {
    let refused = |build: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a.png"), (3, 2), GREY, &[7; 6]);
        build(folder.path());
        load_folder(folder.path(), None).unwrap_err()
    };
    let other_size = refused(&|at| write(&at.join("secret.png"), (2, 2), GREY, &[7; 4]));
    assert!(
        other_size.contains("image 2 of") && other_size.contains("2 x 2 pixels, but the first has 2 x 3"),
        "{other_size}"
    );
    let colour =
        refused(&|at| write(&at.join("secret.png"), (3, 2), (ColorType::Rgb, BitDepth::Eight), &[7; 18]));
    assert!(colour.contains("3 channels of 2 x 3 pixels, but the first has 2 x 3"), "{colour}");
    let rgba = (ColorType::Rgba, BitDepth::Eight);
    let alpha = refused(&|at| write(&at.join("secret.png"), (3, 2), rgba, &[7; 24]));
    assert!(alpha.contains("image 2 of") && alpha.contains("without an alpha channel"), "{alpha}");
    let twice = refused(&|at| write(&at.join("a.PNG"), (3, 2), GREY, &[7; 6]));
    assert!(twice.starts_with("1 image with the name of an earlier one"), "{twice}");
    let text = refused(&|at| fs::write(at.join("secret.png"), "no image").unwrap());
    assert!(text.contains("image 2 of") && text.contains("not a complete PNG image"), "{text}");
    for cut in 1..67 {
        let cut_off = refused(&|at| {
            let bytes = fs::read(at.join("a.png")).unwrap();
            fs::write(at.join("secret.png"), &bytes[..bytes.len().saturating_sub(cut)]).unwrap();
        });
        assert!(cut_off.contains("not a complete PNG image"), "{cut}: {cut_off}");
    }
    let flipped = refused(&|at| {
        let mut bytes = fs::read(at.join("a.png")).unwrap();
        let at_checksum = bytes.len() - 13; // of the pixels' chunk: the last 12 bytes are the end
        bytes[at_checksum] ^= 1;
        fs::write(at.join("secret.png"), bytes).unwrap();
    });
    assert!(flipped.contains("not a complete PNG image"), "{flipped}");

    let line = refused(&|at| write(&at.join("se\ncret.png"), (3, 2), GREY, &[7; 6]));
    assert!(line.contains("a line break"), "{line}");

    let folder = tempfile::tempdir().unwrap();
    assert!(load_folder(folder.path(), None).unwrap_err().contains("holds no records"));
    let photos = tempfile::tempdir().unwrap();
    fs::write(photos.path().join("secret.jpg"), "a photo").unwrap();
    let none = load_folder(photos.path(), None).unwrap_err();
    assert!(none.contains("ends in .png, but 1 file with other names"), "{none}");
    assert!(load_folder(&folder.path().join("none"), None).unwrap_err().contains("cannot open"));
    write(&folder.path().join("large.png"), (257, 256), GREY, &vec![0; 257 * 256]);
    assert!(load_folder(folder.path(), None).unwrap_err().contains("but at most"));
    let mut deep = folder.path().to_owned();
    (0..20).for_each(|_| deep.push("d"));
    fs::create_dir_all(deep).unwrap();
    assert!(load_folder(folder.path(), None).unwrap_err().contains("more than 16 deep"));
}
