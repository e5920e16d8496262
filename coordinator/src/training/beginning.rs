//! Whether a run begins, and what parties that wait for it hear where it does not.

use hashvfl_transport::stop::Stopped;
use tokio::sync::watch;

use crate::training::awaited::StartError;
use crate::training::cancellation::Cancelled;
use crate::training::network::NetworkError;

const NO_BEGIN: &str = "the run did not start: see the coordinator's log";
const ASKED_TO_END: &str =
    "the coordinator was asked to end: the run continues when the coordinator is started again";

/// Whether the run begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beginning {
    /// Not all are there.
    Awaited,
    Begun,
    /// It does not.
    CalledOff(StartNotice),
}

/// Why a run does not begin, for parties that wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartNotice {
    /// One line.
    pub text: String,
    /// Whether it may begin when all are there again.
    pub is_interruption: bool,
}

impl StartNotice {
    fn new(text: impl Into<String>, is_interruption: bool) -> Self {
        Self { text: text.into(), is_interruption }
    }

    /// Because of `error`; `waits` says whether the coordinator waits where a party was lost.
    pub fn of(error: &anyhow::Error, waits: bool) -> Self {
        if let Some(not_begun) = error.downcast_ref::<StartError>() {
            return Self::new(format!("the run did not start: {}", not_begun.for_others()), false);
        }
        if let Some(lost @ NetworkError::Lost { .. }) = error.downcast_ref() {
            return Self::new(format!("the run did not start: {lost}"), waits);
        }
        match error {
            error if error.is::<Stopped>() => Self::new(ASKED_TO_END, true),
            error if error.is::<Cancelled>() => Self::new(Cancelled.to_string(), false),
            _ => Self::new(NO_BEGIN, false),
        }
    }
}

/// Waits until it is decided whether the run begins.
pub async fn decided(start: &mut watch::Receiver<Beginning>) -> Beginning {
    let decided = start.wait_for(|beginning| *beginning != Beginning::Awaited).await;
    // Whoever gathers parties may have gone without a word.
    decided
        .map_or_else(|_| Beginning::CalledOff(StartNotice::new(NO_BEGIN, false)), |decided| decided.clone())
}

#[cfg(test)]
mod tests {
    use hashvfl_core::PartyName;

    use super::*;

    #[test]
    fn who_waits_hears_who_was_missing_and_who_may_come_back() {
        let bank = PartyName::new("bank").unwrap();
        let missing: anyhow::Error = StartError::Missing { limit_s: 3, missing: "bank".into() }.into();
        let told = StartNotice::of(&missing, true);
        assert!(told.text.contains("waited 3 s (timeouts.join_s) for bank to join"), "{}", told.text);
        assert!(!told.is_interruption);
        let gave_up: anyhow::Error =
            StartError::GaveUp { party: bank.clone(), text: "/secret/table.csv".into() }.into();
        let told = StartNotice::of(&gave_up, true).text;
        assert!(told.contains("bank will not take part") && !told.contains("secret"), "{told}");
        let lost = NetworkError::Lost { step: 0, party: bank, reason: "it left".into() };
        let lost = anyhow::Error::from(lost);
        assert!(crate::training::is_interruption(&lost), "all are gathered again");
        for waits in [true, false] {
            let told = StartNotice::of(&lost, waits);
            assert!(told.text.contains("lost bank") && told.is_interruption == waits, "{told:?}");
        }
        let own = StartNotice::of(&anyhow::anyhow!("/secret/labels.csv"), true);
        assert_eq!(own, StartNotice::new(NO_BEGIN, false));
    }
}
