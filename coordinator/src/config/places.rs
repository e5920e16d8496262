//! Where the files of a config are, and which of them are encrypted.

use std::path::Path;

use hashvfl_cli::encryption::EncryptedPlaces;
use hashvfl_files::{NamedPath, PathUse};
use hashvfl_monitor::MonitorAddress;

use super::CoordinatorConfig;
use crate::state::READABLE;

impl CoordinatorConfig {
    /// All places that this config names, the config's own folder among them.
    pub(super) fn places(&self, folder: &Path) -> Vec<NamedPath> {
        let mut places = vec![
            NamedPath::new("state", &self.state, PathUse::Own),
            NamedPath::new("ledger", &self.ledger, PathUse::Written),
            NamedPath::new("runs", &self.runs, PathUse::Written),
            NamedPath::new("this config", &folder.join("coordinator.toml"), PathUse::Read),
        ];
        places.extend(self.labels.files().iter().map(|file| NamedPath::new("labels", file, PathUse::Read)));
        let served = self.serve.records.iter().flat_map(|records| records.files());
        places.extend(served.map(|file| NamedPath::new("serve.records", file, PathUse::Read)));
        places.extend(
            self.policy.iter().map(|file| NamedPath::new("policy", &folder.join(file), PathUse::Read)),
        );
        places.extend(self.permissions.iter().map(|file| NamedPath::new("permissions", file, PathUse::Read)));
        places.extend(
            self.privacy_report.iter().map(|file| NamedPath::new("privacy_report", file, PathUse::Read)),
        );
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
