//! Which columns are a record's id. Several columns are joined to one text by [`hashvfl_core::records::composite_id`], in
//! tables, labels and lists of ids alike.

use std::borrow::Cow;
use std::fmt;

use hashvfl_core::records::composite_id;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most columns of an id.
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
            return Err(format!("`id` names {} columns, but must name 1 to {MAX_KEY_COLUMNS}", names.len()));
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

    /// Joins a record's cells, one per column, to one id.
    pub(crate) fn join<'a>(parts: &[&'a str]) -> Cow<'a, str> {
        composite_id::join(parts)
    }
}

impl From<&str> for KeyColumns {
    fn from(name: &str) -> Self {
        Self(vec![name.to_owned()])
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
    use crate::{ColumnsSource, IdSource, IdsSource, LabelsSource, TableError, load, load_labels};

    #[test]
    fn a_key_is_a_name_or_a_list_of_them() {
        let parse = |id: &str| {
            toml::from_str::<ColumnsSource>(&format!("format = \"csv\"\npaths = [\"a.csv\"]\nid = {id}"))
        };
        for (id, expected) in [
            ("[]", "names 0 columns, but must name 1 to 16"),
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
        let list: Box<dyn IdSource> = Box::new(list);
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
            let source: ColumnsSource = toml::from_str(&text).unwrap();
            let message = load(&source).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
            message
        };
        let empty = refused("secret,0,,5\n", "");
        assert!(empty.contains("line 2, column \"branch\": expected a record id"), "{empty}");
        assert!(
            refused("secret,0,b,5\nsecret,1,b,6\n", "")
                .starts_with("1 record with the id of an earlier record")
        );
        assert!(refused("k,0,b,5\n", "ignore = [\"branch\"]").contains("in both `id` and `ignore`"));
        assert!(refused("k,0,b,5\n", "columns = [\"account\"]").contains("in both `id` and `columns`"));
        let message = load_labels(
            &toml::from_str(&format!("{}column = \"branch\"", keyed(head))).unwrap(),
            hashvfl_core::Task::Binary,
        );
        assert!(message.unwrap_err().to_string().contains("`id` and `column` both name \"branch\""));
    }
}
