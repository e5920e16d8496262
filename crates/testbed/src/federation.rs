//! What each organisation of a federation would have: a folder with its config file and its tables.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use hashvfl_core::RunSettings;
use hashvfl_data::{ColumnsSource, LabelsSource, Preprocessing};
use hashvfl_learning::{EncoderConfig, TopConfig};
use serde::Serialize;

use crate::identities;
use crate::processes::Configs;

/// Makes the folder anew. What is there already goes only if the same `story` made it.
pub fn fresh_folder(out: &Path, story: &str) -> anyhow::Result<PathBuf> {
    let mark = out.join(format!(".hashvfl-{story}"));
    if mark.exists() {
        fs::remove_dir_all(out).with_context(|| format!("cannot replace {}", out.display()))?;
    } else if out.exists() && fs::read_dir(out).map_or(true, |mut entries| entries.next().is_some()) {
        bail!(
            "{} exists and was not written by the {story}: choose another folder with --out",
            out.display()
        );
    }
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    write(&mark, &format!("Written by the {story}, which replaces this folder.\n"))?;
    // Configs hold relative paths from their own folder, processes may start anywhere.
    fs::canonicalize(out).with_context(|| format!("cannot find {}", out.display()))
}

/// A party's side.
pub struct PartySide {
    /// Its columns; relative paths start at its folder.
    pub columns: ColumnsSource,
    /// What happens to them first.
    pub preprocessing: Preprocessing,
    /// Its model.
    pub encoder: EncoderConfig,
    /// Seed of its weights.
    pub seed: u64,
}

/// The coordinator's side.
pub struct CoordinatorSide {
    /// The labels; relative paths start at its folder.
    pub labels: LabelsSource,
    /// Its model.
    pub top: TopConfig,
    /// Seed of its weights.
    pub seed: u64,
    /// Whether it keeps what it saw.
    pub transcript: bool,
}

#[derive(Serialize)]
struct PartyFile<'a> {
    name: &'a str,
    run_id: &'a str,
    coordinator: &'a str,
    state: &'a str,
    device: &'a str,
    seed: u64,
    preprocessing: Preprocessing,
    run: &'a RunSettings,
    columns: &'a ColumnsSource,
    encoder: &'a EncoderConfig,
}

#[derive(Serialize)]
struct CoordinatorFile<'a> {
    run_id: &'a str,
    listen: &'a str,
    state: &'a str,
    device: &'a str,
    seed: u64,
    transcript: bool,
    run: &'a RunSettings,
    labels: &'a LabelsSource,
    top: &'a TopConfig,
}

/// The folder of one organisation below `out`, made if need be.
pub fn home(out: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = out.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Writes the config files of a federation, one a folder below `out`, and makes the identities by which all sides know each
/// other; `parties` are in the order of `run.parties`.
pub fn write_configs(
    out: &Path,
    run_id: &str,
    run: &RunSettings,
    parties: &[PartySide],
    coordinator: &CoordinatorSide,
) -> anyhow::Result<Configs> {
    let mut configs = Vec::new();
    for (name, side) in run.parties.iter().zip(parties) {
        let file = PartyFile {
            name: name.as_str(),
            run_id,
            // Known when the coordinator listens.
            coordinator: "{coordinator}",
            state: "state",
            device: "cpu",
            seed: side.seed,
            preprocessing: side.preprocessing,
            run,
            columns: &side.columns,
            encoder: &side.encoder,
        };
        let config = home(out, name.as_str())?.join("party.toml");
        write(&config, &toml::to_string(&file)?)?;
        configs.push((name.to_string(), config));
    }
    let file = CoordinatorFile {
        run_id,
        listen: "127.0.0.1:0",
        state: "state",
        device: "cpu",
        seed: coordinator.seed,
        transcript: coordinator.transcript,
        run,
        labels: &coordinator.labels,
        top: &coordinator.top,
    };
    let config = home(out, "coordinator")?.join("coordinator.toml");
    write(&config, &toml::to_string(&file)?)?;
    identities::issue_all(out, &run.parties)?;
    Ok(Configs { coordinator: config, parties: configs })
}

/// Writes a text file.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
