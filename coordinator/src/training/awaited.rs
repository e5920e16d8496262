//! Who is awaited before a run begins, and why somebody has not come: what all who wait are told.
//!
//! They hear it within seconds of a refusal, and now and then as long as somebody is missing, each as a
//! [`FromCoordinator::Notice`]. It tells whose fault it is and which key of the settings differs, and nothing else of that
//! side.
//!
//! [`FromCoordinator::Notice`]: hashvfl_core::protocol::message::FromCoordinator::Notice

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashvfl_core::PartyName;
use hashvfl_transport::handshake::HandshakeError;
use hashvfl_transport::limits::connections::ConnectedPeer;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

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
    /// Where it will not take part as it is: why, in its own words, which are only for this side.
    pub gave_up: Option<String>,
}

impl Absence {
    /// What those who wait are told of a `peer` that was turned away, and says that it is `named`; `None` where that is nothing, as
    /// of a stranger.
    pub fn of(
        peer: Option<&ConnectedPeer>,
        named: Option<&PartyName>,
        error: &HandshakeError,
    ) -> Option<Self> {
        let (certified, gave_up) = match error {
            HandshakeError::OtherName(other) => (Some(&other.certificate.name), None),
            HandshakeError::GaveUp { text, .. } => (None, Some(text.clone())),
            _ => (None, None),
        };
        let party = named.or(certified).filter(|_| peer.is_none_or(ConnectedPeer::is_known))?.clone();
        Some(Self { party, why: error.for_others()?, gave_up })
    }
}

/// What became of parties that are not in, until it is looked at: of each the last that is known, however often it is refused.
#[derive(Debug)]
pub struct Absences {
    parties: Vec<PartyName>,
    latest: Mutex<BTreeMap<PartyName, Absence>>,
    news: Notify,
}

impl Absences {
    /// Of these parties; what becomes of others is no news.
    pub fn of(parties: &[PartyName]) -> Self {
        Self { parties: parties.to_vec(), latest: Mutex::default(), news: Notify::new() }
    }

    /// Notes an absence. That a party will not take part is not forgotten where another process of its name is refused.
    pub fn tell(&self, absence: Absence) {
        if !self.parties.contains(&absence.party) {
            return;
        }
        let mut latest = self.latest();
        let before = latest.get(&absence.party);
        if absence.gave_up.is_some() || before.is_none_or(|before| before.gave_up.is_none()) {
            latest.insert(absence.party.clone(), absence);
        }
        drop(latest);
        self.news.notify_one();
    }

    /// The next that nobody has looked at. None is lost where this future is dropped before it is ready.
    pub async fn next(&self) -> Absence {
        loop {
            let next = self.latest().pop_first();
            match next {
                Some((_, absence)) => return absence,
                None => self.news.notified().await,
            }
        }
    }

    fn latest(&self) -> MutexGuard<'_, BTreeMap<PartyName, Absence>> {
        // The map is whole after each change, also one that panicked.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a run does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Somebody is missing.
    #[error(
        "waited {limit_s} s (timeouts.join_s) for {missing} to join: is it running, and is its config correct?"
    )]
    Missing {
        /// The limit in seconds.
        limit_s: u64,
        /// Who, and why as far as it is known.
        missing: String,
    },
    /// A party has said that it will not take part.
    #[error("{party} will not take part: {text}; fix that, then start all sides again")]
    GaveUp {
        /// The party.
        party: PartyName,
        /// Why, in its own words.
        text: String,
    },
}

impl StartError {
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
pub struct MissingParties(BTreeMap<PartyName, String>);

impl MissingParties {
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

/// When it is said who is missing. What happens brings it forward, and nothing puts it off.
#[derive(Debug)]
pub struct Reminders {
    next: Instant,
}

impl Reminders {
    /// From `now` on.
    pub fn start(now: Instant) -> Self {
        Self { next: now + FIRST_REMINDER }
    }

    /// Somebody was refused at `now`: what comes until that is said is said with it.
    pub fn hasten(&mut self, now: Instant) {
        self.next = self.next.min(now + SOON);
    }

    /// Somebody has come at `now`, who has heard nothing yet, or has gone.
    pub fn renew(&mut self, now: Instant) {
        self.next = self.next.min(now + FIRST_REMINDER);
    }

    /// Waits for the next.
    pub async fn due(&mut self) {
        sleep_until(self.next).await;
        self.next = Instant::now() + REMINDER;
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
        let peer = |address: &str| ConnectedPeer { address: address.parse().unwrap(), identity: None };
        let (bank, refused) = (name("bank"), HandshakeError::TooOften("5 joins an hour".into()));
        assert_eq!(Absence::of(Some(&peer("192.0.2.7:9")), Some(&bank), &refused), None);
        let told = Absence::of(Some(&peer("127.0.0.1:9")), Some(&bank), &refused).unwrap();
        assert_eq!(told.why, "was refused: it joins more often than it may");
        assert_eq!(Absence::of(None, Some(&bank), &HandshakeError::NotYet), None, "it passes by itself");
        assert_eq!(Absence::of(None, None, &refused), None, "of nobody");
    }

    #[test]
    fn who_is_missing_is_described_with_what_is_known_and_nobody_hears_another_sides_words() {
        let (mut awaited, all) = (MissingParties::default(), [name("bank"), name("shop"), name("telecom")]);
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
        let gave_up = StartError::GaveUp { party: name("bank"), text: "/secret/table.csv".into() };
        assert!(gave_up.to_string().contains("/secret/table.csv"));
        assert_eq!(gave_up.for_others(), "bank will not take part: its own log says why");
    }

    #[tokio::test]
    async fn a_flood_of_refusals_hides_no_party_that_gives_up() {
        let absences = Absences::of(&[name("bank"), name("telecom")]);
        let refused = |party: &str| Absence { party: name(party), why: "was refused".into(), gave_up: None };
        let gave_up = Absence { gave_up: Some("no table".into()), ..refused("telecom") };
        (0..100).for_each(|_| absences.tell(refused("bank")));
        absences.tell(gave_up.clone());
        (0..100).for_each(|_| absences.tell(refused("telecom")));
        (0..100).for_each(|count| absences.tell(refused(&format!("stranger-{count}"))));
        assert_eq!([absences.next().await, absences.next().await], [refused("bank"), gave_up]);
        let said = async { absences.tell(refused("bank")) };
        let (next, ()) = tokio::join!(absences.next(), said);
        assert_eq!(next, refused("bank"));
    }

    #[test]
    fn a_refusal_is_told_soon_and_nothing_that_happens_meanwhile_delays_it() {
        let now = Instant::now();
        let mut reminders = Reminders::start(now);
        assert_eq!(reminders.next, now + FIRST_REMINDER);
        for count in 0..4_u32 {
            reminders.hasten(now + count * SOON / 5);
            reminders.renew(now + count * SOON / 5);
        }
        assert_eq!(reminders.next, now + SOON);
    }

    #[test]
    fn one_that_comes_and_goes_all_the_time_keeps_nobody_from_hearing_who_is_missing() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut reminders = Reminders { next: now + REMINDER };
        for count in 1..=30_u32 {
            reminders.renew(now + count * second);
            assert!(reminders.next <= now + second + FIRST_REMINDER, "{count}");
        }
    }

    #[tokio::test]
    async fn it_is_said_again_and_again() {
        let mut reminders = Reminders { next: Instant::now() };
        reminders.due().await;
        let left = reminders.next - Instant::now();
        assert!(FIRST_REMINDER < left && left <= REMINDER, "{left:?}");
    }
}
