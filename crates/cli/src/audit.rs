//! The subcommand `audit` of party and coordinator.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use hashvfl_audit::{AuditConfig, KeptHead, LogChain, Receipt, Side, read_heads};
use hashvfl_core::text::counted;
use hashvfl_files::{say, write_whole};
use hashvfl_identity::{Fingerprint, IdentityConfig, Pins, Role};

/// What `party audit` and `coordinator audit` do.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show the entries, one per line.
    Show {
        /// Which log.
        #[command(flatten)]
        log: LogPlace,
        /// Only entries about this run.
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        /// Only the last COUNT entries.
        #[arg(long, value_name = "COUNT")]
        last: Option<usize>,
    },
    /// Verify that the chain of entries is unbroken and, with --against, that it matches the heads that a peer kept.
    Verify {
        /// Which log.
        #[command(flatten)]
        log: LogPlace,
        /// A file of heads of this log that a peer kept: from the folder `heads` of the peer's audit trail.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// Compare only with heads that were sent in this run.
        #[arg(long, value_name = "RUN", requires = "against")]
        run: Option<String>,
    },
    /// Verify another side's erasure receipt: its signature, and that it matches this request.
    Receipt {
        /// The receipt.
        #[arg(value_name = "RECEIPT")]
        receipt: PathBuf,
        /// The file of ids sent to the other side, unchanged.
        #[arg(long, value_name = "FILE")]
        ids: PathBuf,
        /// The key to verify the signature with.
        #[command(flatten)]
        signer: Signer,
    },
    /// Accept a peer's log that does not match the recorded heads.
    Accept {
        /// This side's config file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The peer: party/NAME, or coordinator.
        #[arg(value_name = "SIDE")]
        side: Side,
    },
    /// Copy the log into a file, to give to a peer or an auditor.
    Export {
        /// Which log.
        #[command(flatten)]
        log: LogPlace,
        /// The file to write; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// What tells the key of another side.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Signer {
    /// This side's config file: its identity pins the key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The fingerprint of the other side's key, as its owner has read it out.
    #[arg(long, value_name = "FINGERPRINT")]
    key: Option<Fingerprint>,
}

/// The keys that a side may have, and whose of the pinned ones they are.
struct KnownKeys {
    keys: Vec<Fingerprint>,
    pins: Pins,
}

impl KnownKeys {
    /// Whose key this is, for a person; nothing where it was read out.
    fn owner(&self, side: &Side, key: Fingerprint) -> String {
        let owner = self.pins.owner(role_of(side), key);
        owner.map_or_else(String::new, |owner| format!(" (pinned as that of {owner})"))
    }
}

fn role_of(side: &Side) -> Role {
    match side {
        Side::Coordinator => Role::Coordinator,
        Side::Party(_) => Role::Party,
    }
}

impl Signer {
    /// The keys that `side` may have. The coordinator is the one that the config names, where it names one.
    fn keys(&self, side: &Side, read: ReadConfig) -> anyhow::Result<KnownKeys> {
        if let Some(key) = self.key {
            return Ok(KnownKeys { keys: vec![key], pins: Pins::default() });
        }
        let config = self.config.as_deref().context("no key to verify with: pass --config or --key")?;
        let Some(identity) = read(config)?.identity else {
            return Ok(KnownKeys { keys: Vec::new(), pins: Pins::default() });
        };
        let pins = Pins::read(&identity.pins)?;
        let name = match side {
            Side::Coordinator => identity.coordinator.as_ref(),
            Side::Party(name) => Some(name),
        };
        Ok(KnownKeys { keys: pins.keys_of(role_of(side), name), pins })
    }
}

/// What the commands need of a side's config file.
#[derive(Debug)]
pub struct AuditedSide {
    /// Its table `[audit]`.
    pub audit: AuditConfig,
    /// Who it is, and whose keys it knows; `None`: it speaks in plain text.
    pub identity: Option<IdentityConfig>,
}

/// Reads what the commands need of the config file at a path.
type ReadConfig = fn(&Path) -> anyhow::Result<AuditedSide>;

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
    fn path(&self, read: ReadConfig) -> anyhow::Result<PathBuf> {
        if let Some(log) = &self.log {
            return Ok(log.clone());
        }
        let config = self.config.as_deref().context("no log was named: pass --config or --log")?;
        let path = read(config)?.audit.log();
        ensure!(
            path.exists(),
            "{} does not exist: nothing has been recorded under this config yet",
            path.display()
        );
        Ok(path)
    }
}

impl AuditCommand {
    /// Does it, and says on standard output what was found; `read` reads this side's config file.
    ///
    /// # Errors
    /// If the log cannot be read, its entries do not follow from each other, or they are not those of the heads; if a receipt
    /// is not that of its side for the request.
    pub fn run(&self, read: ReadConfig) -> anyhow::Result<()> {
        match self {
            Self::Show { log, run, last } => show(&log.path(read)?, run.as_deref(), *last),
            Self::Verify { log, against, run } => {
                verify(&log.path(read)?, against.as_deref(), run.as_deref())
            }
            Self::Receipt { receipt, ids, signer } => verify_receipt(receipt, ids, signer, read),
            Self::Accept { config, side } => {
                let entries = counted(read(config)?.audit.accept(side)?, "entry");
                say!("accepted the current log of {side}; the old head ({entries}) was archived");
                Ok(())
            }
            Self::Export { log, out } => export(&log.path(read)?, out),
        }
    }
}

fn show(log: &Path, run: Option<&str>, last: Option<usize>) -> anyhow::Result<()> {
    let chain = LogChain::read(log)?;
    let mut wanted = Vec::new();
    for entry in &chain.entries {
        if run.is_none_or(|run| entry.run.as_deref() == Some(run)) {
            wanted.push(entry);
        }
    }
    let skipped = wanted.len().saturating_sub(last.unwrap_or(wanted.len()));
    for entry in &wanted[skipped..] {
        say!("{}", entry.line());
    }
    Ok(())
}

fn verify(log: &Path, against: Option<&Path>, run: Option<&str>) -> anyhow::Result<()> {
    let chain = LogChain::read(log)?;
    if chain.incomplete_bytes > 0 {
        say!(
            "the last line is incomplete: it was never reported as written, and the next start of its side cuts it off"
        );
    }
    match against {
        None => say!(
            "{}: hash chain intact. To check that nothing was rewritten, compare with a peer's heads (--against FILE)",
            counted(chain.entries.len(), "entry")
        ),
        Some(file) => {
            let mut heads = read_heads(file)?;
            heads.retain(|head| run.is_none_or(|run| head.run.as_str() == run));
            let of_run = run.map_or_else(String::new, |run| format!(" of run {run}"));
            ensure!(
                !heads.is_empty(),
                "{} holds no head{of_run}: there is nothing to compare with",
                file.display()
            );
            tell_signatures(&heads).with_context(|| file.display().to_string())?;
            let vouched = compare(&chain, &heads).with_context(|| file.display().to_string())?;
            say!(
                "{} compared: entries 1 to {vouched} are unchanged; no head covers the {} after them",
                counted(heads.len(), "head"),
                counted(chain.entries.len() as u64 - vouched, "entry")
            );
        }
    }
    say!("head: {}", chain.head());
    Ok(())
}

fn verify_receipt(path: &Path, ids: &Path, signer: &Signer, read: ReadConfig) -> anyhow::Result<()> {
    let request = fs::read(ids).with_context(|| format!("cannot read {}", ids.display()))?;
    let receipt = Receipt::read(path).with_context(|| path.display().to_string())?;
    let side = receipt.side()?;
    let known = signer.keys(&side, read)?;
    let key = receipt.verify(&request, &known.keys);
    let key = key.with_context(|| format!("{} is not the receipt of {}", path.display(), ids.display()))?;
    let owner = known.owner(&side, key);
    say!("{side} has signed, with the key {key}{owner}, that it erased the records of {}", ids.display());
    receipt.receipt.lines().iter().for_each(|line| say!("{line}"));
    Ok(())
}

/// The largest number of entries that `heads` vouch for, whose signatures were verified. Whoever sends the file could have
/// written those that are not signed: they are compared last, and the error says which it is.
fn compare(chain: &LogChain, heads: &[KeptHead]) -> anyhow::Result<u64> {
    let signed: Vec<KeptHead> = heads.iter().filter(|head| head.signature.is_some()).cloned().collect();
    chain.compare(&signed)?;
    chain.compare(heads).context(
        "no signed head contradicts the log; one that is not signed does, which anybody could have written",
    )
}

/// Verifies the signatures of heads, and says by which keys they are.
fn tell_signatures(heads: &[KeptHead]) -> anyhow::Result<()> {
    let (mut keys, mut unsigned) = (BTreeMap::new(), 0);
    for head in heads {
        match head.verify().with_context(|| format!("the head with {}", counted(head.sequence, "entry")))? {
            Some(key) => *keys.entry(key).or_insert(0) += 1,
            None => unsigned += 1,
        }
    }
    for (key, count) in keys {
        let heads = counted(count, "head");
        say!("{heads} signed with the key {key}: compare it with the one that was read out");
    }
    if unsigned > 0 {
        say!("{} not signed", counted(unsigned, "head"));
    }
    Ok(())
}

fn export(log: &Path, out: &Path) -> anyhow::Result<()> {
    ensure!(!out.exists(), "{} already exists: choose another file with --out", out.display());
    let chain = LogChain::read(log)?;
    let mut bytes = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    // Nobody was told of an incomplete last line.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    bytes.truncate(whole);
    write_whole(out, &bytes)?;
    say!("{} written; head: {}", out.display(), chain.head());
    Ok(())
}

#[cfg(test)]
mod tests {
    use hashvfl_audit::{AuditLog, Head, HeadMoment};
    use hashvfl_core::{Digest, RunId};

    use super::*;

    #[test]
    fn heads_that_were_sent_in_another_run_are_left_out_where_one_is_named() {
        let place = tempfile::tempdir().unwrap();
        let (log, file) = (place.path().join("log.jsonl"), place.path().join("coordinator.jsonl"));
        let own = AuditLog::open(&log, &Side::Coordinator).unwrap().head();
        let other = Head { sequence: 9, entry: Digest([1; 32]) };
        let mut lines = String::new();
        for (run, head) in [("spring", own), ("autumn", other)] {
            let head = KeptHead {
                side: "coordinator".to_string(),
                run: RunId::new(run).unwrap(),
                at: HeadMoment::Begin,
                time: String::new(),
                sequence: head.sequence,
                entry_sha256: head.entry.to_string(),
                signature: None,
                key: None,
            };
            lines += &serde_json::to_string(&head).unwrap();
            lines.push('\n');
        }
        fs::write(&file, lines).unwrap();
        verify(&log, Some(&file), Some("spring")).unwrap();
        let error = format!("{:#}", verify(&log, Some(&file), None).unwrap_err());
        assert!(error.contains("It has no entry of that run"), "{error}");
        let error = format!("{:#}", verify(&log, Some(&file), Some("winter")).unwrap_err());
        assert!(error.contains("holds no head of run winter"), "{error}");
    }
}
