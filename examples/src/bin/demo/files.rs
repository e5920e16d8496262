//! What each organisation would have: a folder with its table and its config file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use hashvfl_core::RunSettings;
use hashvfl_examples::processes::Configs;
use serde::Serialize;

use crate::baseline;
use crate::data::Digits;

/// Names of the parties, in the order of their codes.
pub const PARTIES: [&str; 2] = ["left", "right"];
const MARK: &str = ".hashvfl-demo";

/// Makes the folder anew. What is there already goes only if a demo made it.
pub fn fresh_folder(out: &Path) -> anyhow::Result<PathBuf> {
    if out.join(MARK).exists() {
        fs::remove_dir_all(out).with_context(|| format!("cannot replace {}", out.display()))?;
    } else if out.exists() && fs::read_dir(out).map_or(true, |mut entries| entries.next().is_some()) {
        bail!("{} is there and no demo made it: name another folder with --out", out.display());
    }
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    write(&out.join(MARK), "Written by the demo, which replaces this folder.\n")?;
    // Configs hold relative paths from their own folder, processes may start anywhere.
    fs::canonicalize(out).with_context(|| format!("cannot find {}", out.display()))
}

#[derive(Serialize)]
struct PartyFile<'a> {
    name: &'a str,
    run_id: &'a str,
    coordinator: &'a str,
    state: &'a str,
    device: &'a str,
    seed: u64,
    run: &'a RunSettings,
    columns: hashvfl_data::ColumnsSource,
    encoder: hashvfl_learning::EncoderConfig,
}

#[derive(Serialize)]
struct CoordinatorFile<'a> {
    run_id: &'a str,
    listen: &'a str,
    state: &'a str,
    device: &'a str,
    seed: u64,
    run: &'a RunSettings,
    labels: hashvfl_data::LabelsSource,
    top: hashvfl_learning::TopConfig,
}

/// Writes tables and configs of the federation.
pub fn write_federation(
    out: &Path,
    digits: &Digits,
    settings: &RunSettings,
    seed: u64,
) -> anyhow::Result<Configs> {
    let run_id = "demo";
    let home = |name: &str| {
        let folder = out.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        anyhow::Ok(folder)
    };
    let mut parties = Vec::new();
    for (half, name) in PARTIES.into_iter().enumerate() {
        let folder = home(name)?;
        write(&folder.join("pixels.csv"), &digits.table(half))?;
        let columns = hashvfl_data::ColumnsSource::Csv(hashvfl_data::CsvColumns {
            paths: vec!["pixels.csv".into()],
            id: "id".to_string(),
            columns: None,
            ignore: Vec::new(),
            image: None,
        });
        let file = PartyFile {
            name,
            run_id,
            // Known when the coordinator listens.
            coordinator: "{coordinator}",
            state: "state",
            device: "cpu",
            seed: baseline::party_seed(seed, half),
            run: settings,
            columns,
            encoder: baseline::encoder(),
        };
        let config = folder.join("party.toml");
        write(&config, &toml::to_string(&file)?)?;
        parties.push((name.to_string(), config));
    }
    let folder = home("coordinator")?;
    write(&folder.join("labels.csv"), &digits.label_table())?;
    let labels = hashvfl_data::LabelsSource::Csv(hashvfl_data::CsvLabels {
        paths: vec!["labels.csv".into()],
        id: "id".to_string(),
        column: "digit".to_string(),
    });
    let file = CoordinatorFile {
        run_id,
        listen: "127.0.0.1:0",
        state: "state",
        device: "cpu",
        seed,
        run: settings,
        labels,
        top: baseline::top(),
    };
    let coordinator = folder.join("coordinator.toml");
    write(&coordinator, &toml::to_string(&file)?)?;
    Ok(Configs { coordinator, parties })
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
