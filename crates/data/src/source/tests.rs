//! Sources as configuration files name them.

use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<ColumnsSource, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

/// The id of each record that is met, `None` where it has none of its own.
pub(crate) fn visited(source: &ColumnsSource) -> Vec<Option<String>> {
    let mut ids = Vec::new();
    let outcome: Result<(), crate::TableError> = source.ids().visit_each(|id| {
        ids.push(id.map(str::to_owned));
        Ok(())
    });
    outcome.unwrap();
    ids
}

#[test]
fn a_configuration_survives_a_round_trip() {
    for text in [
        "format = \"csv\"\npaths = [\"a.csv\"]\nid = \"id\"\n\
         image = { channels = 1, height = 2, width = 3 }",
        "format = \"csv\"\npaths = [\"a.csv\"]\nid = \"id\"\ncolumns = [\"a\"]\nignore = [\"y\"]",
        "format = \"parquet\"\npaths = [\"a.parquet\"]\nid = [\"a\", \"b\"]\nignore = [\"y\"]",
        "format = \"idx\"\npaths = [\"a.gz\"]",
        "format = \"png\"\npaths = [\"faces\"]\ncrop = { top = 0, left = 0, height = 1, width = 1 }",
        "format = \"npy\"\npaths = [\"a.npy\"]",
    ] {
        let source = parse(text).unwrap();
        let again = parse(&toml::to_string(&source).unwrap()).unwrap();
        assert_eq!(source, again);
    }
}

#[test]
fn what_a_format_does_not_know_is_refused() {
    for text in [
        "format = \"csv\"\npaths = []\nid = \"id\"\nignored = [\"y\"]",
        "format = \"idx\"\npaths = []\nid = \"id\"",
        "format = \"idx\"\npaths = []\ncrop = { top = 0, left = 0, height = 1, w = 1 }",
        "format = \"parquet\"\npaths = []",
        "format = \"parquet\"\npaths = []\nid = \"id\"\ncrop = { top = 0, left = 0, height = 1, width = 1 }",
        "format = \"orc\"\npaths = []\nid = \"id\"",
        "format = \"csv\"\npaths = []",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    for text in [
        "format = \"csv\"\npaths = []\nid = \"id\"\ncolumn = \"y\"",
        "format = \"parquet\"\npaths = []\nid = \"id\"\ncolumn = \"y\"",
        "format = \"idx\"\npaths = []\ndimensions = 3",
        "format = \"png\"\npaths = []",
    ] {
        assert!(toml::from_str::<IdsSource>(text).is_err(), "{text}");
    }
}

#[test]
fn only_relative_paths_are_resolved() {
    let mut source = parse("format = \"csv\"\nid = \"id\"\npaths = [\"a.csv\", \"/b.csv\"]").unwrap();
    source.resolve(Path::new("/etc/party"));
    assert_eq!(source.files(), [Path::new("/etc/party/a.csv"), Path::new("/b.csv")]);
}
