//! Parties embedded in a program of one's own. Each would be in another organisation; here two of them and the
//! coordinator are threads of one process.
//!
//!     cargo run --release -p hashvfl-examples --example embedded_party

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use anyhow::{anyhow, ensure};
use hashvfl_coordinator::CoordinatorConfig;
use hashvfl_party::PartyConfig;

/// What all sides agree on.
const RUN: &str = "[run]\nparties = [\"left\", \"right\"]\ntask = \"multiclass\"\n";

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let digits = hashvfl_testbed::digits::Digits::load();
    fs::write(folder.path().join("left.csv"), digits.table(0))?;
    fs::write(folder.path().join("right.csv"), digits.table(1))?;
    fs::write(folder.path().join("labels.csv"), digits.label_table())?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();

    thread::scope(|scope| {
        let parties = ["left", "right"].map(|name| {
            let (folder, address) = (folder.path(), &address);
            scope.spawn(move || party(name, address, folder))
        });
        coordinator(&address, folder.path())?;
        for party in parties {
            party.join().map_err(|_| anyhow!("a party panicked"))??;
        }
        anyhow::Ok(())
    })?;
    for model in ["left/bottom.safetensors", "right/bottom.safetensors", "coordinator/top.safetensors"] {
        ensure!(folder.path().join(model).exists(), "{model} is missing");
        println!("trained: {model}");
    }
    Ok(())
}

/// What a party's program does: read a config, and train.
fn party(name: &str, coordinator: &str, folder: &Path) -> anyhow::Result<()> {
    let config = format!(
        "name = \"{name}\"\nrun_id = \"embedded\"\ncoordinator = \"http://{coordinator}\"\n\
         insecure_plaintext = true\nstate = \"{name}\"\n\
         ledger = \"{name}.redb\"\npreset = \"tabular\"\n\
         columns = {{ format = \"csv\", paths = [\"{name}.csv\"], id = \"id\" }}\n{RUN}"
    );
    hashvfl_party::train(&PartyConfig::parse(&config, folder)?, false)
}

/// What the coordinator's program does.
fn coordinator(listen: &str, folder: &Path) -> anyhow::Result<()> {
    let config = format!(
        "run_id = \"embedded\"\nlisten = \"{listen}\"\ninsecure_plaintext = true\nstate = \"coordinator\"\npreset = \"tabular\"\n\
         labels = {{ format = \"csv\", paths = [\"labels.csv\"], id = \"id\", column = \"digit\" }}\n{RUN}"
    );
    hashvfl_coordinator::train(&CoordinatorConfig::parse(&config, folder)?, false)
}
