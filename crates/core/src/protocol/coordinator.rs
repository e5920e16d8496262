//! The coordinator's side of the protocol, one pure state machine a party: who may join, and whether each
//! message is the answer to the request that is open.

use std::collections::BTreeSet;

use crate::codes::packed::{CodeError, PackedCodes};
use crate::digest::Digest;
use crate::name::{PartyName, RunId};
use crate::protocol::message::{FromCoordinator, FromParty, Hello, PROTOCOL_VERSION};
use crate::records::RecordsDigest;
use crate::records::excluded::ExcludedRecords;
use crate::settings::{OnRefusal, Settings};

/// Why a party may not join. Each is sent to the party as text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another protocol version.
    #[error(
        "protocol version {party} is not the coordinator's {coordinator}: install the same release on both sides"
    )]
    Version {
        /// The party's.
        party: u32,
        /// The coordinator's.
        coordinator: u32,
    },
    /// Another run.
    #[error("run_id is {coordinator} at the coordinator and {party} at the party: make them equal")]
    Run {
        /// The party's.
        party: RunId,
        /// The coordinator's.
        coordinator: RunId,
    },
    /// A name that the run does not have.
    #[error("{party} is not among run.parties of run {run}: correct `name`, or add it on all sides")]
    Unknown {
        /// The name.
        party: PartyName,
        /// The run.
        run: RunId,
    },
    /// A name that is taken.
    #[error(
        "a party named {party} has joined run {run} already: each party joins once, under a name of its own"
    )]
    Duplicate {
        /// The name.
        party: PartyName,
        /// The run.
        run: RunId,
    },
    /// Settings whose digest is not that of the pairs.
    #[error("the digest of the settings does not fit their pairs: the message was damaged or forged")]
    SettingsDigest,
    /// Settings that differ.
    #[error(
        "{key} is {coordinator} at the coordinator and {party} at the party: make them equal in both configs"
    )]
    Settings {
        /// The key.
        key: String,
        /// The coordinator's value.
        coordinator: String,
        /// The party's value.
        party: String,
    },
    /// Another number of records.
    #[error(
        "{party} holds {found} records and the label holder {expected}: align the tables before training"
    )]
    RecordCount {
        /// The party.
        party: PartyName,
        /// Its count.
        found: u64,
        /// The label holder's count.
        expected: u64,
    },
    /// The same number of records, but other ones or in another order.
    #[error(
        "{party} holds other records than the label holder, or in another order: sort both tables by the same id, written alike: 7, 7.0 and 007 are three"
    )]
    RecordOrder {
        /// The party.
        party: PartyName,
    },
    /// It leaves out records, where the run does not go on without any, or in a form that is none.
    #[error("{party} cannot leave out records: {reason}")]
    ExcludedRecords {
        /// The party.
        party: PartyName,
        /// Why not.
        reason: String,
    },
}

/// Who may join a run, and who has.
#[derive(Debug)]
pub struct Admission {
    run: RunId,
    settings: Settings,
    expected: BTreeSet<PartyName>,
    joined: BTreeSet<PartyName>,
}

impl Admission {
    /// Opens a run to `parties`.
    pub fn new(run: RunId, settings: Settings, parties: impl IntoIterator<Item = PartyName>) -> Self {
        Self { run, settings, expected: parties.into_iter().collect(), joined: BTreeSet::new() }
    }

    /// Checks a greeting and, if it is right, takes the name.
    pub fn greet(&mut self, hello: &Hello) -> Result<(), Refusal> {
        if hello.protocol != PROTOCOL_VERSION {
            return Err(Refusal::Version { party: hello.protocol, coordinator: PROTOCOL_VERSION });
        }
        if hello.run != self.run {
            return Err(Refusal::Run { party: hello.run.clone(), coordinator: self.run.clone() });
        }
        let party = hello.party.clone();
        if !self.expected.contains(&party) {
            return Err(Refusal::Unknown { party, run: self.run.clone() });
        }
        if hello.settings.digest() != hello.settings_digest {
            return Err(Refusal::SettingsDigest);
        }
        if let Some(difference) = self.settings.difference(&hello.settings) {
            let (key, coordinator, party) = (difference.key, difference.ours, difference.theirs);
            return Err(Refusal::Settings { key, coordinator, party });
        }
        if !self.joined.insert(party.clone()) {
            return Err(Refusal::Duplicate { party, run: self.run.clone() });
        }
        Ok(())
    }

    /// Frees the name of a party whose handshake did not come to its end.
    pub fn release(&mut self, party: &PartyName) {
        self.joined.remove(party);
    }

    /// Number of parties that the run has.
    pub fn expected(&self) -> usize {
        self.expected.len()
    }

    /// The parties that have not joined yet.
    pub fn missing(&self) -> Vec<PartyName> {
        self.expected.difference(&self.joined).cloned().collect()
    }
}

/// Compares a party's records with the label holder's.
pub fn check_records(party: &PartyName, ours: RecordsDigest, theirs: RecordsDigest) -> Result<(), Refusal> {
    if theirs.count != ours.count {
        return Err(Refusal::RecordCount { party: party.clone(), found: theirs.count, expected: ours.count });
    }
    if theirs.digest != ours.digest { Err(Refusal::RecordOrder { party: party.clone() }) } else { Ok(()) }
}

/// Whether a party may leave out these records of `records`.
pub fn check_excluded(
    party: &PartyName,
    excluded: &ExcludedRecords,
    (records, on_refusal): (usize, OnRefusal),
) -> Result<(), Refusal> {
    let refuse = |reason: String| Err(Refusal::ExcludedRecords { party: party.clone(), reason });
    if on_refusal == OnRefusal::End && !excluded.is_empty() {
        return refuse("run.on_refusal is \"end\"".into());
    }
    excluded.check(records).or_else(|error| refuse(error.to_string()))
}

/// A party's answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Codes of the records asked for.
    Codes(PackedCodes),
    /// The request was carried out.
    Done,
    /// The bottom model is frozen.
    Frozen(Digest),
}

/// Why a party's message is not the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// A message of another kind than the open request asks for.
    #[error("step {step}: {party} sent {found}, expected {expected}: install the same release on both sides")]
    Unexpected {
        /// The open request's step.
        step: u64,
        /// The party.
        party: PartyName,
        /// The message.
        found: &'static str,
        /// What would be right.
        expected: &'static str,
    },
    /// An answer to another step.
    #[error("step {expected}: {party} answered for step {found}: install the same release on both sides")]
    Step {
        /// The party.
        party: PartyName,
        /// The answer's step.
        found: u64,
        /// The open request's step.
        expected: u64,
    },
    /// Codes of a wrong length.
    #[error("step {step}: {party}: {source}")]
    Codes {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// What is wrong with them.
        source: CodeError,
    },
    /// The party gave up.
    #[error("step {step}: {party} stopped: {text}")]
    Failed {
        /// The step.
        step: u64,
        /// The party.
        party: PartyName,
        /// What it said.
        text: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Open {
    Nothing,
    Codes { rows: usize },
    Checkpointed,
    Restored,
    Frozen,
    Finished,
}

impl Open {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Codes { .. } => "Codes",
            Self::Checkpointed => "Checkpointed",
            Self::Restored => "Restored",
            Self::Frozen => "Frozen",
            Self::Finished => "Finished",
        }
    }
}

/// The coordinator's view of one party that has joined.
#[derive(Debug)]
pub struct PeerSession {
    party: PartyName,
    bits: usize,
    step: u64,
    open: Open,
}

impl PeerSession {
    /// A party that was accepted, with codes of `bits` bits.
    pub fn new(party: PartyName, bits: usize) -> Self {
        Self { party, bits, step: 0, open: Open::Nothing }
    }

    /// The party.
    pub fn party(&self) -> &PartyName {
        &self.party
    }

    /// Notes that `request` goes to the party; `rows` is the number of codes that it asks for.
    pub fn requested(&mut self, request: &FromCoordinator, rows: usize) {
        let (step, open) = match request {
            FromCoordinator::Encode { step, .. } | FromCoordinator::EncodeSynthetic { step, .. } => {
                (*step, Open::Codes { rows })
            }
            FromCoordinator::Checkpoint { step, .. } => (*step, Open::Checkpointed),
            FromCoordinator::Restore { step, .. } => (*step, Open::Restored),
            FromCoordinator::Freeze { step } => (*step, Open::Frozen),
            FromCoordinator::Finish { step } => (*step, Open::Finished),
            _ => return,
        };
        self.step = step;
        self.open = open;
    }

    /// Checks that `message` answers the open request.
    pub fn receive(&mut self, message: FromParty) -> Result<Answer, PeerError> {
        let (party, expected) = (self.party.clone(), self.step);
        let unexpected = PeerError::Unexpected {
            step: expected,
            party,
            found: message.kind(),
            expected: self.open.name(),
        };
        let (step, answer) = match (self.open, message) {
            (_, FromParty::Failed { text }) => {
                return Err(PeerError::Failed { step: expected, party: self.party.clone(), text });
            }
            (Open::Codes { rows }, FromParty::Codes { step, bytes }) if step == expected => {
                let codes = PackedCodes::from_bytes(rows, self.bits, bytes);
                let party = self.party.clone();
                (step, Answer::Codes(codes.map_err(|source| PeerError::Codes { step, party, source })?))
            }
            (Open::Codes { .. }, FromParty::Codes { step, .. }) => (step, Answer::Done),
            (Open::Checkpointed, FromParty::Checkpointed { step }) => (step, Answer::Done),
            (Open::Restored, FromParty::Restored { step }) => (step, Answer::Done),
            (Open::Frozen, FromParty::Frozen { step, encoder }) => (step, Answer::Frozen(encoder)),
            (Open::Finished, FromParty::Finished { step }) => (step, Answer::Done),
            _ => return Err(unexpected),
        };
        if step != expected {
            return Err(PeerError::Step { party: self.party.clone(), found: step, expected });
        }
        self.open = Open::Nothing;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::plan::RowSelection;
    use crate::settings::{RunSettings, Task};

    fn name(text: &str) -> PartyName {
        PartyName::new(text).unwrap()
    }

    fn settings() -> RunSettings {
        RunSettings::new(vec![name("a"), name("b")], Task::Binary, 4, 2)
    }

    fn hello(party: &str) -> Hello {
        let settings = settings().to_settings();
        let settings_digest = settings.digest();
        Hello {
            protocol: PROTOCOL_VERSION,
            run: RunId::new("r").unwrap(),
            party: name(party),
            settings,
            settings_digest,
        }
    }

    fn admission() -> Admission {
        Admission::new(RunId::new("r").unwrap(), settings().to_settings(), settings().parties)
    }

    #[test]
    fn only_the_right_greeting_is_admitted() {
        let mut open = admission();
        assert_eq!(open.greet(&hello("a")), Ok(()));
        assert!(matches!(open.greet(&hello("a")), Err(Refusal::Duplicate { .. })));
        assert!(matches!(open.greet(&hello("c")), Err(Refusal::Unknown { .. })));
        assert!(matches!(open.greet(&Hello { protocol: 9, ..hello("b") }), Err(Refusal::Version { .. })));
        let other_run = Hello { run: RunId::new("s").unwrap(), ..hello("b") };
        assert!(matches!(open.greet(&other_run), Err(Refusal::Run { .. })));
        let forged = Hello { settings_digest: Digest([0; 32]), ..hello("b") };
        assert_eq!(open.greet(&forged), Err(Refusal::SettingsDigest));
        let other = RunSettings { bits: 8, ..settings() }.to_settings();
        let refusal = open.greet(&Hello { settings_digest: other.digest(), settings: other, ..hello("b") });
        let text = refusal.unwrap_err().to_string();
        assert!(text.starts_with("run.bits is 4 at the coordinator and 8 at the party"), "{text}");
        assert_eq!(open.missing(), [name("b")]);
        open.release(&name("a"));
        assert_eq!(open.greet(&hello("a")), Ok(()));
    }

    #[test]
    fn records_must_be_the_same_in_the_same_order() {
        let salt = [3; 32];
        let ours = RecordsDigest::of(&salt, ["1", "2"]);
        assert_eq!(check_records(&name("a"), ours, ours), Ok(()));
        let swapped = RecordsDigest::of(&salt, ["2", "1"]);
        assert!(matches!(check_records(&name("a"), ours, swapped), Err(Refusal::RecordOrder { .. })));
        let fewer = RecordsDigest::of(&salt, ["1"]);
        assert!(matches!(check_records(&name("a"), ours, fewer), Err(Refusal::RecordCount { .. })));
    }

    #[test]
    fn records_are_left_out_only_where_the_run_goes_on_without_them() {
        let excluded = ExcludedRecords::of(&[1], 9);
        let check = |records, on_refusal| check_excluded(&name("a"), &excluded, (records, on_refusal));
        assert_eq!(check(9, OnRefusal::LeaveOut), Ok(()));
        let text = check(9, OnRefusal::End).unwrap_err().to_string();
        assert_eq!(text, "a cannot leave out records: run.on_refusal is \"end\"");
        assert!(matches!(check(40, OnRefusal::LeaveOut), Err(Refusal::ExcludedRecords { .. })));
    }

    #[test]
    fn only_the_open_request_is_answered() {
        let encode = FromCoordinator::Encode { step: 3, rows: RowSelection::Batch { epoch: 0, batch: 2 } };
        let asked = || {
            let mut peer = PeerSession::new(name("a"), 4);
            peer.requested(&encode, 6);
            peer
        };
        let codes = |step, len| FromParty::Codes { step, bytes: vec![0; len] };
        assert!(matches!(asked().receive(codes(3, 3)), Ok(Answer::Codes(_))));
        assert!(matches!(asked().receive(codes(3, 4)), Err(PeerError::Codes { .. })));
        assert!(matches!(asked().receive(codes(2, 3)), Err(PeerError::Step { found: 2, expected: 3, .. })));
        assert!(matches!(
            asked().receive(FromParty::Finished { step: 3 }),
            Err(PeerError::Unexpected { .. })
        ));
        assert!(matches!(
            asked().receive(FromParty::Failed { text: "x".into() }),
            Err(PeerError::Failed { .. })
        ));
        let mut drawing = PeerSession::new(name("a"), 4);
        drawing.requested(&FromCoordinator::EncodeSynthetic { step: 3, chunk: 0 }, 6);
        assert!(matches!(drawing.receive(codes(3, 4)), Err(PeerError::Codes { .. })));
        let mut peer = asked();
        peer.receive(codes(3, 3)).unwrap();
        assert!(matches!(peer.receive(codes(3, 3)), Err(PeerError::Unexpected { .. })), "an answer twice");
    }
}
