//! The loaders on real files, where they are; skipped with a message where they are not.

use std::path::{Path, PathBuf};

use hashvfl_core::Task;
use hashvfl_data::{
    ColumnsSource, Crop, CsvColumns, CsvLabels, IdxLabels, ImageColumns, LabelsSource, Preprocessing, Target,
    load, load_labels,
};

/// A file of the shared data sets, or `None` and a line that says why the test is skipped.
fn shared(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = folder.join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

#[test]
fn credit_default() {
    let Some(path) = shared("credit-default/guest.csv") else {
        return;
    };
    let source = ColumnsSource::Csv(CsvColumns {
        paths: vec![path.clone()],
        id: "id".into(),
        columns: None,
        ignore: vec!["y".to_owned()],
        image: None,
    });
    let mut table = load(&source).unwrap();
    assert_eq!((table.matrix.rows(), table.matrix.cols()), (30_000, 13));
    let rows: Vec<u32> = (0..24_000).collect();
    Preprocessing::Standardize.fit_apply(&mut table.matrix, &rows, Some(10.0)).unwrap();
    assert!(table.matrix.values().iter().all(|value| value.abs() <= 10.0));

    let labels = load_labels(
        &LabelsSource::Csv(CsvLabels { paths: vec![path], id: "id".into(), column: "y".to_owned() }),
        Task::Binary,
    )
    .unwrap();
    assert_eq!(labels.ids, table.ids);
    let Target::Classes { names, index } = labels.target else {
        panic!("expected classes");
    };
    assert_eq!(names, ["0", "1"]);
    assert_eq!(index.iter().sum::<u32>(), 6_636);
}

#[test]
fn mnist() {
    let images = shared("mnist/t10k-images-idx3-ubyte.gz");
    let labels = shared("mnist/t10k-labels-idx1-ubyte.gz");
    let (Some(images), Some(labels)) = (images, labels) else {
        return;
    };
    let table = load(&ColumnsSource::Idx(ImageColumns {
        paths: vec![images],
        crop: Some(Crop { top: 0, left: 14, height: 28, width: 14 }),
    }))
    .unwrap();
    assert_eq!((table.matrix.rows(), table.matrix.cols()), (10_000, 392));
    assert!(table.matrix.values().iter().all(|value| (0.0..=1.0).contains(value)));

    let labels =
        load_labels(&LabelsSource::Idx(IdxLabels { paths: vec![labels] }), Task::Multiclass).unwrap();
    assert_eq!(labels.ids, table.ids);
    let Target::Classes { names, index } = labels.target else {
        panic!("expected classes");
    };
    assert_eq!(names.len(), 10);
    assert_eq!(index[..3], [7, 2, 1]);
}
