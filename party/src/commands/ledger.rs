//! `party ledger`: what was released of each record, for the party's own eyes.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Subcommand;
use hashvfl_cli::encryption::KeyArguments;
use hashvfl_core::records::composite_id::join;
use hashvfl_core::{CanonicalId, TableIds};
use hashvfl_data::{Order, TableError};
use hashvfl_files::{say, write_whole};
use hashvfl_ledger::{LedgerReport, MEANING, Policy, RedbStore, explain_account, export, find};

use crate::config::PartyConfig;

/// What to do with a ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Show totals over all records, and what the policy allows.
    Show {
        /// The ledger file; no run may have it open.
        #[arg(long, value_name = "FILE", default_value = "ledger.redb")]
        ledger: PathBuf,
        /// Its key, if it is encrypted.
        #[command(flatten)]
        key: KeyArguments,
        /// The policy to compare with.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Write each record's account as a line of CSV, under a hash of its id.
    Export {
        /// The ledger file; no run may have it open.
        #[arg(long, value_name = "FILE", default_value = "ledger.redb")]
        ledger: PathBuf,
        /// Its key, if it is encrypted.
        #[command(flatten)]
        key: KeyArguments,
        /// The file to write; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A party's config file. With it, only the records of its table are written, under their ids.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Explain what the numbers mean; with --id, show one record's account in words.
    Explain {
        /// The ledger file; no run may have it open.
        #[arg(long, value_name = "FILE", default_value = "ledger.redb")]
        ledger: PathBuf,
        /// Its key, if it is encrypted.
        #[command(flatten)]
        key: KeyArguments,
        /// The policy to compare with.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// The record's id, in any spelling. Repeat it for each column of an id of several columns.
        #[arg(long)]
        id: Vec<String>,
    },
}

/// Carries out a command.
pub fn run(command: &LedgerCommand) -> anyhow::Result<()> {
    match command {
        LedgerCommand::Show { ledger, key, policy } => {
            let report = LedgerReport::of(&open(ledger, key)?, &read(policy.as_deref())?)?;
            say!("{}", report.to_string().trim_end());
        }
        LedgerCommand::Export { ledger, key, out, config } => {
            ensure!(!out.exists(), "{} already exists: choose another file with --out", out.display());
            let config = config.as_deref().map(PartyConfig::read).transpose()?;
            let key_columns = config.as_ref().map_or(1, |config| config.columns.ids().key_columns());
            let ids = config.map(|config| ids(&config)).transpose()?;
            let mut csv = Vec::new();
            let ids = ids.as_ref().map(|ids| TableIds { ids, key_columns });
            export(&open(ledger, key)?, ids, &mut csv)?;
            write_whole(out, &csv)?;
            say!("{} written", out.display());
        }
        LedgerCommand::Explain { ledger, key, policy, id } => {
            let (store, policy) = (open(ledger, key)?, read(policy.as_deref())?);
            if id.is_empty() {
                say!("{}\n{}", LedgerReport::of(&store, &policy)?, MEANING.trim_end());
                return Ok(());
            }
            let parts: Vec<&str> = id.iter().map(String::as_str).collect();
            let spelt = join(&parts);
            let account = find(&store, &CanonicalId::of(&spelt, parts.len()), &spelt)?;
            let account = account.context(
                "nothing has been released of a record with that id (letter case and surrounding blanks do not \
                 matter, but 7, 7.0 and 007 are three different ids)",
            )?;
            say!("{}", explain_account(&account, &policy));
        }
    }
    Ok(())
}

fn open(ledger: &Path, key: &KeyArguments) -> anyhow::Result<RedbStore> {
    key.unlock(ledger)?;
    Ok(RedbStore::open(ledger)?)
}

/// The ids of a party's records, as its runs know them: what else the table holds is not read.
pub(super) fn ids(config: &PartyConfig) -> anyhow::Result<Vec<String>> {
    if let Some(order) = &config.order {
        return Ok(Order::read(order)?.ids);
    }
    let mut ids = Vec::new();
    config.columns.ids().visit(|id| {
        ids.push(id.to_string());
        Ok::<(), TableError>(())
    })?;
    Ok(ids)
}

fn read(policy: Option<&Path>) -> anyhow::Result<Policy> {
    Ok(policy.map_or_else(|| Ok(Policy::default()), Policy::read)?)
}
