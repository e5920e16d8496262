//! A party that is too slow at the same step each time ends the run.

use hashvfl_core::protocol::timeout_counter::TimeoutCounter;

use super::network::NetworkError;

/// `error`, or, where parties were waited for in vain too often, one that ends the run for all; `vain` has the waits of this
/// process that were.
pub fn unless_in_vain(error: anyhow::Error, vain: &mut TimeoutCounter) -> anyhow::Error {
    match error.downcast_ref() {
        Some(NetworkError::Wait { step, party, limit_s }) if vain.note(*step) => {
            NetworkError::InVain { step: *step, party: party.clone(), limit_s: *limit_s }.into()
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::PartyName;

    use super::*;
    use crate::training::is_interruption;

    #[test]
    fn parties_that_are_too_slow_at_one_step_three_times_end_the_run_with_the_limit_to_raise() {
        let mut vain = TimeoutCounter::default();
        let mut wait = |party: &str, step| {
            let party = PartyName::new(party).unwrap();
            unless_in_vain(NetworkError::Wait { step, party, limit_s: 600 }.into(), &mut vain)
        };
        for (party, step) in [("bank", 5), ("bank", 5), ("bank", 8), ("telecom", 8)] {
            assert!(is_interruption(&wait(party, step)), "{party} at {step}");
        }
        let last = wait("bank", 8);
        assert!(!is_interruption(&last));
        let said =
            "step 8: waited 600 s for bank, and 3 such waits in a row were in vain: raise timeouts.step_s";
        assert!(last.to_string().starts_with(said), "{last}");
        let lost =
            NetworkError::Lost { step: 8, party: PartyName::new("bank").unwrap(), reason: "gone".into() };
        assert!(is_interruption(&unless_in_vain(lost.into(), &mut vain)), "who is gone is waited for");
    }
}
