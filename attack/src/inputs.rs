//! What a report is made of, by one digest that stands in it: with the same inputs the report that is there is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use hashvfl_core::Digest;
use hashvfl_transcript::Recording;
use serde::Deserialize;

use crate::config::AttackConfig;
use crate::evidence::manifest::Manifest;
use crate::report::{Report, VERSION};

/// Where the digest stands in `run` of `report.json`.
const KEY: &str = "transcript, manifest and config (SHA-256)";

/// What an evaluation reads.
pub struct Inputs {
    /// What the coordinator recorded.
    pub recording: Recording,
    /// The files that bring the truth and the models.
    pub manifest: Manifest,
    digest: Digest,
}

impl Inputs {
    /// Reads `transcript` and the manifest that `config` names, and checks both.
    ///
    /// # Errors
    /// If one of them was changed since it was written, or the transcript is not the coordinator's.
    pub fn read(transcript: &Path, config: &AttackConfig) -> anyhow::Result<Self> {
        let head = config.head.as_deref().map(|text| {
            Digest::from_hex(text)
                .context("head must be the 64 hex digits of `transcript_head` in summary.json")
        });
        let recording = Recording::read(transcript, head.transpose()?)?;
        let manifest = Manifest::read(&config.manifest)?;
        ensure!(
            recording.header.recorder == "coordinator",
            "{} was recorded by {}: attacks on columns need what the coordinator recorded",
            transcript.display(),
            recording.header.recorder
        );
        let digest = digest(recording.head, &manifest, config)?;
        Ok(Self { recording, manifest, digest })
    }

    /// Notes in `report` that it was made of these.
    pub fn note(&self, report: &mut Report) {
        report.run.insert(KEY.to_string(), self.digest.to_string());
    }

    /// Whether the report in `folder` was made of these, by this version, and all its checks held.
    pub fn made(&self, folder: &Path) -> bool {
        is_made_of(self.digest, folder)
    }
}

/// All that decides what a report says: where the files lie does not.
fn digest(head: Digest, manifest: &Manifest, config: &AttackConfig) -> anyhow::Result<Digest> {
    let config = serde_json::to_vec(config)?;
    let own = [env!("CARGO_PKG_VERSION").as_bytes(), &head.0[..], &config[..]];
    Ok(Digest::of_parts(own.into_iter().chain(manifest.sha256.values().map(String::as_bytes))))
}

/// What is read of a `report.json`.
#[derive(Deserialize)]
struct StoredReport {
    version: u32,
    run: BTreeMap<String, String>,
    checks: Vec<StoredCheck>,
}

#[derive(Deserialize)]
struct StoredCheck {
    held: bool,
}

fn is_made_of(digest: Digest, folder: &Path) -> bool {
    let stored = fs::read(folder.join("report.json")).ok();
    let stored = stored.and_then(|bytes| serde_json::from_slice::<StoredReport>(&bytes).ok());
    stored.is_some_and(|report| {
        report.version == VERSION
            && report.run.get(KEY) == Some(&digest.to_string())
            && report.checks.iter().all(|check| check.held)
            && folder.join("report.html").is_file()
    })
}

#[cfg(test)]
mod tests {
    use hashvfl_core::PartyName;

    use super::*;
    use crate::report::sample::sample;
    use crate::report::write;

    #[test]
    fn a_report_is_there_while_all_that_it_was_made_of_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let head = Digest::of(b"transcript");
        let manifest = |labels: &str| Manifest {
            coordinator: "coordinator.toml".into(),
            parties: vec!["bank.toml".into()],
            sha256: BTreeMap::from([("labels.csv".into(), labels.to_string())]),
        };
        let config = AttackConfig::new("manifest.toml".into(), PartyName::new("bank").unwrap());
        let made = digest(head, &manifest("00"), &config).unwrap();
        assert!(!is_made_of(made, folder), "nothing is there");

        let mut report = sample();
        report.checks.iter_mut().for_each(|check| check.held = true);
        write(&report, folder).unwrap();
        assert!(!is_made_of(made, folder), "an earlier version noted nothing");
        report.run.insert(KEY.to_string(), made.to_string());
        write(&report, folder).unwrap();
        assert!(is_made_of(made, folder));

        let elsewhere = AttackConfig { manifest: "/audit/manifest.toml".into(), ..config.clone() };
        assert_eq!(
            digest(head, &manifest("00"), &elsewhere).unwrap(),
            made,
            "the same files at another place"
        );
        let other_seed = AttackConfig { seed: 1, ..config.clone() };
        for other in [
            digest(Digest::of(b"another run"), &manifest("00"), &config),
            digest(head, &manifest("01"), &config),
            digest(head, &manifest("00"), &other_seed),
        ] {
            assert!(!is_made_of(other.unwrap(), folder));
        }

        report.checks[0].held = false;
        write(&report, folder).unwrap();
        assert!(!is_made_of(made, folder), "its figures are not to be relied on");
        report.checks[0].held = true;
        write(&report, folder).unwrap();
        fs::remove_file(folder.join("report.html")).unwrap();
        assert!(!is_made_of(made, folder), "a half is missing");
    }
}
