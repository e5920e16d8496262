//! Runs of simulated processes over a simulated network and disk: the state machines of both sides, the exchange that
//! outlives connections, the ledger on redb and the log of answers are the real ones, and one seed replays one schedule of
//! kills, losses of power and cuts.
//!
//! What counts as failure: other models than those of an undisturbed run; bits of a record that left and are not counted, or
//! more counted than kills explain; one step answered in two ways; a model that counts where nobody has decided that, or a
//! decision before all have written theirs; an error, or no end.
//!
//! `HASHVFL_SCHEDULES` says how many schedules, and `HASHVFL_SCHEDULES_SEED` from which on.

mod coordinator;
mod disk;
mod observer;
mod party;
mod rot;
mod world;

use std::time::Instant;

use world::{Played, play};

/// A fault that is planted in a side, so that it is seen that schedules find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NeverSyncs,
    ChargesAfterSending,
    ChargesAgain,
    SettlesBeforeCounting,
    GoesOnFromAnOlderCheckpoint,
    GoesOnFromItsOwnCheckpoint,
    SwapsRowsAfterARestart,
    DecidesAlone,
    DecidesEarly,
    ForgetsWhatIsPending,
    LosesWhatWasOnItsWay,
    RepeatsWhatHasCome,
}

const FAULTS: [Fault; 12] = [
    Fault::NeverSyncs,
    Fault::ChargesAfterSending,
    Fault::ChargesAgain,
    Fault::SettlesBeforeCounting,
    Fault::GoesOnFromAnOlderCheckpoint,
    Fault::GoesOnFromItsOwnCheckpoint,
    Fault::SwapsRowsAfterARestart,
    Fault::DecidesAlone,
    Fault::DecidesEarly,
    Fault::ForgetsWhatIsPending,
    Fault::LosesWhatWasOnItsWay,
    Fault::RepeatsWhatHasCome,
];

fn from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")),
        Err(_) => otherwise,
    }
}

/// What is wrong with a schedule's end, if anything is.
fn wrong(played: &Played, expected: &Played) -> Option<String> {
    let differs =
        || (played.outcome != expected.outcome).then(|| "other models than undisturbed".to_string());
    played.broken.clone().or_else(differs)
}

#[test]
fn no_schedule_changes_what_a_run_gives_or_what_is_counted() {
    let (count, first) =
        (from_environment("HASHVFL_SCHEDULES", 1_000), from_environment("HASHVFL_SCHEDULES_SEED", 0));
    let expected = play(None, None);
    assert!(expected.outcome.is_some() && expected.broken.is_none(), "{expected:?}");
    let (began, mut disturbances) = (Instant::now(), 0);
    for seed in first..first + count {
        let played = play(Some(seed), None);
        assert_eq!(wrong(&played, &expected), None, "schedule {seed}");
        disturbances += played.disturbances;
    }
    println!("{count} schedules, {disturbances} deaths and cuts, {:.1} s", began.elapsed().as_secs_f64());
    assert!(disturbances as u64 > count, "schedules that disturb nothing are no test");
}

#[test]
fn planted_faults_are_found() {
    let expected = play(None, None);
    for fault in FAULTS {
        let found =
            (0..1_000).find_map(|seed| Some((seed, wrong(&play(Some(seed), Some(fault)), &expected)?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("1,000 schedules do not find {fault:?}"));
        println!("{fault:?}: schedule {seed}: {what}");
    }
}
