//! Where the files of a config are, and which of them are encrypted.

use std::path::Path;

use hashvfl_cli::encryption::EncryptedPlaces;
use hashvfl_files::{Place, Use};
use hashvfl_monitor::MonitorAddress;

use super::PartyConfig;

impl PartyConfig {
    /// All places that this config names, the config's own folder among them.
    pub(super) fn places(&self, folder: &Path) -> Vec<Place> {
        let mut places = vec![
            Place::new("state", &self.state, Use::Own),
            Place::new("ledger", &self.ledger, Use::Written),
            Place::new("response_key", &self.response_key, Use::Written),
            Place::new("this config", &folder.join("party.toml"), Use::Read),
        ];
        places.extend(self.cache.iter().map(|cache| Place::new("cache", cache, Use::Written)));
        places.extend(self.policy.iter().map(|policy| Place::new("policy", policy, Use::Read)));
        places.extend(self.columns.files().iter().map(|file| Place::new("columns", file, Use::Read)));
        let served = self.serve.columns.iter().flat_map(|columns| columns.files());
        places.extend(served.map(|file| Place::new("serve.columns", file, Use::Read)));
        if let Some(alignment) = &self.alignment {
            places.push(Place::new("alignment.folder", &folder.join(&alignment.folder), Use::Own));
            places.push(Place::new("alignment.key", &folder.join(&alignment.key), Use::Read));
        }
        if let Some(socket) = self.monitor.as_ref().and_then(MonitorAddress::socket) {
            places.push(Place::new("monitor", socket, Use::Written));
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
