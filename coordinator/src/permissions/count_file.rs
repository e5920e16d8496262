//! Counts in a file beside the ledger, so that a restart gives nobody a new hour or day.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use hashvfl_files::write_whole;
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

    /// What it holds; one that is not there has counted nothing. `fresh` says what everybody gets where it is removed.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read<T: Default + DeserializeOwned>(&self, fresh: &str) -> anyhow::Result<T> {
        let path = &self.0;
        if !path.exists() {
            return Ok(T::default());
        }
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged: remove it, which gives every {fresh}", path.display()))
    }

    /// Keeps `counts`, durably; whether that went well. Why not is in the log.
    pub fn keep(&self, counts: &impl Serialize) -> bool {
        let kept = serde_json::to_vec(counts).map_err(anyhow::Error::from);
        match kept.and_then(|text| Ok(write_whole(&self.0, &text)?)) {
            Ok(()) => true,
            Err(failed) => {
                error!("{}: {failed}", self.0.display());
                false
            }
        }
    }
}
