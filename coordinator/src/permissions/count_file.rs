//! Counts in a file beside the ledger, so that a restart gives nobody a new hour or day.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use hashvfl_files::{read_checked, write_checked};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::error;

/// Such a file.
#[derive(Debug)]
pub struct CountFile(PathBuf);

impl CountFile {
    /// The file beside `ledger` that ends in `ending`.
    pub fn beside(ledger: &Path, ending: &str) -> Self {
        Self(ledger.with_extension(ending))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What it holds; one that is not there has counted nothing. `fresh` says what everybody gets where it is removed.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read<T: Default + DeserializeOwned>(&self, fresh: &str) -> anyhow::Result<T> {
        let path = &self.0;
        if !path.exists() {
            return Ok(T::default());
        }
        let damaged = || {
            format!(
                "{} is damaged: remove it; this restarts the count and gives every {fresh}",
                path.display()
            )
        };
        let text = read_checked(path).map_err(|error| {
            let is_damaged = error.kind() == ErrorKind::InvalidData;
            let what = if is_damaged { damaged() } else { format!("cannot read {}", path.display()) };
            anyhow::Error::from(error).context(what)
        })?;
        serde_json::from_slice(&text).with_context(damaged)
    }

    /// Keeps `counts`, durably; whether that went well. Why not is in the log.
    pub fn keep(&self, counts: &impl Serialize) -> bool {
        let kept = serde_json::to_vec(counts).map_err(anyhow::Error::from);
        match kept.and_then(|text| Ok(write_checked(&self.0, &text)?)) {
            Ok(()) => true,
            Err(failed) => {
                error!("{}: {failed}", self.0.display());
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    #[test]
    fn whatever_bit_changes_no_other_counts_are_read_and_those_of_before_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = CountFile::beside(&folder.path().join("ledger.redb"), "clients.json");
        let read = || file.read::<BTreeMap<String, u64>>("client a new day");
        assert_eq!(read().unwrap(), BTreeMap::new());
        let counts = BTreeMap::from([("desk".to_string(), 40_u64)]);
        assert!(file.keep(&counts));
        assert_eq!(read().unwrap(), counts);
        let whole = fs::read(&file.0).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            fs::write(&file.0, &changed).unwrap();
            let error = read().unwrap_err().to_string();
            assert!(error.contains("clients.json is damaged: remove it"), "bit {bit}: {error}");
        }
        fs::write(&file.0, serde_json::to_vec(&counts).unwrap()).unwrap();
        assert_eq!(read().unwrap(), counts);
    }
}
