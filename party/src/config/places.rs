//! Where the files of a config are, and which of them are encrypted.

use std::path::Path;

use hashvfl_cli::encryption::EncryptedPlaces;
use hashvfl_files::{NamedPath, PathUse};
use hashvfl_monitor::MonitorAddress;

use super::PartyConfig;

impl PartyConfig {
    /// All places that this config names, the config's own folder among them.
    pub(super) fn places(&self, folder: &Path) -> Vec<NamedPath> {
        let mut places = vec![
            NamedPath::new("state", &self.state, PathUse::Own),
            NamedPath::new("ledger", &self.ledger, PathUse::Written),
            NamedPath::new("response_key", &self.response_key, PathUse::Written),
            NamedPath::new("this config", &folder.join("party.toml"), PathUse::Read),
        ];
        places.extend(self.cache.iter().map(|cache| NamedPath::new("cache", cache, PathUse::Written)));
        places.extend(self.policy.iter().map(|policy| NamedPath::new("policy", policy, PathUse::Read)));
        places.extend(self.columns.files().iter().map(|file| NamedPath::new("columns", file, PathUse::Read)));
        let served = self.serve.columns.iter().flat_map(|columns| columns.files());
        places.extend(served.map(|file| NamedPath::new("serve.columns", file, PathUse::Read)));
        if let Some(alignment) = &self.alignment {
            places.push(NamedPath::new("alignment.folder", &folder.join(&alignment.folder), PathUse::Own));
            places.push(NamedPath::new("alignment.key", &folder.join(&alignment.key), PathUse::Read));
        }
        if let Some(socket) = self.monitor.as_ref().and_then(MonitorAddress::socket) {
            places.push(NamedPath::new("monitor", socket, PathUse::Written));
        }
        places
    }

    /// What is encrypted where this side has a key.
    pub fn encrypted_places(&self) -> EncryptedPlaces {
        EncryptedPlaces {
            state: self.state.clone(),
            readable: Vec::new(),
            growing: vec!["answers.hashvfl", "transcript.unfinished"],
            ledger: self.ledger.clone(),
            others: vec![self.response_key.clone()],
        }
    }

    pub(super) fn protect(&mut self, folder: &Path) -> anyhow::Result<()> {
        let Some(mut encryption) = self.encryption.take() else { return Ok(()) };
        let outside = [("order", self.order.as_deref()), ("serve.order", self.serve.order.as_deref())];
        encryption.protect(folder, &self.encrypted_places(), &outside)?;
        self.encryption = Some(encryption);
        Ok(())
    }
}
