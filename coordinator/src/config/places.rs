//! Where the files of a config are, and which of them are encrypted.

use std::path::Path;

use hashvfl_cli::encryption::EncryptedPlaces;
use hashvfl_files::{Place, Use};
use hashvfl_monitor::MonitorAddress;

use super::CoordinatorConfig;
use crate::state::READABLE;

impl CoordinatorConfig {
    /// All places that this config names, the config's own folder among them.
    pub(super) fn places(&self, folder: &Path) -> Vec<Place> {
        let mut places = vec![
            Place::new("state", &self.state, Use::Own),
            Place::new("ledger", &self.ledger, Use::Written),
            Place::new("runs", &self.runs, Use::Written),
            Place::new("this config", &folder.join("coordinator.toml"), Use::Read),
        ];
        places.extend(self.labels.files().iter().map(|file| Place::new("labels", file, Use::Read)));
        let served = self.serve.records.iter().flat_map(|records| records.files());
        places.extend(served.map(|file| Place::new("serve.records", file, Use::Read)));
        places.extend(self.policy.iter().map(|file| Place::new("policy", &folder.join(file), Use::Read)));
        places.extend(self.permissions.iter().map(|file| Place::new("permissions", file, Use::Read)));
        places.extend(self.privacy_report.iter().map(|file| Place::new("privacy_report", file, Use::Read)));
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
            readable: READABLE.to_vec(),
            growing: vec!["answers.hashvfl", "transcript.unfinished"],
            ledger: self.ledger.clone(),
            others: Vec::new(),
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
