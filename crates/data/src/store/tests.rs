use std::fs;

use tempfile::TempDir;

use super::*;
use crate::encoding::treatment::{Missing, Unseen};
use crate::{ColumnsSource, Content, CsvColumns, Types};

const ROWS: u32 = 300;

/// A table of two numbers and a category, some of them missing, as CSV.
fn bank(folder: &TempDir) -> ColumnsSource {
    let job = |row: u32| ["clerk", "cook", "", "smith"][row as usize % 4];
    let line = |row: u32| format!("k{row},{}.5,{},{}\n", row % 17, (row * row) % 23, job(row));
    let rows: String = (0..ROWS).map(line).collect();
    let path = folder.path().join("bank.csv");
    fs::write(&path, format!("id,age,income,job\n{rows}")).unwrap();
    ColumnsSource::Csv(CsvColumns {
        paths: vec![path],
        id: "id".into(),
        columns: None,
        ignore: Vec::new(),
        image: None,
    })
}

fn filled() -> Treatment {
    Treatment { missing: Missing::Fill, ..Treatment::default() }
}

/// Ids, the encoding fitted on every third record, and all encoded rows.
fn all(
    source: &ColumnsSource,
    order: Option<&Path>,
    treatment: &Treatment,
    cache: Option<&Path>,
) -> (Vec<String>, String, Vec<f32>) {
    let records = RecordStore::load(source, order, treatment, cache).unwrap();
    let ids = records.ids().to_vec();
    let train: Vec<u32> = (0..ids.len() as u32).step_by(3).collect();
    let encoding = records.fit(&train, treatment).unwrap();
    let columns = records.encode(&encoding, treatment).unwrap();
    assert_eq!((columns.rows(), columns.cols()), (ids.len(), encoding.width()));
    let mut drawn: Vec<u32> = (0..ids.len() as u32).collect();
    drawn.reverse();
    drawn.push(0);
    let gathered = columns.gather(&drawn).unwrap();
    let matrix = columns.into_matrix().unwrap();
    assert_eq!(gathered[..matrix.cols()], *matrix.row(ids.len() - 1));
    (ids, encoding.to_text(), gathered)
}

#[test]
fn what_is_cached_is_what_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let source = bank(&folder);
    let cache = folder.path().join("bank.cache");
    let held = all(&source, None, &filled(), None);
    assert_eq!(all(&source, None, &filled(), Some(&cache)), held);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(cache.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "encoded rows have no name");

    // In an agreed order of some of the records.
    let order = folder.path().join("order.csv");
    let fingerprint = fingerprint(source.files()).unwrap();
    let ids = (0..ROWS).rev().filter(|row| row % 5 != 2).map(|row| format!("k{row}")).collect();
    fs::write(&order, Order::new(ids, Some(fingerprint)).to_bytes()).unwrap();
    let held = all(&source, Some(&order), &filled(), None);
    assert_eq!(all(&source, Some(&order), &filled(), Some(&cache)), held);
    for cache in [None, Some(cache.as_path())] {
        let records = RecordStore::load(&source, Some(&order), &filled(), cache).unwrap();
        assert_eq!((records.read(), records.ids().len()), (300, 240), "what the order leaves out is counted");
    }
}

#[test]
fn what_is_told_of_the_records_is_told_by_the_cache_too() {
    let folder = tempfile::tempdir().unwrap();
    let (path, cache) = (folder.path().join("bank.csv"), folder.path().join("bank.cache"));
    fs::write(&path, "id,zip,job\nk1,007,Cook\n,8,cook\nk2,123,smith\nk2,9,smith\n").unwrap();
    let config = format!("format = \"csv\"\npaths = [{path:?}]\nid = \"id\"");
    let source: ColumnsSource = toml::from_str(&config).unwrap();
    let served = Treatment { faulty: Faulty::Mark, ..filled() };
    RecordStore::load(&source, None, &served, Some(&cache)).unwrap();
    let told = Reader::open(&cache).unwrap().unwrap().told;
    assert_eq!(told.len(), 3, "{told:?}");
    for (line, expected) in
        told.iter().zip(["1 record without an id", "2 records share 1 id:", "with a leading 0"])
    {
        assert!(line.contains(expected), "{told:?}");
    }
    fs::write(&path, "id,zip,job\nk1,007,Cook\nk2,123,cook\n").unwrap();
    RecordStore::load(&source, None, &filled(), Some(&cache)).unwrap();
    let told = Reader::open(&cache).unwrap().unwrap().told;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("1 number with a leading 0") && told[1].contains("only in spelling"),
        "{told:?}"
    );
    assert!(!told.concat().to_lowercase().contains("cook"), "{told:?}");
}

#[test]
fn a_cache_is_used_again_until_anything_changes() {
    let folder = tempfile::tempdir().unwrap();
    let source = bank(&folder);
    let cache = folder.path().join("bank.cache");
    let held = all(&source, None, &filled(), Some(&cache));
    let made = || fs::metadata(&cache).unwrap().modified().unwrap();
    let first = made();
    let mut fixed = filled();
    fixed.types.insert("job".into(), crate::encoding::treatment::ColumnType::Category.into());
    assert_eq!(all(&source, None, &fixed, Some(&cache)), held);
    assert_eq!(made(), first, "types as they were found need no other file");

    // Damaged, cut off, or of other content: it is made again.
    let whole = fs::read(&cache).unwrap();
    for damaged in [&whole[..whole.len() - 1], &[], b"hashvfl cache 2\n", &[&whole[..], b"x"].concat()] {
        fs::write(&cache, damaged).unwrap();
        assert_eq!(all(&source, None, &filled(), Some(&cache)), held);
    }
    let mut header = whole.clone();
    let at = whole.len() - 80;
    header[at] ^= 1;
    fs::write(&cache, header).unwrap();
    assert_eq!(all(&source, None, &filled(), Some(&cache)), held);
    let mut value = whole.clone();
    value[10] ^= 1;
    fs::write(&cache, value).unwrap();
    assert_eq!(all(&source, None, &filled(), Some(&cache)), held, "a changed value is none of the table's");
    let null_values = Treatment { null_values: vec!["cook".into()], ..filled() };
    assert_eq!(all(&source, None, &null_values, Some(&cache)), all(&source, None, &null_values, None));
    let text = fs::read_to_string(&source.files()[0]).unwrap();
    fs::write(&source.files()[0], text.replace("k7,", "k7x,")).unwrap();
    assert_eq!(all(&source, None, &filled(), Some(&cache)).0[7], "k7x");
}

#[test]
fn faults_are_those_of_a_table_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let source = bank(&folder);
    let cache = folder.path().join("bank.cache");
    let strict = Treatment::default();
    let error = |cache| RecordStore::load(&source, None, &strict, cache).err().unwrap().to_string();
    assert_eq!(error(Some(cache.as_path())), error(None));
    assert!(!cache.exists(), "nothing is left that is not whole");

    let unseen = Treatment { unseen: Unseen::Error, ..filled() };
    let records = RecordStore::load(&source, None, &unseen, Some(&cache)).unwrap();
    // The first two records are no smith.
    let encoding = records.fit(&[0, 1], &unseen).unwrap();
    let error = records.encode(&encoding, &unseen).err().unwrap();
    assert_eq!(error, PreprocessError::NewMissing { column: "job".into(), record: 3 });
    let records = RecordStore::load(&source, None, &filled(), Some(&cache)).unwrap();
    assert!(records.fit(&[ROWS], &filled()).is_err() && records.fit(&[], &filled()).is_err());

    let folder = folder.path().join("nowhere/bank.cache");
    let error = RecordStore::load(&source, None, &filled(), Some(&folder)).err().unwrap().to_string();
    assert!(error.starts_with("cannot use the cache ") && error.contains("free disk space"), "{error}");
    let images = ColumnsSource::Npy(crate::NpyColumns { paths: vec!["a.npy".into()], crop: None });
    assert!(RecordStore::load(&images, None, &filled(), Some(&cache)).is_err());
}

#[test]
fn records_without_usable_values_are_marked_and_the_others_encoded_alike() {
    let folder = tempfile::tempdir().unwrap();
    let source = bank(&folder);
    let strict = Treatment { missing: Missing::Error, unseen: Unseen::Error, ..filled() };
    let encoding = {
        let records = RecordStore::load(&source, None, &filled(), None).unwrap();
        records.fit(&(0..ROWS).collect::<Vec<_>>(), &filled()).unwrap()
    };
    let whole = RecordStore::load(&source, None, &filled(), None).unwrap();
    let expected = whole.encode(&encoding, &filled()).unwrap().into_matrix().unwrap();

    let ColumnsSource::Csv(csv) = &source else { panic!("expected csv") };
    let text = fs::read_to_string(&csv.paths[0]).unwrap();
    // A number that is none, one that is missing, and a category that is new.
    let text = text.replace("k4,4.5,", "k4,seven,").replace("k6,6.5,", "k6,,");
    let text = text.replace("k8,8.5,18,clerk", "k8,8.5,18,astronaut");
    fs::write(&csv.paths[0], text).unwrap();
    assert!(RecordStore::load(&source, None, &strict, None).is_err());

    let types = encoding.types(&strict.types).unwrap();
    let marking = Treatment { faulty: Faulty::Mark, types, ..strict };
    for cache in [None, Some(folder.path().join("bank.cache"))] {
        let records = RecordStore::load(&source, None, &marking, cache.as_deref()).unwrap();
        let (columns, EncodingNotes { faulty, unseen, .. }) =
            records.encode_noting(&encoding, &marking).unwrap();
        assert_eq!(unseen, 0, "new values are faults here");
        // Every fourth record lacks a job, which is an error here.
        let lacking = (0..ROWS).filter(|row| row % 4 == 2 || [4, 8].contains(row));
        assert_eq!(faulty, lacking.collect::<Vec<_>>());
        for row in (0..ROWS).filter(|row| !faulty.contains(row)) {
            assert_eq!(columns.gather(&[row]).unwrap(), expected.row(row as usize));
        }
        assert!(columns.gather(&[4]).unwrap().iter().all(|value| *value == 0.0));
    }

    let accepting = Treatment { unseen: Unseen::Accept, ..marking };
    let records = RecordStore::load(&source, None, &accepting, None).unwrap();
    let EncodingNotes { faulty, unseen, .. } = records.encode_noting(&encoding, &accepting).unwrap().1;
    assert!(!faulty.contains(&8) && unseen == 1, "the new category is told");
}

#[test]
fn a_cell_that_cannot_be_used_is_filled_in_where_every_record_has_to_be_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let rows: String = (0..20).map(|row| format!("k{row},{},{}\n", row % 5, ["x", "y"][row % 2])).collect();
    let write = |more: &str| fs::write(&path, format!("id,a,job\n{rows}{more}")).unwrap();
    let source: ColumnsSource =
        toml::from_str(&format!("format = \"csv\"\nid = \"id\"\npaths = [{path:?}]")).unwrap();
    for (preprocessing, mean) in [("standardize", 2.0), ("none", 0.0)] {
        let preprocessing = serde_json::from_value(preprocessing.into()).unwrap();
        let strict = Treatment { preprocessing, unseen: Unseen::Error, ..Treatment::default() };
        write("");
        let whole = RecordStore::load(&source, None, &strict, None).unwrap();
        let encoding = whole.fit(&(0..20).collect::<Vec<_>>(), &strict).unwrap();
        // What stands in for a number, beside the right category.
        write(&format!("ok,{mean},x\n"));
        let whole = RecordStore::load(&source, None, &strict, None).unwrap().encode(&encoding, &strict);
        let expected = whole.unwrap().gather(&[20]).unwrap();
        write("word,seven,x\nempty,,x\nnew,3,z\ntwice,3,x\ntwice,4,x\nok,3,y\n");
        let filling =
            Treatment { faulty: Faulty::Fill, types: encoding.types(&strict.types).unwrap(), ..strict };
        for cache in [None, Some(folder.path().join("cache"))] {
            let records = RecordStore::load(&source, None, &filling, cache.as_deref()).unwrap();
            assert_eq!(records.ids()[20..], ["word", "empty", "new", "twice", "ok"].map(String::from));
            let (columns, noted) = records.encode_noting(&encoding, &filling).unwrap();
            let faulty_by = [("a".to_owned(), 2), ("job".to_owned(), 1)].into();
            let only = EncodingNotes { faulty: (20..24).collect(), faulty_by, ..EncodingNotes::default() };
            assert_eq!(noted, only, "each is counted once");
            assert_eq!(columns.gather(&[20]).unwrap(), expected, "the other cell is used");
            assert_eq!(columns.gather(&[21]).unwrap(), expected);
            assert_eq!(columns.gather(&[22]).unwrap()[1..], [0.0, 0.0], "a new category is none");
        }
    }
}

#[test]
fn what_is_taken_for_something_else_is_counted_in_memory_and_on_disk_alike() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let rows: String =
        (0..40).map(|row| format!("k{row},{},{}\n", row % 10, ["x", "y"][usize::from(row == 0)])).collect();
    fs::write(&path, format!("id,a,job\n{rows}far,99,x\nnone,,x\nrare,3,y\nnew,3,z\nempty,3,\n")).unwrap();
    let source: ColumnsSource =
        toml::from_str(&format!("format = \"csv\"\nid = \"id\"\npaths = [{path:?}]")).unwrap();
    let types = toml::from_str("job = { kind = \"category\", min_count = 2 }").unwrap();
    for (preprocessing, clip) in [("standardize", Some(3.0)), ("quantile", None)] {
        let preprocessing = serde_json::from_value(preprocessing.into()).unwrap();
        let treatment = Treatment { preprocessing, clip, types: Types::clone(&types), ..filled() };
        for cache in [None, Some(folder.path().join("cache"))] {
            let records = RecordStore::load(&source, None, &treatment, cache.as_deref()).unwrap();
            let train: Vec<u32> = (0..40).collect();
            let encoding = records.fit(&train, &treatment).unwrap();
            let (_, noted) = records.encode_noting(&encoding, &treatment).unwrap();
            // The missing values are unseen: no training record missed one.
            let expected = EncodingNotes { unseen: 3, rare: 2, cut_off: 1, ..EncodingNotes::default() };
            assert_eq!(noted, expected, "{preprocessing:?}");
            let records = RecordStore::load(&source, None, &treatment, cache.as_deref()).unwrap();
            let encoding = records.fit(&(0..45).collect::<Vec<_>>(), &treatment).unwrap();
            let (_, noted) = records.encode_noting(&encoding, &treatment).unwrap();
            assert_eq!((noted.unseen, noted.missing, noted.rare), (0, 2, 1), "{preprocessing:?}");
        }
    }
}

/// The key of a cache is made of these texts, so a change of them makes every cache anew: a setting that is missing here would
/// let a cache of other values be used.
#[test]
fn the_key_of_a_cache_names_every_setting_that_decides_its_values() {
    let frame = Frame {
        ids: Vec::new(),
        names: vec!["a".into(), "b".into()],
        contents: vec![Content::Number, Content::Category(Vec::new())],
        image: None,
        pixels: None,
    };
    let mut treatment = Treatment { null_values: vec!["NA".into()], ..Treatment::default() };
    let text = |source: &str, treatment: &Treatment| {
        settings(&toml::from_str::<ColumnsSource>(source).unwrap(), treatment, &frame)
    };
    let csv = "format = \"csv\"\npaths = [\"a.csv\"]\nid = \"id\"\nignore = [\"y\"]";
    assert_eq!(
        text(csv, &treatment).unwrap(),
        "Csv(CsvColumns { paths: [\"a.csv\"], id: KeyColumns([\"id\"]), columns: None, ignore: [\"y\"], image: None }) \
         [\"NA\"] Error Error"
    );
    let parquet = "format = \"parquet\"\npaths = [\"a\"]\nid = [\"m\", \"n\"]\ncolumns = [\"a\", \"b\"]";
    assert_eq!(
        text(parquet, &treatment).unwrap(),
        "Parquet(ParquetColumns { paths: [\"a\"], id: KeyColumns([\"m\", \"n\"]), columns: Some([\"a\", \"b\"]), \
         ignore: [], image: None }) [\"NA\"] Error Error"
    );
    treatment.faulty = Faulty::Mark;
    treatment.types = toml::from_str("b = { kind = \"category\", missing = \"fill\" }").unwrap();
    assert!(text(csv, &treatment).unwrap().ends_with("[\"NA\"] marked Error Fill"));
    treatment.faulty = Faulty::Fill;
    assert!(text(csv, &treatment).unwrap().ends_with("[\"NA\"] marked Error Fill"));
    treatment.types = toml::from_str("b = \"number\"").unwrap();
    assert_eq!(text(csv, &treatment), None, "a column of another type");
}
