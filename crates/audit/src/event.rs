//! What happened: the kinds of entries, and a line for a person about each.

use std::collections::BTreeMap;
use std::fmt;

use hashvfl_core::PartyName;
use hashvfl_core::text::{counted, times};
use hashvfl_identity::Identity;
use serde::{Deserialize, Serialize};

/// A decision, or what came of one. Only counts, names of sides and digests: no id, value, code, label or key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AuditEvent {
    /// The log begins: its first entry.
    Opened {
        /// Whose log it is.
        side: String,
        /// The release that wrote it.
        release: String,
    },
    /// The last line was incomplete, so nobody had been told that it was written: it was cut off.
    Mended {
        /// Its bytes.
        cut_bytes: u64,
    },
    /// A party was let in.
    Joined {
        /// The party.
        party: PartyName,
        /// To what.
        service: Service,
    },
    /// A party was let in several times within a short time.
    JoinedAgain {
        /// The party.
        party: PartyName,
        /// To what.
        service: Service,
        /// How often, since the last entry about that.
        count: u64,
    },
    /// A party, a holder, a client, or this side, was refused.
    Refused {
        /// The party, where it is one of the run's, or a holder of the alignment.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        party: Option<PartyName>,
        /// Anybody else, where an authority has signed a certificate of that name.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        who: Option<Identity>,
        /// What it wanted.
        service: Service,
        /// Why, as a word.
        why: String,
        /// How often, since the last entry of this kind.
        count: u64,
    },
    /// Connections of a party broke in a run, and it came back on others.
    Returned {
        /// The party.
        party: PartyName,
        /// How often, in the whole run.
        count: u64,
    },
    /// A run went on from a checkpoint.
    Resumed {
        /// The last step before it.
        step: u64,
    },
    /// A run began.
    RunBegun {
        /// Its parties.
        parties: Vec<PartyName>,
        /// SHA-256 of its settings.
        settings_sha256: String,
        /// Records that this side holds of it.
        records: u64,
        /// Records that it goes on without.
        excluded: u64,
    },
    /// A run ended.
    RunEnded {
        /// Whether models were kept.
        finished: bool,
        /// The last step.
        step: u64,
        /// Why it did not finish, as a word.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        why: Option<String>,
    },
    /// The policy is not the one of the last entry of this kind.
    PolicyChanged {
        /// SHA-256 of the policy file; absent: there is none.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        policy_sha256: Option<String>,
    },
    /// What one side released to another.
    Released(ReleaseTotals),
    /// A private alignment ended.
    Alignment {
        /// Who took part.
        holders: Vec<PartyName>,
        /// Whether an order was written.
        finished: bool,
        /// Records of this side.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        records: Option<u64>,
        /// Records that all have.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        common: Option<u64>,
    },
    /// Predictions that a client got.
    Predictions {
        /// The client; `unnamed` without certificates.
        client: String,
        /// Its requests.
        requests: u64,
        /// Records that it asked about.
        asked: u64,
        /// Records that it got a prediction of.
        predicted: u64,
        /// Records that a party's policy refused.
        refused: u64,
    },
    /// A certificate, or a permission, was taken back.
    Revoked {
        /// Whose.
        name: String,
    },
    /// Other revocation lists count than at the last entry of this kind.
    RevocationsChanged {
        /// Their numbers.
        lists: String,
        /// Certificates that they take back, in all.
        revoked: u64,
        /// Whose are new since the lists before, where this process has known those: names or serial numbers, a few dozen at
        /// most.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        new: Vec<String>,
    },
    /// Other keys of peers are pinned than at the last entry of this kind.
    PinsChanged {
        /// SHA-256 of the names and their keys; absent: nobody is pinned.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pins_sha256: Option<String>,
        /// Names that are pinned.
        names: u64,
    },
    /// Who may do what is not what it was.
    PermissionsChanged {
        /// SHA-256 of the permissions file.
        sha256: String,
        /// How many ids the files have in all that it names for clients; absent: it names none.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        ids: Option<u64>,
    },
    /// Records, or a file, were erased.
    Erased {
        /// SHA-256 of the receipt that was kept.
        receipt_sha256: String,
        /// How much, by what.
        counts: BTreeMap<String, u64>,
    },
    /// The settings of runs were approved.
    Approved {
        /// SHA-256 of the settings.
        settings_sha256: String,
        /// Who says so.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<String>,
    },
    /// An alarm of the gradient monitor was dismissed: the run may go on.
    AlarmDismissed {
        /// The step at which it was raised.
        step: u64,
        /// Who says so.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<String>,
    },
    /// What the ledger counted in all when a run, or serving, ended: one that counts less later is an older one.
    Counted {
        /// Releases, alignments, and how often runs went on and were refused.
        items: u64,
        /// Bits of all of them.
        bits: u64,
    },
    /// A peer's log is taken as it is now, whatever heads were kept of it.
    Accepted {
        /// The peer.
        side: String,
        /// Entries of the last head that was kept.
        sequence: u64,
    },
    /// A peer told a head whose signature is not by a key that counts.
    BadSignature {
        /// The peer.
        side: String,
        /// The head's number of entries; of several, the last one's.
        sequence: u64,
        /// How many such heads, since the last entry about that.
        #[serde(skip_serializing_if = "is_one", default = "one")]
        count: u64,
    },
    /// A peer told a head that does not fit one that it told before.
    Contradiction {
        /// The peer.
        side: String,
        /// The head's number of entries.
        sequence: u64,
    },
}

fn one() -> u64 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_one(count: &u64) -> bool {
    *count == 1
}

/// What a party joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// A run.
    Training,
    /// Predictions.
    Serving,
    /// A private alignment.
    Alignment,
}

/// What one side released to another since the run, or the last such entry, began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseTotals {
    /// Who released it.
    pub from: String,
    /// Who got it: a side, or `file`.
    pub to: String,
    /// `codes` or `gradients`.
    pub what: String,
    /// Records, each as often as it was released.
    pub records: u64,
    /// Bits of all of them.
    pub bits: u64,
    /// Records that were asked for and refused.
    pub withheld: u64,
}

impl AuditEvent {
    /// A private alignment of `holders` ended; with an order of so many common records among this side's, `(records,
    /// common)`, if it finished.
    pub fn alignment(holders: &[PartyName], counts: Option<(u64, u64)>) -> Self {
        let (records, common) = counts.unzip();
        Self::Alignment { holders: holders.to_vec(), finished: counts.is_some(), records, common }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Training => "training",
            Self::Serving => "serving",
            Self::Alignment => "alignment",
        })
    }
}

impl fmt::Display for ReleaseTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, what, records, bits, withheld } = self;
        let (records, bits) = (counted(records, "record"), counted(bits, "bit"));
        write!(f, "{from} released {what} to {to}: {records}, {bits}")?;
        if *withheld > 0 { write!(f, "; {} withheld", counted(withheld, "record")) } else { Ok(()) }
    }
}

impl fmt::Display for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { side, release } => write!(f, "log of {side} opened, release {release}"),
            Self::Mended { cut_bytes } => {
                write!(f, "log mended: an incomplete last line of {} was cut off", counted(cut_bytes, "byte"))
            }
            Self::Resumed { step } => write!(f, "the run continued from the checkpoint after step {step}"),
            Self::Joined { party, service } => write!(f, "{party} joined {service}"),
            Self::JoinedAgain { party, service, count } => {
                write!(f, "{party} joined {service} {} more", times(count))
            }
            Self::Refused { party, who, service, why, count } => {
                write!(f, "{} refused from {service}", refusee(party.as_ref(), who.as_ref()))?;
                if *count == 1 { write!(f, ": {why}") } else { write!(f, " {count} times: {why}") }
            }
            Self::Returned { party, count } => write!(f, "{party} reconnected {}", times(count)),
            Self::RunBegun { parties, settings_sha256, records, excluded } => {
                let (parties, records) = (names(parties), counted(records, "record"));
                write!(
                    f,
                    "run started with {parties}: {records}, {excluded} excluded, settings {settings_sha256}"
                )
            }
            Self::RunEnded { finished: true, step, .. } => write!(f, "run finished at step {step}"),
            Self::RunEnded { finished: false, step, why } => {
                write!(f, "run ended unfinished at step {step}: {}", why.as_deref().unwrap_or("unknown"))
            }
            Self::PolicyChanged { policy_sha256: Some(policy) } => write!(f, "policy in force: {policy}"),
            Self::PolicyChanged { policy_sha256: None } => f.write_str("policy removed"),
            Self::Released(release) => release.fmt(f),
            Self::Alignment { holders, finished: false, .. } => {
                write!(f, "alignment with {} failed", names(holders))
            }
            Self::Alignment { holders, records, common, .. } => {
                let (common, records) = (common.unwrap_or_default(), records.unwrap_or_default());
                write!(f, "records aligned with {}: {common} of {records} are common", names(holders))
            }
            Self::Predictions { client, requests, asked, predicted, refused } => {
                let (requests, asked) = (counted(requests, "request"), counted(asked, "record"));
                write!(
                    f,
                    "client {client}: {requests} about {asked}, {predicted} predicted, {refused} refused"
                )
            }
            Self::Revoked { name } => write!(f, "{name} revoked"),
            Self::RevocationsChanged { lists, revoked, new } => {
                write!(f, "revocation list {lists} in force: {} revoked", counted(revoked, "certificate"))?;
                if new.is_empty() { Ok(()) } else { write!(f, "; new: {}", new.join(", ")) }
            }
            Self::PinsChanged { pins_sha256, names } => write_pins(f, pins_sha256.as_deref(), *names),
            Self::PermissionsChanged { sha256, ids } => write_permissions(f, sha256, *ids),
            Self::Erased { receipt_sha256, counts } => {
                let counts: Vec<String> =
                    counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
                write!(f, "erased {}; receipt {receipt_sha256}", counts.join(", "))
            }
            Self::Approved { settings_sha256, by } => {
                write!(f, "settings {settings_sha256} approved")?;
                by.as_ref().map_or(Ok(()), |by| write!(f, " by {by}"))
            }
            Self::AlarmDismissed { step, by } => {
                write!(f, "gradient alarm of step {step} dismissed")?;
                by.as_ref().map_or(Ok(()), |by| write!(f, " by {by}"))
            }
            Self::Counted { items, bits } => write_counted(f, *items, *bits),
            Self::Accepted { side, sequence } => {
                let entries = counted(sequence, "entry");
                write!(f, "the log of {side} is taken as it is now, in place of one of {entries}")
            }
            Self::BadSignature { side, sequence, count } => write_bad_signature(f, side, *sequence, *count),
            Self::Contradiction { side, sequence } => {
                let entries = counted(sequence, "entry");
                write!(f, "{side} sent a head with {entries}, which contradicts an earlier head")
            }
        }
    }
}

/// Who was refused, as far as it is known.
fn refusee(party: Option<&PartyName>, who: Option<&Identity>) -> String {
    match (party, who) {
        (Some(party), _) => party.to_string(),
        (None, Some(who)) => who.to_string(),
        (None, None) => "a stranger".to_string(),
    }
}

fn write_permissions(f: &mut fmt::Formatter<'_>, sha256: &str, ids: Option<u64>) -> fmt::Result {
    write!(f, "permissions in force: {sha256}")?;
    ids.map_or(Ok(()), |ids| write!(f, ", with {} listed for clients", counted(ids, "record id")))
}

fn write_pins(f: &mut fmt::Formatter<'_>, sha256: Option<&str>, names: u64) -> fmt::Result {
    match sha256 {
        Some(pins) => write!(f, "pins in force: {pins}, of {}", counted(names, "name")),
        None => f.write_str("pins removed"),
    }
}

fn write_counted(f: &mut fmt::Formatter<'_>, items: u64, bits: u64) -> fmt::Result {
    let (items, bits) = (counted(items, "item"), counted(bits, "bit"));
    write!(f, "the ledger counts {items} (releases, alignments, resumes, refusals), {bits} in total")
}

fn write_bad_signature(f: &mut fmt::Formatter<'_>, side: &str, sequence: u64, count: u64) -> fmt::Result {
    let entries = counted(sequence, "entry");
    write!(f, "{side} sent a head with {entries}, which is not signed by an accepted key")?;
    if count == 1 { Ok(()) } else { write!(f, ", as {} before it", counted(count - 1, "head")) }
}

fn names(parties: &[PartyName]) -> String {
    parties.iter().map(PartyName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_a_ledger_counts_is_called_no_release() {
        let said = AuditEvent::Counted { items: 1, bits: 0 }.to_string();
        let expected = "the ledger counts 1 item (releases, alignments, resumes, refusals), 0 bits in total";
        assert_eq!(said, expected);
    }
}
