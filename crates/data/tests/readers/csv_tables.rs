use std::collections::HashSet;
use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hashvfl_data::{ColumnsSource, IdsSource, RowSource, TableError, quoted};
use proptest::prelude::*;

use crate::expected::{
    ascii_trimmed, bits, bits_of, categories, category, is_id, may_collapse, number, numbers, texts,
};
use crate::{cases, read, settings};

/// A file of these cells, by the csv crate.
fn written(names: &[&str], records: &[Vec<String>], quote_all: bool, returns: bool) -> Vec<u8> {
    let mut builder = csv::WriterBuilder::new();
    if quote_all {
        builder.quote_style(csv::QuoteStyle::Always);
    }
    if returns {
        builder.terminator(csv::Terminator::CRLF);
    }
    let mut writer = builder.from_writer(Vec::new());
    writer.write_record(names).unwrap();
    records.iter().for_each(|record| writer.write_record(record).unwrap());
    writer.into_inner().unwrap()
}

/// Whether nothing about the file needs a refusal.
fn is_clean(ids: &[String], figures: &[String], words: &[String]) -> bool {
    let distinct: HashSet<&str> = ids.iter().map(|id| ascii_trimmed(id)).collect();
    // The words are the first cells of their records.
    let marked = words.iter().any(|cell| cell.starts_with('\u{feff}'));
    let lines = ids.iter().chain(figures).chain(words).any(|cell| cell.contains(['\n', '\r']));
    !lines
        && !marked
        && distinct.len() == ids.len()
        && ids.iter().all(|id| is_id(id))
        && figures.iter().all(|cell| number(cell).is_some())
        && !may_collapse(figures)
}

proptest! {
    #![proptest_config(cases(400))]

    /// Ids, numbers and categories come back to the bit, in their order, or the file is refused; and it is refused only where
    /// something is wrong with it.
    #[test]
    fn a_table_is_read_back_or_refused(
        records in prop::collection::vec(("[a-c\u{e9} ,\"]{0,3}[0-9a-z]{1,4}", numbers(), texts()), 1..12),
        name in "[a-z][a-z ,\"'{}é\u{301}]{0,5}[a-z]",
        quote_all: bool,
        returns: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let cells: Vec<Vec<String>> =
            records.iter().map(|(id, figure, word)| vec![word.clone(), id.clone(), figure.clone()]).collect();
        fs::write(&path, written(&[&name, "id", "figure"], &cells, quote_all, returns)).unwrap();
        let types = format!("{} = \"category\"\nfigure = \"number\"", quoted(&name));
        let (ids, rest): (Vec<String>, Vec<(String, String)>) =
            records.into_iter().map(|(id, figure, word)| (id, (figure, word))).unzip();
        let (figures, words): (Vec<String>, Vec<String>) = rest.into_iter().unzip();
        match read(&settings("csv", &path), &types) {
            Ok(table) => {
                let trimmed: Vec<&str> = ids.iter().map(|id| ascii_trimmed(id)).collect();
                prop_assert_eq!(&table.ids, &trimmed);
                let expected: Vec<u32> = figures.iter().map(|cell| bits_of(number(cell).unwrap())).collect();
                prop_assert_eq!(bits(&table, 1), expected);
                let expected: Vec<Option<String>> = words.iter().map(|cell| category(cell)).collect();
                prop_assert_eq!(categories(&table, 0), expected);
            }
            Err(message) => prop_assert!(
                !is_clean(&ids, &figures, &words) || name == "id" || name == "figure",
                "{}", message
            ),
        }
    }

    /// A file of ids alone, one column or two: each record is an id, or the file is refused.
    #[test]
    fn ids_are_read_back_or_refused(
        parts in prop::collection::vec((texts(), texts()), 1..10),
        two: bool,
        quote_all: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.csv");
        let cells: Vec<Vec<String>> = parts
            .iter()
            .map(|(first, second)| if two { vec![first.clone(), second.clone()] } else { vec![first.clone()] })
            .collect();
        let names: &[&str] = if two { &["m", "n"] } else { &["m"] };
        fs::write(&path, written(names, &cells, quote_all, false)).unwrap();
        let config = format!("format = \"csv\"\npaths = [{path:?}]\nid = {}", if two { "[\"m\", \"n\"]" } else { "\"m\"" });
        let source: IdsSource = toml::from_str(&config).unwrap();
        let mut found = Vec::new();
        let outcome = source.visit(|id| {
            found.push(id.to_owned());
            Ok::<(), TableError>(())
        });
        if outcome.is_ok() {
            let expected: Vec<String> = cells
                .iter()
                .map(|parts| match parts.as_slice() {
                    [part] => ascii_trimmed(part).to_owned(),
                    parts => parts
                        .iter()
                        .map(|part| format!("{}:{}", ascii_trimmed(part).len(), ascii_trimmed(part)))
                        .collect(),
                })
                .collect();
            // A blank line between others is no record, where it does not stand in quotes.
            let expected: Vec<String> =
                expected.into_iter().zip(&cells).filter(|(id, cells)| !(id.is_empty() && !cells[0].is_empty() && !quote_all)).map(|(id, _)| id).collect();
            prop_assert_eq!(found, expected);
        }
    }

    /// Cut off, changed by a bit or with a quote where none belongs: an error, or every record, and those of other lines as they
    /// were.
    #[test]
    fn a_damaged_file_loses_no_record_in_silence(
        words in prop::collection::vec("[a-z]{1,4}", 2..10),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        kind in 0_u8..3,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let cells: Vec<Vec<String>> =
            words.iter().zip(0..).map(|(word, row)| vec![format!("k{row}"), format!("{row}.5"), word.clone()]).collect();
        let whole = written(&["id", "figure", "word"], &cells, false, false);
        let at = at.index(whole.len());
        let mut damaged = whole.clone();
        match kind {
            0 => damaged.truncate(at),
            1 => damaged[at] ^= 1 << bit,
            _ => damaged.insert(at, b'"'),
        }
        fs::write(&path, &damaged).unwrap();
        let types = "figure = \"number\"\nword = \"category\"";
        let config = settings("csv", &path);
        let Ok(table) = read(&config, types) else { return Ok(()) };
        let line = whole[..at].iter().filter(|byte| **byte == b'\n').count();
        if kind == 0 {
            // A file that ends with a line looks whole. All others are told.
            let source: ColumnsSource = toml::from_str(&config).unwrap();
            prop_assert!(damaged.ends_with(b"\n") || !source.remarks().unwrap().is_empty());
            prop_assert!(table.ids.len() >= line.saturating_sub(1));
        } else {
            prop_assert_eq!(table.ids.len(), cells.len());
        }
        let found = categories(&table, 1);
        for row in (0..table.ids.len()).filter(|row| row + 1 != line) {
            prop_assert_eq!(&table.ids[row], &cells[row][0]);
            prop_assert_eq!(table.matrix.row(row)[0], row as f32 + 0.5);
            prop_assert_eq!(found[row].as_deref(), Some(cells[row][2].as_str()));
        }
    }
}

#[test]
fn a_packed_file_that_is_cut_off_or_changed_is_refused_wherever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv.gz");
    let lines: String = (0..40).map(|row| format!("k{row},{}\n", row * row)).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(format!("id,a\n{lines}").as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    fs::write(&path, &whole).unwrap();
    let expected = read(&settings("csv", &path), "").unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(read(&settings("csv", &path), "").is_err(), "{length} bytes");
    }
    for bit in 0..8 * whole.len() {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &damaged).unwrap();
        // The header of gzip holds a time and an operating system, which are nobody's loss.
        if let Ok(table) = read(&settings("csv", &path), "") {
            assert_eq!(
                (&table.ids, table.matrix.values()),
                (&expected.ids, expected.matrix.values()),
                "bit {bit}"
            );
        }
    }
}
