//! The agreed order of records: rows are found by key, never by position.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

use hashvfl_core::Digest;
use sha2::{Digest as _, Sha256};

use crate::error::TableError;
use crate::input;
use crate::matrix::Matrix;
use crate::source::{ColumnsSource, Table};

/// What the first line of an order file says.
const MARK: &str = "hashvfl-order-1";
const BUFFER_BYTES: usize = 1 << 16;

/// Record ids in the order that all holders agreed on.
#[derive(Clone, PartialEq, Eq)]
pub struct Order {
    /// The ids, each once.
    pub ids: Vec<String>,
    /// Of the files that held the records when the order was agreed on, see [`fingerprint`].
    pub fingerprint: Option<Digest>,
}

impl Order {
    /// Reads an order file: CSV of one column, headed by the mark, with the fingerprint (or nothing) as the first
    /// record and then one id a record.
    ///
    /// # Errors
    /// When the file is missing, no order file, or damaged.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        let damaged = |reason| TableError::Order { path: path.to_owned(), reason };
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input::open(path)?);
        let mut lines = reader.records().map(|line| {
            let line = line.map_err(|_| damaged("it is no CSV"))?;
            match line.len() {
                1 => Ok(line[0].to_owned()),
                _ => Err(damaged("a line has several cells")),
            }
        });
        let mut head = || lines.next().unwrap_or(Err(damaged("it ends in its head")));
        if head()? != MARK {
            return Err(damaged("its first line is not that of an order file"));
        }
        let fingerprint = match head()?.as_str() {
            "-" => None,
            text => Some(Digest::from_hex(text).ok_or_else(|| damaged("its fingerprint is no SHA-256"))?),
        };
        let ids = lines.collect::<Result<Vec<String>, TableError>>()?;
        Ok(Self { ids, fingerprint })
    }

    /// The text of an order file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        let fingerprint = self.fingerprint.map_or("-".to_owned(), |digest| digest.to_string());
        for line in [MARK, &fingerprint].into_iter().chain(self.ids.iter().map(String::as_str)) {
            // Unwrap safety: a vector takes every byte.
            writer.write_record([line]).expect("a line of text");
        }
        // Unwrap safety: as above.
        writer.into_inner().expect("a whole text")
    }

    /// Fails when the files of `source` are not those that the order was agreed on.
    ///
    /// # Errors
    /// When a file differs or cannot be read.
    pub fn check(&self, source: &ColumnsSource, path: &Path) -> Result<(), TableError> {
        let Some(agreed) = self.fingerprint else { return Ok(()) };
        match fingerprint(source)? {
            Some(found) if found != agreed => Err(TableError::ChangedSince { order: path.to_owned() }),
            _ => Ok(()),
        }
    }

    /// For each id of the order, the place of its record among `ids`.
    ///
    /// # Errors
    /// When the table lacks records of the order: says how many, never which.
    pub fn places(&self, ids: &[String]) -> Result<Vec<u32>, TableError> {
        let found: HashMap<&str, u32> = ids.iter().map(String::as_str).zip(0..).collect();
        let places: Vec<u32> = self.ids.iter().filter_map(|id| found.get(id.as_str()).copied()).collect();
        if places.len() == self.ids.len() {
            return Ok(places);
        }
        Err(TableError::LacksRecords { lacking: self.ids.len() - places.len(), agreed: self.ids.len() })
    }
}

impl Table {
    /// The records of `order`, in that order; others are left out.
    ///
    /// # Errors
    /// When the table lacks some of them.
    pub fn in_order(self, order: &Order) -> Result<Self, TableError> {
        let places = order.places(&self.ids)?;
        let matrix = Matrix::from_checked(self.matrix.cols(), self.matrix.gather(&places));
        Ok(Self { ids: order.ids.clone(), matrix, ..self })
    }
}

/// SHA-256 over the bytes of all files of `source`, in their order; `None` where it is not made of local files.
///
/// # Errors
/// When a file cannot be read.
pub fn fingerprint(source: &ColumnsSource) -> Result<Option<Digest>, TableError> {
    let Some(paths) = source.files()? else { return Ok(None) };
    let digests = paths.iter().map(|path| digest_of(path)).collect::<Result<Vec<Digest>, _>>()?;
    Ok(Some(Digest::of_parts(digests.iter().map(|digest| digest.0.as_slice()))))
}

fn digest_of(path: &Path) -> Result<Digest, TableError> {
    let mut file =
        std::fs::File::open(path).map_err(|reason| TableError::Open { path: path.to_owned(), reason })?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer).map_err(|reason| input::read_error(path, reason))? {
            0 => return Ok(Digest(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Shows no id.
impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Order({} records)", self.ids.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    #[test]
    fn records_are_found_by_key_and_a_changed_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, at) = (folder.path().join("a.csv"), folder.path().join("order.csv"));
        std::fs::write(&path, "id,a\nk1,1\nk2,2\n\"k,3\",3\n").unwrap();
        let source: ColumnsSource =
            toml::from_str(&format!("format = \"csv\"\nid = \"id\"\npaths = [{path:?}]")).unwrap();
        let order = Order { ids: ids(&["k,3", "k1"]), fingerprint: fingerprint(&source).unwrap() };
        std::fs::write(&at, order.to_bytes()).unwrap();
        assert_eq!(Order::read(&at).unwrap(), order);
        assert!(order.check(&source, &at).is_ok());
        let table = load(&source).unwrap().in_order(&order).unwrap();
        assert_eq!((table.matrix.values(), table.ids), (&[3.0, 1.0][..], ids(&["k,3", "k1"])));

        std::fs::write(&path, "id,a\nk1,1\nk2,2\n\"k,3\",4\n").unwrap();
        let message = order.check(&source, &at).unwrap_err().to_string();
        assert!(message.contains("order.csv") && message.contains("align again"), "{message}");
        let lacking = Order { ids: ids(&["secret", "k1"]), fingerprint: None };
        let message = load(&source).unwrap().in_order(&lacking).unwrap_err().to_string();
        assert!(message.contains("lacks 1 of the 2 records") && !message.contains("secret"), "{message}");
        assert!(!format!("{order:?}").contains("k1"));
    }

    #[test]
    fn damaged_order_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.csv");
        for (text, expected) in [
            ("", "ends in its head"),
            ("id\nk1\n", "first line"),
            ("hashvfl-order-1\n", "ends in its head"),
            ("hashvfl-order-1\nzz\n", "no SHA-256"),
            ("hashvfl-order-1\n-\nk1,k2\n", "several cells"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = Order::read(&path).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("order.csv"), "{message}");
        }
    }
}
