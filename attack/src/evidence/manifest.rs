//! The evaluation manifest: which files bring the truth, the models and the baselines, each by its SHA-256.
//!
//! Whoever evaluates has all of it; an attack is handed only what it declares to know.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use hashvfl_coordinator::CoordinatorConfig;
use hashvfl_coordinator::state::StateFolder;
use hashvfl_core::Digest;
use hashvfl_core::text::counted;
use hashvfl_data::fingerprint;
use hashvfl_files::write_whole;
use hashvfl_party::PartyConfig;
use serde::{Deserialize, Serialize};

/// What `manifest.toml` holds. Relative paths start at the file's folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The coordinator's config.
    pub coordinator: PathBuf,
    /// The parties' configs, in the run's order.
    pub parties: Vec<PathBuf>,
    /// SHA-256 of every file that is read: configs, tables, models, kept records, the summary.
    pub sha256: BTreeMap<PathBuf, String>,
}

impl Manifest {
    /// A manifest of a run that has finished, with the digests of its files as they are now.
    pub fn of(coordinator: &Path, parties: &[PathBuf]) -> anyhow::Result<Self> {
        let mut manifest = Self {
            coordinator: absolute(coordinator)?,
            parties: parties.iter().map(|path| absolute(path)).collect::<anyhow::Result<_>>()?,
            sha256: BTreeMap::new(),
        };
        for path in manifest.files()? {
            manifest.sha256.insert(path.clone(), digest(&path)?);
        }
        Ok(manifest)
    }

    /// Reads a manifest and checks every file against its digest.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the manifest {}", path.display()))?;
        let mut manifest: Self =
            toml::from_str(&text).with_context(|| format!("manifest {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        manifest.coordinator = absolute(&folder.join(&manifest.coordinator))?;
        manifest.parties = manifest
            .parties
            .iter()
            .map(|party| absolute(&folder.join(party)))
            .collect::<anyhow::Result<_>>()?;
        let known = std::mem::take(&mut manifest.sha256);
        for (file, digest) in known {
            manifest.sha256.insert(absolute(&folder.join(file))?, digest);
        }
        for file in manifest.files()? {
            let expected = manifest.sha256.get(&file);
            let expected = expected.with_context(|| {
                format!(
                    "the manifest lacks the SHA-256 of {}: write the manifest again with `attack manifest`",
                    file.display()
                )
            })?;
            ensure!(
                digest(&file)? == *expected,
                "{} is not the file that the manifest names: its SHA-256 differs",
                file.display()
            );
        }
        Ok(manifest)
    }

    /// Writes the manifest.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        if path.exists() {
            let is_ours = fs::read_to_string(path).is_ok_and(|text| toml::from_str::<Self>(&text).is_ok());
            ensure!(is_ours, "{} already exists and is not a manifest: choose another file", path.display());
        }
        Ok(write_whole(path, toml::to_string_pretty(self)?.as_bytes())?)
    }

    /// The configs, which have to be those of one run, the parties' in its order.
    pub(crate) fn configs(&self) -> anyhow::Result<(CoordinatorConfig, Vec<PartyConfig>)> {
        let coordinator = CoordinatorConfig::read(&self.coordinator)?;
        let (named, names) = (self.parties.len(), &coordinator.run.parties);
        ensure!(
            named == names.len(),
            "{} of {} named: name a config for each, in the order of run.parties",
            counted(named, "party"),
            names.len()
        );
        let mut parties = Vec::new();
        for (path, name) in self.parties.iter().zip(names) {
            let config = PartyConfig::read(path)?;
            ensure!(
                config.name == *name && config.run == coordinator.run,
                "{}: not the config of {name} in the coordinator's run: name the parties' configs in the order of \
                 run.parties when you write the manifest",
                path.display()
            );
            parties.push(config);
        }
        Ok((coordinator, parties))
    }

    fn files(&self) -> anyhow::Result<Vec<PathBuf>> {
        let (coordinator, parties) = self.configs()?;
        let mut files = vec![self.coordinator.clone()];
        files.extend_from_slice(coordinator.labels.files());
        let state = StateFolder::existing(&coordinator.state);
        files.extend([state.top(), state.summary(), state.records()]);
        for (path, party) in self.parties.iter().zip(parties) {
            files.push(path.clone());
            files.push(party.model_path());
            files.extend_from_slice(party.columns.files());
        }
        files.iter().map(|file| absolute(file)).collect()
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))
}

fn digest(path: &Path) -> anyhow::Result<String> {
    if path.is_dir() {
        return Ok(fingerprint(&[path.to_path_buf()])?.to_string()); // a folder of images
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Digest::of(&bytes).to_string())
}
