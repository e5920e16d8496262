//! Files of a table's folder that are no part of the table: those whose names end otherwise, and those in folders within it.

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::DataFusionError;
use datafusion::object_store::ObjectStore;
use datafusion::prelude::SessionContext;
use futures_util::TryStreamExt;
use hashvfl_core::text::counted;

use super::{SqlError, SqlFormat, SqlTable, failure};

/// How many files are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ExcludedFiles {
    /// Those whose names say that they are of the table's format.
    alike: usize,
    /// Others that end otherwise.
    others: usize,
    /// Those in folders within the table's.
    below: usize,
}

impl ExcludedFiles {
    /// Of the folder at `url`, where names of the table's files end in `ending`. Nothing where the location is a file or a
    /// pattern, which choose files themselves.
    pub(super) async fn of(
        session: &SessionContext,
        name: &str,
        url: &ListingTableUrl,
        format: SqlFormat,
        ending: &str,
    ) -> Result<Self, SqlError> {
        let mut excluded = Self::default();
        if !url.is_collection() || url.get_glob().is_some() {
            return Ok(excluded);
        }
        let failed = |error: DataFusionError| failure::of_table(name, &error);
        let store = session.runtime_env().object_store(url).map_err(failed)?;
        let mut files = store.list(Some(url.prefix())).map_err(DataFusionError::from);
        while let Some(file) = files.try_next().await.map_err(failed)? {
            let path = &file.location;
            let below: Vec<&str> =
                url.strip_prefix(path).map(|segments| segments.collect()).unwrap_or_default();
            excluded.see(&below, url.contains(path, true), format, ending);
        }
        Ok(excluded)
    }

    /// Counts a file by the names that lead to it. `is_here`: whether it is in the folder itself, or in one of a partition.
    fn see(&mut self, names: &[&str], is_here: bool, format: SqlFormat, ending: &str) {
        // What tools put beside the files of a table begins so.
        if names.iter().any(|name| name.starts_with(['_', '.'])) {
            return;
        }
        let file = names.last().copied().unwrap_or_default();
        match is_here {
            false => self.below += 1,
            true if file.ends_with(ending) => {}
            true if SqlFormat::of_name(file) == Some(format) => self.alike += 1,
            true => self.others += 1,
        }
    }

    /// Fails where files of the table's own format are left out, and the config does not say how names end.
    pub(super) fn check(&self, name: &str, table: &SqlTable, ending: &str) -> Result<(), SqlError> {
        if self.alike == 0 || table.extension.is_some() {
            return Ok(());
        }
        let reason = format!(
            "its folder has {} of the table's format with another ending than {ending:?}, which would be ignored; rename them, \
             move them to another folder, or set `extension`",
            counted(self.alike, "file")
        );
        Err(SqlError::Table { table: name.to_owned(), reason })
    }

    /// What a person is to know of it.
    pub(super) fn remarks(&self, name: &str, ending: &str) -> Vec<String> {
        let mut remarks = Vec::new();
        let ending_otherwise = self.alike + self.others;
        if ending_otherwise > 0 {
            let files = counted(ending_otherwise, "file");
            remarks.push(format!("tables.{name}: ignored {files} with another ending than {ending:?}"));
        }
        if self.below > 0 {
            let files = counted(self.below, "file");
            remarks.push(format!("tables.{name}: ignored {files} in folders within its folder"));
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_their_names() {
        let mut excluded = ExcludedFiles::default();
        for (names, is_here) in [
            (&["a.csv"][..], true),
            (&["b.CSV"], true),
            (&["c.csv.gz"], true),
            (&["notes.txt"], true),
            (&["_SUCCESS"], true),
            (&[".a.csv.crc"], true),
            (&["year=2024", "a.csv"], true),
            (&["old", "a.csv"], false),
            (&["_temporary", "0", "a.csv"], false),
        ] {
            excluded.see(names, is_here, SqlFormat::Csv, ".csv");
        }
        assert_eq!(excluded, ExcludedFiles { alike: 2, others: 1, below: 1 });
        assert_eq!(excluded.remarks("t", ".csv").len(), 2);
        assert!(ExcludedFiles::default().remarks("t", ".csv").is_empty());
    }
}
