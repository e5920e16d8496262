//! Who is awaited before a run begins, and why somebody has not come: what all who wait are told.
//!
//! They hear it within seconds of a refusal, and now and then as long as somebody is missing, each as a
//! [`FromCoordinator::Notice`]. It tells whose fault it is and which key of the settings differs, and nothing else of that
//! side.
//!
//! [`FromCoordinator::Notice`]: hashvfl_core::protocol::message::FromCoordinator::Notice

use std::collections::BTreeMap;
use std::time::Duration;

use hashvfl_core::PartyName;
use hashvfl_transport::handshake::HandshakeError;
use hashvfl_transport::limits::connections::Peer;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// How soon it is said who is missing where somebody was refused, and where somebody has joined or left.
const SOON: Duration = Duration::from_millis(500);
const FIRST_REMINDER: Duration = Duration::from_secs(5);
/// How often it is said after that.
const REMINDER: Duration = Duration::from_secs(30);

/// That a party of the run is not let in, or will not come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// The party.
    pub party: PartyName,
    /// What became of it, to follow its name: words for everybody.
    pub why: String,
    /// Where it will not take part as it is: why, in its own words, which are for this side alone.
    pub gave_up: Option<String>,
}

impl Absence {
    /// What those who wait are told of a `peer` that was turned away, and says that it is `named`; `None` where that is nothing, as
    /// of a stranger.
    pub fn of(peer: Option<&Peer>, named: Option<&PartyName>, error: &HandshakeError) -> Option<Self> {
        let (certified, gave_up) = match error {
            HandshakeError::OtherName(other) => (Some(&other.certificate.name), None),
            HandshakeError::GaveUp { text, .. } => (None, Some(text.clone())),
            _ => (None, None),
        };
        let party = named.or(certified).filter(|_| peer.is_none_or(Peer::is_known))?.clone();
        Some(Self { party, why: error.for_others()?, gave_up })
    }
}

/// Where that is told; whoever tells it does not wait.
pub type Absences = mpsc::Sender<Absence>;

/// Why a run does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// Somebody is missing.
    #[error("waited {limit_s} s (timeouts.join_s) for {missing} to join: is it up, and is its config right?")]
    Missing {
        /// The limit in seconds.
        limit_s: u64,
        /// Who, and why as far as it is known.
        missing: String,
    },
    /// A party has said that it will not take part.
    #[error("{party} will not take part: {text}; start all sides again when that has changed")]
    GaveUp {
        /// The party.
        party: PartyName,
        /// Why, in its own words.
        text: String,
    },
}

impl NotBegun {
    /// The reason in words for the other parties.
    pub fn for_others(&self) -> String {
        match self {
            Self::Missing { .. } => self.to_string(),
            Self::GaveUp { party, .. } => format!("{party} will not take part: its own log says why"),
        }
    }
}

/// What is known of parties that are missing.
#[derive(Debug, Default)]
pub struct Awaited(BTreeMap<PartyName, String>);

impl Awaited {
    /// Notes what became of `party`; whether that is new.
    pub fn note(&mut self, party: &PartyName, why: &str) -> bool {
        self.0.insert(party.clone(), why.to_string()).as_deref() != Some(why)
    }

    /// `party` is there.
    pub fn came(&mut self, party: &PartyName) {
        self.0.remove(party);
    }

    /// The `missing` parties, each with what is known of it.
    pub fn describe(&self, missing: &[PartyName]) -> String {
        let mut parts = Vec::with_capacity(missing.len());
        for party in missing {
            parts.push(match self.0.get(party) {
                Some(why) => format!("{party} (which {why})"),
                None => party.to_string(),
            });
        }
        parts.join(", ")
    }
}

/// When it is said who is missing.
#[derive(Debug)]
pub struct Reminders {
    next: Interval,
    /// Whether the next is due to a refusal: what comes meanwhile is said with it.
    is_soon: bool,
}

impl Reminders {
    /// From now on; must be called within a runtime.
    pub fn start() -> Self {
        let mut next = interval_at(Instant::now() + FIRST_REMINDER, REMINDER);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { next, is_soon: false }
    }

    /// Somebody was refused.
    pub fn hasten(&mut self) {
        if !self.is_soon {
            self.is_soon = true;
            self.next.reset_after(SOON);
        }
    }

    /// Somebody has come, who has heard nothing yet, or has gone.
    pub fn begin_anew(&mut self) {
        if !self.is_soon {
            self.next.reset_after(FIRST_REMINDER);
        }
    }

    /// Waits for the next.
    pub async fn due(&mut self) {
        self.next.tick().await;
        self.is_soon = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PartyName {
        PartyName::new(text).unwrap()
    }

    #[test]
    fn a_stranger_that_is_refused_is_no_news_and_one_of_this_machine_is() {
        let peer = |address: &str| Peer { address: address.parse().unwrap(), identity: None };
        let (bank, refused) = (name("bank"), HandshakeError::TooOften("5 joins an hour".into()));
        assert_eq!(Absence::of(Some(&peer("192.0.2.7:9")), Some(&bank), &refused), None);
        let told = Absence::of(Some(&peer("127.0.0.1:9")), Some(&bank), &refused).unwrap();
        assert_eq!(told.why, "was refused: it joins more often than it may");
        assert_eq!(Absence::of(None, Some(&bank), &HandshakeError::NotYet), None, "it passes by itself");
        assert_eq!(Absence::of(None, None, &refused), None, "of nobody");
    }

    #[test]
    fn who_is_missing_is_described_with_what_is_known_and_nobody_hears_another_sides_words() {
        let (mut awaited, all) = (Awaited::default(), [name("bank"), name("shop"), name("telecom")]);
        assert_eq!(awaited.describe(&all), "bank, shop, telecom");
        assert!(awaited.note(&all[0], "was refused: its run.bits is not the coordinator's"));
        assert!(
            !awaited.note(&all[0], "was refused: its run.bits is not the coordinator's"),
            "the same again"
        );
        assert!(awaited.note(&all[2], "has left again"));
        assert_eq!(
            awaited.describe(&all),
            "bank (which was refused: its run.bits is not the coordinator's), shop, telecom (which has left again)"
        );
        awaited.came(&all[0]);
        assert_eq!(awaited.describe(&all[..2]), "bank, shop");
        let gave_up = NotBegun::GaveUp { party: name("bank"), text: "/secret/table.csv".into() };
        assert!(gave_up.to_string().contains("/secret/table.csv"));
        assert_eq!(gave_up.for_others(), "bank will not take part: its own log says why");
    }

    #[tokio::test]
    async fn a_refusal_is_told_soon_and_a_flood_of_them_delays_nothing() {
        let (mut reminders, refused) = (Reminders::start(), Instant::now());
        for _ in 0..4 {
            reminders.hasten();
            reminders.begin_anew();
            tokio::time::sleep(SOON / 10).await;
        }
        reminders.due().await;
        let waited = refused.elapsed();
        assert!(SOON <= waited && waited < FIRST_REMINDER, "{waited:?}");
    }
}
