//! The coordinator's side of the handshake that opens every stream of a party, in training and in serving.
//!
//! ```text
//!  party          coordinator
//!    -- Hello ------->     who is it? (`Admission`, by whoever takes the stream)
//!    <------ Welcome --    a fresh salt
//!    -- records ----->     are they the coordinator's own? `Records` in training, `Serving` in serving
//!    <----- Accepted --    or Refused, at any point
//!
//!  on another connection than before, in training:
//!    -- Return ------>     is it the party that was accepted?
//!    <----- Returned --    or Refused
//! ```
//!
//! The party's side is the first states of its state machine in `core`.

use std::time::Duration;

use hashvfl_core::protocol::admission::{AdmissionRefusal, check_records};
use hashvfl_core::protocol::message::{AuditHead, CheckpointId, FromCoordinator, FromParty, Hello};
use hashvfl_core::protocol::serving_party::{FromServingParty, Serving, ToServingParty};
use hashvfl_core::records::{RecordsDigest, SALT_BYTES};
use hashvfl_core::text::counted;
use hashvfl_core::{ExcludedRecords, PartyName, RunId};
use hashvfl_proto::{WireError, WireMessage};
use rand::TryRng;

use crate::duplex::{Duplex, OtherName, StreamError};
use crate::limits::connections::ConnectedPeer;
pub use crate::turns::Turns;

/// Longest wait until the network has taken a last message.
const LAST_MESSAGE: Duration = Duration::from_secs(1);

/// Why a party may not stay. The text goes to the party.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It is silent.
    #[error("no message within {limit_s} s (timeouts.handshake_s)")]
    Silent {
        /// The limit in seconds.
        limit_s: u64,
    },
    /// It has left.
    #[error("the party closed its stream during the handshake")]
    Closed,
    /// Its connection broke.
    #[error("{0}")]
    Broken(String),
    /// It sent what is no message.
    #[error(transparent)]
    Unusable(#[from] WireError),
    /// It did not greet.
    #[error("the first message of a party must be Hello")]
    NoHello,
    /// It said something else than its records.
    #[error("{party} must send {expected} after Welcome")]
    NoRecords {
        /// The party.
        party: PartyName,
        /// The message that would be right.
        expected: &'static str,
    },
    /// It says in place of its records that it will not take part: its own policy or table does not let it.
    #[error("{party} will not take part: {text}")]
    GaveUp {
        /// The party.
        party: PartyName,
        /// What it says.
        text: String,
    },
    /// It left while it was answered.
    #[error("{party} left during the handshake")]
    Left {
        /// The party.
        party: PartyName,
    },
    /// It is not the right one, or its records are not.
    #[error(transparent)]
    Refused(#[from] AdmissionRefusal),
    /// It returns to what does not wait for it.
    #[error(
        "no run here waits for this party's return: it has ended, or the coordinator was restarted: check the coordinator's log, then start again every side \
         that has ended"
    )]
    NoReturn,
    /// It has returned several times, and nobody has looked at that yet.
    #[error("earlier returns of this party wait to be taken")]
    NotYet,
    /// Its run, one of several at this port, takes nobody at this moment.
    #[error("the coordinator is busy preparing the run; the party retries")]
    NotNow,
    /// Other handshakes of its name come first.
    #[error("other handshakes of {party} are still being checked; the party retries")]
    Busy {
        /// The party.
        party: PartyName,
    },
    /// It asks for none of the runs at this port that have a party of its name.
    #[error(
        "{party} asks for run {run}, but this process holds no such run with that party: correct run_id in the \
         party's config, or in the coordinator's"
    )]
    NoRun {
        /// The party.
        party: PartyName,
        /// The run that it named.
        run: RunId,
    },
    /// Its run, one of several at this port, has ended.
    #[error("the run has ended: {0}")]
    Over(String),
    /// Its audit log is not the one that it told of before.
    #[error(
        "the audit trail of {party} has {}, but the coordinator has a head of it with {kept}: an older \
         backup may have been restored there, with a ledger that counts less than was released. Restore a newer \
         backup at {party}; if there is none, `coordinator audit accept --config FILE party/{party}` accepts the \
         trail as it is (docs/how-to/back-up.md)", counted(.told, "entry")
    )]
    OlderLog {
        /// The party.
        party: PartyName,
        /// Entries of the head that was kept.
        kept: u64,
        /// Entries now.
        told: u64,
    },
    /// It greets in another's name.
    #[error(transparent)]
    OtherName(#[from] OtherName),
    /// It joins more often than it may.
    #[error("{0}")]
    TooOften(String),
    /// It may not do it here.
    #[error("{0}")]
    NotPermitted(String),
    /// This side failed.
    #[error("{0}")]
    Failed(String),
}

impl HandshakeError {
    /// The reason as a word, without what a peer said.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Silent { .. } => "silent",
            Self::Closed | Self::Left { .. } => "left",
            Self::Broken(_) => "connection-broke",
            Self::Unusable(_) => "unusable-message",
            Self::NoHello => "no-hello",
            Self::NoRecords { .. } => "no-records",
            Self::GaveUp { .. } => "gave-up",
            Self::Refused(refusal) => refusal.reason(),
            Self::NoReturn => "no-return",
            Self::NotYet => "returns-wait",
            Self::NotNow => "not-now",
            Self::Busy { .. } => "busy",
            Self::NoRun { .. } => "other-run",
            Self::Over(_) => "run-over",
            Self::OlderLog { .. } => "older-log",
            Self::OtherName(_) => "other-name",
            Self::TooOften(_) => "too-often",
            Self::NotPermitted(_) => "not-permitted",
            Self::Failed(_) => "this-side-failed",
        }
    }

    /// What the other end is told. A stranger is told nothing that depends on this side's settings, names and records.
    pub fn for_peer(&self, peer: Option<&ConnectedPeer>) -> String {
        match self {
            // Not even a party of one run is told of another.
            Self::NoRun { .. } => STRANGER.to_string(),
            _ if peer.is_none_or(ConnectedPeer::is_known) => self.to_string(),
            Self::Refused(refusal) if !refusal.is_for_strangers() => STRANGER.to_string(),
            Self::Over(_) => STRANGER.to_string(),
            other => other.to_string(),
        }
    }

    /// What those who wait for the party are told of it, to follow its name: nothing of that side's files, records and settings'
    /// values. `None` where it is about nobody whom they wait for, or passes by itself.
    pub fn for_others(&self) -> Option<String> {
        let text = match self {
            Self::Refused(refusal) => return refusal.for_others(),
            Self::Silent { .. } | Self::Closed | Self::Left { .. } | Self::Broken(_) => {
                "left, or fell silent, while it was greeted"
            }
            Self::Unusable(_) | Self::NoRecords { .. } => {
                "was refused: it answered the greeting with something else"
            }
            Self::OtherName(_) => "was refused: its config names another party than its certificate",
            Self::TooOften(_) => "was refused: it joins more often than it may",
            Self::NotPermitted(_) => "was refused: the coordinator's permissions do not let it in",
            Self::GaveUp { .. } => "will not take part: its own log says why",
            Self::OlderLog { .. } | Self::Failed(_) => "was refused: see the coordinator's log",
            Self::NoHello | Self::NoReturn | Self::NotYet | Self::NotNow | Self::Over(_) => return None,
            Self::Busy { .. } | Self::NoRun { .. } => return None,
        };
        Some(text.to_string())
    }

    /// Whether the same may be right a little later. A side that has failed may have no room on its disk: whoever waits for it
    /// waits until it has.
    pub fn is_for_now(&self) -> bool {
        matches!(
            self,
            Self::NotYet
                | Self::NotNow
                | Self::Failed(_)
                | Self::Busy { .. }
                | Self::Refused(AdmissionRefusal::Duplicate { .. })
        )
    }
}

/// What a stranger is told that does not fit.
pub const STRANGER: &str =
    "the version, run, name, settings or records do not match the coordinator's; its log says which";

/// What a party says in its handshake.
pub trait Greeting: WireMessage {
    /// What it says beside count and digest of its records.
    type Offer;

    /// The message in which it says so.
    const RECORDS: &'static str;

    /// The greeting, if this is one.
    fn hello(self) -> Option<Hello>;

    /// Why it will not take part, if this says so.
    fn gave_up(&self) -> Option<&str>;

    /// Its records and its offer, if this is [`Self::RECORDS`].
    fn records(self) -> Option<(RecordsDigest, Self::Offer)>;
}

/// What the coordinator says in a handshake.
pub trait Reception: WireMessage {
    /// The handshake goes on.
    fn welcome(salt: [u8; SALT_BYTES]) -> Self;
    /// It is not, or not any more; `try_again` where it may be a little later.
    fn refused(text: String, try_again: bool) -> Self;
}

/// A handshake on a party's stream, with a limit on every wait.
pub struct Handshake<'a, Out: Reception, In: Greeting> {
    stream: &'a mut Duplex<Out, In>,
    limit_s: u64,
}

impl<'a, Out: Reception, In: Greeting> Handshake<'a, Out, In> {
    /// On this stream, with a limit in seconds.
    pub fn new(stream: &'a mut Duplex<Out, In>, limit_s: u64) -> Self {
        Self { stream, limit_s }
    }

    /// Lets the party's next messages be of so many bytes.
    pub fn allow(&self, bytes: usize) {
        if let Some(allowance) = self.stream.allowance() {
            allowance.allow(bytes);
        }
    }

    /// The party's greeting, in the name that its certificate has; otherwise unchecked.
    ///
    /// # Errors
    /// If something else comes, or another's name, or nothing in time.
    pub async fn hello(&mut self) -> Result<Hello, HandshakeError> {
        let first = self.first().await?;
        self.greeting(first)
    }

    /// The party's first message, whatever it is.
    ///
    /// # Errors
    /// If it is no message, or none comes in time.
    pub async fn first(&mut self) -> Result<In, HandshakeError> {
        self.next().await
    }

    /// The greeting that `first` is, as [`Self::hello`].
    ///
    /// # Errors
    /// As there.
    pub fn greeting(&self, first: In) -> Result<Hello, HandshakeError> {
        let hello = first.hello().ok_or(HandshakeError::NoHello)?;
        self.stream.check_name(&hello.party)?;
        Ok(hello)
    }

    /// Welcomes `party` and compares its records with those of this side, whose digest under a salt `digest` computes: once
    /// the party has said what its own is, and when its turn among `turns` comes.
    ///
    /// # Errors
    /// If they differ, something else comes, or nothing in time.
    pub async fn compare_records(
        &mut self,
        party: &PartyName,
        turns: &Turns,
        digest: impl FnOnce(&[u8; SALT_BYTES]) -> RecordsDigest + Send + 'static,
    ) -> Result<In::Offer, HandshakeError> {
        let mut salt = [0; SALT_BYTES];
        rand::rngs::SysRng.try_fill_bytes(&mut salt).map_err(|error| {
            HandshakeError::Failed(format!("cannot draw a salt from the operating system: {error}"))
        })?;
        let (theirs, offer) = self.records_under(party, salt).await?;
        let turn = turns.take(party, Duration::from_secs(self.limit_s)).await;
        let turn = turn.ok_or_else(|| HandshakeError::Busy { party: party.clone() })?;
        let ours = tokio::task::spawn_blocking(move || digest(&salt)).await;
        // What its thread died of is said where it did, and is nothing for a peer.
        let failed =
            |_| HandshakeError::Failed("the coordinator cannot digest its record ids: see its log".into());
        let ours = ours.map_err(failed)?;
        if let Err(refusal) = check_records(party, ours, theirs) {
            turn.rest();
            return Err(refusal.into());
        }
        Ok(offer)
    }

    /// As [`Self::compare_records`], where the digest `ours` under `salt` is known, so that nothing is computed.
    ///
    /// # Errors
    /// As there.
    pub async fn compare_known_records(
        &mut self,
        party: &PartyName,
        salt: [u8; SALT_BYTES],
        ours: RecordsDigest,
    ) -> Result<In::Offer, HandshakeError> {
        let (theirs, offer) = self.records_under(party, salt).await?;
        check_records(party, ours, theirs)?;
        Ok(offer)
    }

    /// Welcomes `party` with `salt`; the digest of its records under it, and what it says beside.
    async fn records_under(
        &mut self,
        party: &PartyName,
        salt: [u8; SALT_BYTES],
    ) -> Result<(RecordsDigest, In::Offer), HandshakeError> {
        self.send(party, Out::welcome(salt)).await?;
        let answer = self.next().await?;
        if let Some(text) = answer.gave_up() {
            return Err(HandshakeError::GaveUp { party: party.clone(), text: text.to_string() });
        }
        let records = answer.records();
        records.ok_or_else(|| HandshakeError::NoRecords { party: party.clone(), expected: In::RECORDS })
    }

    /// Lets `party` in, with the message that says so.
    ///
    /// # Errors
    /// If it has left.
    pub async fn accept(&mut self, party: &PartyName, accepted: Out) -> Result<(), HandshakeError> {
        self.send(party, accepted).await
    }

    async fn send(&mut self, party: &PartyName, message: Out) -> Result<(), HandshakeError> {
        let sent = self.stream.send(message, Duration::from_secs(self.limit_s)).await;
        sent.map(drop).map_err(|_| HandshakeError::Left { party: party.clone() })
    }

    async fn next(&mut self) -> Result<In, HandshakeError> {
        let limit_s = self.limit_s;
        match self.stream.next_within(Duration::from_secs(limit_s)).await {
            Ok(received) => Ok(received.message),
            Err(StreamError::TimedOut(_)) => Err(HandshakeError::Silent { limit_s }),
            Err(StreamError::Closed) => Err(HandshakeError::Closed),
            Err(StreamError::Broken(reason) | StreamError::Refused(reason)) => {
                Err(HandshakeError::Broken(reason))
            }
            Err(StreamError::Unusable(error)) => Err(HandshakeError::Unusable(error)),
        }
    }
}

/// Tells a party why it may not stay, if it still listens.
pub async fn refuse<Out: Reception, In: WireMessage>(stream: &Duplex<Out, In>, text: String) {
    // Whoever has gone needs no reason.
    let _ = stream.send(Out::refused(text, false), LAST_MESSAGE).await;
}

/// As [`refuse`], where the party should try again a little later.
pub async fn refuse_for_now<Out: Reception, In: WireMessage>(stream: &Duplex<Out, In>, text: String) {
    // Whoever has gone needs no reason.
    let _ = stream.send(Out::refused(text, true), LAST_MESSAGE).await;
}

/// Tells a party why it may not stay, or not yet.
pub async fn turn_away<Out: Reception, In: WireMessage>(stream: &Duplex<Out, In>, error: &HandshakeError) {
    let text = error.for_peer(stream.peer());
    match error.is_for_now() {
        true => refuse_for_now(stream, text).await,
        false => refuse(stream, text).await,
    }
}

/// What a party says of a run beside its records.
#[derive(Debug)]
pub struct TrainingOffer {
    /// Records that its policy does not allow the run for.
    pub excluded: ExcludedRecords,
    /// The head of its audit log, where it has one.
    pub head: Option<AuditHead>,
    /// The checkpoints from which it can go on.
    pub checkpoints: Vec<CheckpointId>,
}

impl Greeting for FromParty {
    type Offer = TrainingOffer;

    const RECORDS: &'static str = "Records";

    fn hello(self) -> Option<Hello> {
        if let Self::Hello(hello) = self { Some(hello) } else { None }
    }

    fn gave_up(&self) -> Option<&str> {
        if let Self::Failed { text } = self { Some(text) } else { None }
    }

    fn records(self) -> Option<(RecordsDigest, TrainingOffer)> {
        match self {
            Self::Records { digest, excluded, head, checkpoints } => {
                Some((digest, TrainingOffer { excluded, head, checkpoints }))
            }
            _ => None,
        }
    }
}

impl Reception for FromCoordinator {
    fn welcome(salt: [u8; SALT_BYTES]) -> Self {
        Self::Welcome { salt }
    }

    fn refused(text: String, try_again: bool) -> Self {
        Self::Refused { text, try_again }
    }
}

impl Greeting for FromServingParty {
    type Offer = Serving;

    const RECORDS: &'static str = "Serving";

    fn hello(self) -> Option<Hello> {
        if let Self::Hello(hello) = self { Some(hello) } else { None }
    }

    fn gave_up(&self) -> Option<&str> {
        None
    }

    fn records(self) -> Option<(RecordsDigest, Serving)> {
        if let Self::Serving(serving) = self { Some((serving.records, serving)) } else { None }
    }
}

impl Reception for ToServingParty {
    fn welcome(salt: [u8; SALT_BYTES]) -> Self {
        Self::Welcome { salt }
    }

    fn refused(text: String, try_again: bool) -> Self {
        Self::Refused { text, try_again }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_a_stranger_nothing_of_settings_names_and_records() {
        let peer = |address: &str| ConnectedPeer { address: address.parse().unwrap(), identity: None };
        let (party, run) = (PartyName::new("bank").unwrap(), RunId::new("spring").unwrap());
        let (key, ours, theirs) = ("run.bits".to_string(), "16".to_string(), "8".to_string());
        for refusal in [
            AdmissionRefusal::Run { party: run.clone(), coordinator: run.clone() },
            AdmissionRefusal::Unknown { party: party.clone(), run },
            AdmissionRefusal::Settings { key, coordinator: ours, party: theirs },
            AdmissionRefusal::RecordCount { party: party.clone(), found: 3, expected: 400 },
            AdmissionRefusal::RecordOrder { party },
        ] {
            let error = HandshakeError::Refused(refusal);
            assert_eq!(error.for_peer(Some(&peer("192.0.2.7:9"))), STRANGER);
            assert_eq!(error.for_peer(Some(&peer("127.0.0.1:9"))), error.to_string());
        }
    }
}
