//! Which columns are a record's id, and the id that they make: of several columns one text, as [`hashvfl_core::records::composite_id`]
//! joins them, in tables, labels and lists of ids alike.

use std::borrow::Cow;
use std::fmt;

use csv::ByteRecord;
use hashvfl_core::records::composite_id;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::TableError;
use crate::names;
use crate::source::csv::file::{CsvFiles, Spot};
use crate::source::number::parse_id;

/// Most columns of an id.
const MAX_KEY_COLUMNS: usize = 16;

/// Names of the columns that are a record's id together: a name, or a list of names.
///
/// ```
/// use hashvfl_data::CsvColumns;
///
/// let source: CsvColumns = toml::from_str(r#"
///     paths = ["accounts.csv"]
///     id = ["branch", "account"]
/// "#).unwrap();
/// assert_eq!(source.id.names(), ["branch", "account"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumns(Vec<String>);

impl KeyColumns {
    /// The columns of these names.
    ///
    /// # Errors
    /// When there is none, one is named twice, or there are more than 16.
    pub fn new(names: Vec<String>) -> Result<Self, String> {
        if !(1..=MAX_KEY_COLUMNS).contains(&names.len()) {
            return Err(format!("`id` names {} columns, expected 1 to {MAX_KEY_COLUMNS}", names.len()));
        }
        match names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            Some((_, name)) => Err(format!("`id` names column {name:?} twice")),
            None => Ok(Self(names)),
        }
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// One id of a record's cells, one a column.
    pub(crate) fn join<'a>(parts: &[&'a str]) -> Cow<'a, str> {
        composite_id::join(parts)
    }

    /// Where the columns are in files with a header.
    pub(crate) fn find(&self, files: &CsvFiles<'_>) -> Result<CsvKey<'_>, TableError> {
        let find = |name: &String| names::find(files.first_path(), files.names(), "id", name);
        Ok(CsvKey { names: &self.0, at: self.0.iter().map(find).collect::<Result<_, _>>()? })
    }
}

impl From<&str> for KeyColumns {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }
}

/// A key's columns in files with a header.
pub(crate) struct CsvKey<'a> {
    names: &'a [String],
    at: Vec<usize>,
}

impl CsvKey<'_> {
    /// Whether the column at `at` is one of them.
    pub(crate) fn holds(&self, at: usize) -> bool {
        self.at.contains(&at)
    }

    /// A record's id. Every column needs a text.
    pub(crate) fn read<'r>(
        &self,
        spot: Spot<'_>,
        record: &'r ByteRecord,
    ) -> Result<Cow<'r, str>, TableError> {
        let part = |(name, &at): (&String, &usize)| {
            parse_id(&record[at]).map_err(|fault| TableError::BadId {
                place: spot.place(),
                column: name.clone(),
                fault,
            })
        };
        if let ([name], [at]) = (self.names, self.at.as_slice()) {
            return part((name, at)).map(Cow::Borrowed); // without a list of parts
        }
        let parts: Vec<&str> = self.names.iter().zip(&self.at).map(part).collect::<Result<_, _>>()?;
        Ok(KeyColumns::join(&parts))
    }
}

impl Serialize for KeyColumns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [name] => serializer.serialize_str(name),
            names => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for KeyColumns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrNames;

        impl<'de> Visitor<'de> for NameOrNames {
            type Value = KeyColumns;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the name of a column, or a list of names")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<KeyColumns, E> {
                Ok(name.into())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<KeyColumns, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                KeyColumns::new(names).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(NameOrNames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ColumnsSource, IdsSource, LabelsSource, load, load_labels};

    #[test]
    fn a_key_is_a_name_or_a_list_of_them() {
        let parse = |id: &str| {
            toml::from_str::<ColumnsSource>(&format!("format = \"csv\"\npaths = [\"a.csv\"]\nid = {id}"))
        };
        for (id, expected) in [
            ("[]", "names 0 columns, expected 1 to 16"),
            ("[\"a\", \"b\", \"a\"]", "names column \"a\" twice"),
            ("3", "the name of a column, or a list of names"),
        ] {
            let message = parse(id).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        for id in ["\"a\"", "[\"a\", \"b\"]"] {
            let source = parse(id).unwrap();
            let again = toml::from_str(&toml::to_string(&source).unwrap()).unwrap();
            assert_eq!(source, again);
        }
    }

    #[test]
    fn table_labels_and_lists_of_ids_join_alike_and_show_no_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let keyed = |text: &str| {
            std::fs::write(&path, text).unwrap();
            format!("format = \"csv\"\npaths = [{path:?}]\nid = [\"branch\", \"account\"]\n")
        };
        let head = "account,y,branch,a\n";
        let source = keyed(&format!("{head}12, 0,1,5\n2,1,11,6\n2,1, 1,7\n"));
        let table: ColumnsSource = toml::from_str(&format!("{source}ignore = [\"y\"]")).unwrap();
        let expected = ["1:12:12", "2:111:2", "1:11:2"]; // 1, 12 is not 11, 2
        let loaded = load(&table).unwrap();
        assert_eq!((loaded.names, loaded.ids), (vec!["a".to_owned()], expected.map(String::from).to_vec()));
        let labels: LabelsSource = toml::from_str(&format!("{source}column = \"y\"")).unwrap();
        assert_eq!(load_labels(&labels, hashvfl_core::Task::Binary).unwrap().ids, expected);
        let list: IdsSource = toml::from_str(&source).unwrap();
        for ids in [list, table.ids(), labels.ids()] {
            let mut found = Vec::new();
            ids.visit(|id| {
                found.push(id.to_owned());
                Ok::<(), TableError>(())
            })
            .unwrap();
            assert_eq!(found, expected);
        }

        let refused = |rows: &str, more: &str| {
            let text = format!("{}{more}", keyed(&format!("{head}{rows}")));
            let message = load(&toml::from_str(&text).unwrap()).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
            message
        };
        let empty = refused("secret,0,,5\n", "");
        assert!(empty.contains("line 2, column \"branch\": expected a record id"), "{empty}");
        assert!(refused("secret,0,b,5\nsecret,1,b,6\n", "").starts_with("1 records repeat"));
        assert!(refused("k,0,b,5\n", "ignore = [\"branch\"]").contains("by `id` and by `ignore`"));
        assert!(refused("k,0,b,5\n", "columns = [\"account\"]").contains("by `id` and by `columns`"));
        let message = load_labels(
            &toml::from_str(&format!("{}column = \"branch\"", keyed(head))).unwrap(),
            hashvfl_core::Task::Binary,
        );
        assert!(message.unwrap_err().to_string().contains("\"branch\" is named by `id` and by `column`"));
    }
}
