//! `party ledger`: what was released of each record, for the party's own eyes.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Subcommand;
use hashvfl_files::write_whole;
use hashvfl_ledger::{MEANING, Policy, RecordKey, RedbStore, Report, Store, explain_account, export};

use crate::config::PartyConfig;

/// What to do with a ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Totals over all records, beside what the policy allows.
    Show {
        /// The ledger; no run may have it open.
        #[arg(long, value_name = "FILE", default_value = "ledger.redb")]
        ledger: PathBuf,
        /// The policy to compare with.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Every record's account as a line of CSV, under a hash of its id.
    Export {
        /// The ledger; no run may have it open.
        #[arg(long, value_name = "FILE", default_value = "ledger.redb")]
        ledger: PathBuf,
        /// The file to write; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A party's config: its table's records alone, and by id.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// What the numbers mean; with --id, one record's account in words.
    Explain {
        /// The ledger; no run may have it open.
        #[arg(long, value_name = "FILE", default_value = "ledger.redb")]
        ledger: PathBuf,
        /// The policy to compare with.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// The record's id.
        #[arg(long)]
        id: Option<String>,
    },
}

/// Carries out a command.
pub fn run(command: &LedgerCommand) -> anyhow::Result<()> {
    match command {
        LedgerCommand::Show { ledger, policy } => {
            print!("{}", Report::of(&RedbStore::open(ledger)?, &read(policy.as_deref())?)?);
        }
        LedgerCommand::Export { ledger, out, config } => {
            ensure!(!out.exists(), "{} is there already: name another file with --out", out.display());
            let config = config.as_deref().map(PartyConfig::read).transpose()?;
            let table = config.map(|config| hashvfl_data::load(&config.columns)).transpose()?;
            let mut csv = Vec::new();
            let ids = table.as_ref().map(|table| table.ids.as_slice());
            export(&RedbStore::open(ledger)?, ids, &mut csv)?;
            write_whole(out, &csv)?;
            println!("{} written", out.display());
        }
        LedgerCommand::Explain { ledger, policy, id } => {
            let (store, policy) = (RedbStore::open(ledger)?, read(policy.as_deref())?);
            let Some(id) = id else {
                print!("{}\n{MEANING}", Report::of(&store, &policy)?);
                return Ok(());
            };
            let (key, mut found) = (RecordKey::of(&store.salt(), id), None);
            store.scan(&mut |other, account| {
                if other == key {
                    found = Some(account);
                }
            })?;
            let account = found.context("nothing was ever released of a record of that id")?;
            println!("{}", explain_account(&account, &policy));
        }
    }
    Ok(())
}

fn read(policy: Option<&Path>) -> anyhow::Result<Policy> {
    Ok(policy.map_or_else(|| Ok(Policy::default()), Policy::read)?)
}
