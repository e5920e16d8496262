//! The subcommand `audit` of party and coordinator.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use hashvfl_audit::{AuditConfig, Chain, KeptHead, Side, read_heads};
use hashvfl_files::{say, write_whole};

/// What `party audit` and `coordinator audit` do.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show the entries, one a line.
    Show {
        /// Which log.
        #[command(flatten)]
        log: LogPlace,
        /// Only entries about this run.
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// Only the last so many.
        #[arg(long, value_name = "COUNT")]
        last: Option<usize>,
    },
    /// Verify that the entries follow from each other, and with --against that they are those that a peer heard of.
    Verify {
        /// Which log.
        #[command(flatten)]
        log: LogPlace,
        /// A file of heads of this log that a peer kept: from the folder `heads` of the peer's audit trail.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
    },
    /// Take a peer's log as it is now, though it is not the one of which heads were kept: the peer has told why.
    Accept {
        /// This side's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The peer: party/NAME, or coordinator.
        #[arg(value_name = "SIDE")]
        side: Side,
    },
    /// Copy the log into a file, to hand over.
    Export {
        /// Which log.
        #[command(flatten)]
        log: LogPlace,
        /// The file to write; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Where a log is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct LogPlace {
    /// The config file of the side whose log it is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A log, or a copy that a peer has exported.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

impl LogPlace {
    fn path(&self, audit: fn(&Path) -> anyhow::Result<AuditConfig>) -> anyhow::Result<PathBuf> {
        if let Some(log) = &self.log {
            return Ok(log.clone());
        }
        let config = self.config.as_deref().context("which log? Name it with --config or --log")?;
        let audit = audit(config)?;
        let path = audit.log();
        ensure!(
            path.exists(),
            "{} is not there: nothing has been written down under this config yet",
            path.display()
        );
        Ok(path)
    }
}

impl AuditCommand {
    /// Does it, and says on standard output what was found; `audit` reads a config file's table `[audit]`.
    ///
    /// # Errors
    /// If the log cannot be read, its entries do not follow from each other, or they are not those of the heads.
    pub fn run(&self, audit: fn(&Path) -> anyhow::Result<AuditConfig>) -> anyhow::Result<()> {
        match self {
            Self::Show { log, run, last } => show(&log.path(audit)?, run.as_deref(), *last),
            Self::Verify { log, against } => verify(&log.path(audit)?, against.as_deref()),
            Self::Accept { config, side } => {
                let sequence = audit(config)?.accept(side)?;
                say!(
                    "the log of {side} is taken as it is now; a head of {sequence} entries was kept of the one before, and is put aside"
                );
                Ok(())
            }
            Self::Export { log, out } => export(&log.path(audit)?, out),
        }
    }
}

fn show(log: &Path, run: Option<&str>, last: Option<usize>) -> anyhow::Result<()> {
    let chain = Chain::read(log)?;
    let mut wanted = Vec::new();
    for entry in &chain.entries {
        if run.is_none_or(|run| entry.run.as_deref() == Some(run)) {
            wanted.push(entry);
        }
    }
    let skipped = wanted.len().saturating_sub(last.unwrap_or(wanted.len()));
    for entry in &wanted[skipped..] {
        let run = entry.run.as_deref().unwrap_or("-");
        say!("{:>6}  {}  {run}  {}", entry.sequence, entry.time, entry.describe());
    }
    Ok(())
}

fn verify(log: &Path, against: Option<&Path>) -> anyhow::Result<()> {
    let chain = Chain::read(log)?;
    if chain.incomplete_bytes > 0 {
        say!(
            "the last line is incomplete: nobody was told that it was written, and the next start of its side cuts it off"
        );
    }
    match against {
        None => say!(
            "{} entries follow from each other; whether they are those of the past, only heads that a peer kept can tell \
             (--against)",
            chain.entries.len()
        ),
        Some(file) => {
            let heads = read_heads(file)?;
            ensure!(!heads.is_empty(), "{} holds no head: nothing can be compared", file.display());
            let vouched = chain.compare(&heads).with_context(|| file.display().to_string())?;
            tell_signatures(&heads).with_context(|| file.display().to_string())?;
            say!(
                "all {} heads fit: entries 1 to {vouched} are what they were; nobody vouches for the {} after them",
                heads.len(),
                chain.entries.len() as u64 - vouched
            );
        }
    }
    say!("head: {}", chain.head());
    Ok(())
}

/// Verifies the signatures of heads, and says by which keys they are.
fn tell_signatures(heads: &[KeptHead]) -> anyhow::Result<()> {
    let (mut keys, mut unsigned) = (BTreeMap::new(), 0);
    for head in heads {
        match head.verify().with_context(|| format!("the head with {} entries", head.sequence))? {
            Some(key) => *keys.entry(key).or_insert(0) += 1,
            None => unsigned += 1,
        }
    }
    for (key, count) in keys {
        say!("{count} heads are signed with the key {key}: compare it with the one that was read out");
    }
    if unsigned > 0 {
        say!("{unsigned} heads are not signed");
    }
    Ok(())
}

fn export(log: &Path, out: &Path) -> anyhow::Result<()> {
    ensure!(!out.exists(), "{} is there already: name another file with --out", out.display());
    let chain = Chain::read(log)?;
    let mut bytes = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    // Nobody was told of an incomplete last line.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    bytes.truncate(whole);
    write_whole(out, &bytes)?;
    say!("{} written; head: {}", out.display(), chain.head());
    Ok(())
}
