//! The agreed order of records: rows are found by key, never by position.

use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::path::Path;

use hashvfl_core::records::order::{self, OrderText};
use hashvfl_core::{Digest, TableRow};
use tracing::warn;

use crate::error::TableError;
use crate::labels::LabelTable;
use crate::labels::target::Target;
use crate::source::csv::text::check_text;
use crate::source::input;
use crate::table::Table;
use crate::table::matrix::Matrix;

/// Record ids in the order that all holders agreed on.
#[derive(Clone, PartialEq, Eq)]
pub struct Order {
    /// The agreed ids, each once: the same at all holders.
    pub ids: Vec<String>,
    /// The same records' ids in this holder's table, which may be written otherwise.
    pub own: Vec<String>,
    /// The fingerprint of the files that held the records when the order was agreed on, see
    /// [`fingerprint`](crate::fingerprint).
    pub fingerprint: Option<Digest>,
}

impl Order {
    /// An order of ids that are written alike in this holder's table.
    pub fn new(ids: Vec<String>, fingerprint: Option<Digest>) -> Self {
        Self { own: ids.clone(), ids, fingerprint }
    }

    /// Reads an order file, whose form [`hashvfl_core::records::order`] describes. A file of the older form without a digest is
    /// read with a warning, since aligning again would cost every holder a release.
    ///
    /// # Errors
    /// When the file is missing, is not an order file, or is damaged.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        let damaged = |reason| TableError::Order { path: path.to_owned(), reason };
        let mut file = Vec::new();
        input::open(path)?.read_to_end(&mut file).map_err(|reason| input::read_error(path, reason))?;
        let lines = match mark(&file).as_deref() {
            Some(order::MARK) => {
                order::verified(&file).ok_or_else(|| damaged("it is damaged or truncated"))?
            }
            Some(order::MARK_WITHOUT_DIGEST) => {
                warn!(
                    "{} was written by an earlier version, without a digest, so damage to it would go unnoticed",
                    path.display()
                );
                // Without a digest nothing else would find a quote that swallows records.
                check_text(path, &file)?;
                &file
            }
            _ => return Err(damaged("its first line is not that of an order file")),
        };
        let mut reader = csv_of(lines);
        let mut lines = reader.records().skip(1).map(|line| line.map_err(|_| damaged("it is not CSV")));
        let mut head = || lines.next().unwrap_or(Err(damaged("it ends within its header")));
        let fingerprint = match head()?.get(0).unwrap_or_default() {
            "-" => None,
            text => Some(Digest::from_hex(text).ok_or_else(|| damaged("its fingerprint is not a SHA-256"))?),
        };
        let mut order = Self { ids: Vec::new(), own: Vec::new(), fingerprint };
        for line in lines {
            let line = line?;
            if line.is_empty() || line.len() > 2 {
                return Err(damaged("a line has more than two cells"));
            }
            order.own.push(line[0].to_owned());
            order.ids.push(line.get(1).unwrap_or(&line[0]).to_owned());
        }
        Ok(order)
    }

    /// The text of an order file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (mut text, mut file) = OrderText::begin(self.fingerprint);
        for (own, id) in self.own.iter().zip(&self.ids) {
            file += &text.record(own, id);
        }
        file += &text.end();
        file.into_bytes()
    }

    /// Fails if the files, whose fingerprint is now `found`, are not those on which the order of `path` was agreed.
    ///
    /// # Errors
    /// When they differ.
    pub fn check(&self, found: Option<Digest>, path: &Path) -> Result<(), TableError> {
        match self.fingerprint.zip(found) {
            Some((agreed, found)) if agreed != found => {
                Err(TableError::ChangedSince { order: path.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// The agreed id of each of a table's `ids`; `None` for a record that is not in the order.
    pub fn agreed<'a>(&'a self, ids: &'a [String]) -> impl Iterator<Item = Option<&'a str>> {
        let agreed: HashMap<&str, &str> =
            self.own.iter().map(String::as_str).zip(self.ids.iter().map(String::as_str)).collect();
        ids.iter().map(move |id| agreed.get(id.as_str()).copied())
    }

    /// For each record of the order, its place among a table's `ids`.
    ///
    /// # Errors
    /// When the table lacks records of the order: says how many, never which.
    pub fn places(&self, ids: &[String]) -> Result<Vec<TableRow>, TableError> {
        let rows = (0..).map(TableRow::new);
        let found: HashMap<&str, TableRow> = ids.iter().map(String::as_str).zip(rows).collect();
        let places: Vec<TableRow> =
            self.own.iter().filter_map(|id| found.get(id.as_str()).copied()).collect();
        if places.len() == self.own.len() {
            return Ok(places);
        }
        Err(TableError::LacksRecords { lacking: self.own.len() - places.len(), agreed: self.own.len() })
    }
}

/// Both names that a list may use for a record: the id in this holder's table, and the agreed id.
#[derive(Default)]
pub struct RecordNames(HashMap<String, String>);

impl RecordNames {
    /// Reads those of the order file `path`, if there is one.
    ///
    /// # Errors
    /// As [`Order::read`].
    pub fn read(path: Option<&Path>) -> Result<Self, TableError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let Order { ids, own, .. } = Order::read(path)?;
        Ok(Self(own.into_iter().zip(ids).filter(|(own, id)| own != id).collect()))
    }

    /// The agreed id of the record that this holder writes `id`.
    pub fn agreed<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, String::as_str)
    }
}

/// What the first line of an order file says.
fn mark(file: &[u8]) -> Option<String> {
    csv_of(file).records().next()?.ok()?.get(0).map(str::to_owned)
}

fn csv_of(text: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text)
}

impl Table {
    /// The records of `order`, in that order; others are left out.
    ///
    /// # Errors
    /// When the table lacks some of them.
    pub fn in_order(self, order: &Order) -> Result<Self, TableError> {
        let places = order.places(&self.ids)?;
        let rows: Vec<u32> = places.iter().map(|place| place.number()).collect();
        let matrix = Matrix::from_checked(self.matrix.cols(), self.matrix.gather(&rows));
        Ok(Self { ids: order.ids.clone(), matrix, ..self })
    }
}

impl LabelTable {
    /// The labels of the records of `order`, in that order; others are left out.
    ///
    /// # Errors
    /// When there are none for some of them.
    pub fn in_order(self, order: &Order) -> Result<Self, TableError> {
        let places = order.places(&self.ids)?;
        let target = match self.target {
            Target::Classes { names, index } => {
                let index = places.iter().map(|place| index[place.number() as usize]).collect();
                Target::Classes { names, index }
            }
            Target::Real(values) => {
                Target::Real(places.iter().map(|place| values[place.number() as usize]).collect())
            }
        };
        Ok(Self { ids: order.ids.clone(), target, note: self.note })
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
    use proptest::prelude::*;

    use super::*;
    use crate::{ColumnsSource, fingerprint, load};

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
        let order = Order {
            ids: ids(&["K3", "k1"]),
            own: ids(&["k,3", "k1"]),
            fingerprint: Some(fingerprint(source.files()).unwrap()),
        };
        std::fs::write(&at, order.to_bytes()).unwrap();
        assert_eq!(Order::read(&at).unwrap(), order);
        assert!(order.check(Some(fingerprint(source.files()).unwrap()), &at).is_ok());
        let table = load(&source).unwrap().in_order(&order).unwrap();
        assert_eq!((table.matrix.values(), table.ids), (&[3.0, 1.0][..], ids(&["K3", "k1"])));

        std::fs::write(&path, "id,a\nk1,1\nk2,2\n\"k,3\",4\n").unwrap();
        let message = order.check(Some(fingerprint(source.files()).unwrap()), &at).unwrap_err().to_string();
        assert!(message.contains("order.csv") && message.contains("align again"), "{message}");
        let lacking = Order::new(ids(&["secret", "k1"]), None);
        let message = load(&source).unwrap().in_order(&lacking).unwrap_err().to_string();
        assert!(message.contains("lacks 1 of the 2 records") && !message.contains("secret"), "{message}");
        assert!(!format!("{order:?}").contains("k1"));
    }

    proptest! {
        /// An order that was written is read back.
        #[test]
        fn what_was_written_is_read_back(pairs in prop::collection::vec(("[ -~]{1,6}", "[ -~]{1,6}"), 1..12)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("order.csv");
            let (ids, own) = pairs.into_iter().unzip();
            let order = Order { ids, own, fingerprint: None };
            std::fs::write(&path, order.to_bytes()).unwrap();
            prop_assert_eq!(Order::read(&path).unwrap(), order);
        }
    }

    #[test]
    fn damaged_order_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.csv");
        for (text, expected) in [
            ("", "first line"),
            ("id\nk1\n", "first line"),
            ("hashvfl-order-1\n", "ends within its header"),
            ("hashvfl-order-1\nzz\n", "not a SHA-256"),
            ("hashvfl-order-1\n-\nk1,k2,k3\n", "more than two cells"),
            ("hashvfl-order-2\n-\nk1\n", "damaged or truncated"),
            ("hashvfl-order-1\n-\nk1\n\"k2\nk3\n", "line 4: a quoted cell begins here"),
        ] {
            std::fs::write(&path, text).unwrap();
            let message = Order::read(&path).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("order.csv"), "{message}");
        }
    }

    #[test]
    fn an_order_of_before_the_digest_is_still_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.csv");
        std::fs::write(&path, "hashvfl-order-1\n-\nk1\n\"k,2\",K2\n").unwrap();
        let order = Order { ids: ids(&["k1", "K2"]), own: ids(&["k1", "k,2"]), fingerprint: None };
        assert_eq!(Order::read(&path).unwrap(), order);
    }

    #[test]
    fn ids_of_every_spelling_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.csv");
        let all =
            ids(&["", " a ", "a,b", "\"a\"", "\"", "a\nb", "a\r\nb", "#a", "hashvfl-order-1", "\u{e4}"]);
        let mut agreed = all.clone();
        agreed.rotate_left(1);
        let order = Order { ids: agreed, own: all, fingerprint: None };
        std::fs::write(&path, order.to_bytes()).unwrap();
        assert_eq!(Order::read(&path).unwrap(), order);
    }

    #[test]
    fn each_bit_flipped_in_turn_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.csv");
        let order = Order {
            ids: ids(&["k1", "K2"]),
            own: ids(&["k1", "k,2"]),
            fingerprint: Some(Digest::of(b"the files")),
        };
        let whole = order.to_bytes();
        for bit in 0..8 * whole.len() {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, damaged).unwrap();
            let message = Order::read(&path).expect_err("a flipped bit").to_string();
            assert!(message.contains("order.csv"), "bit {bit}: {message}");
        }
    }
}
