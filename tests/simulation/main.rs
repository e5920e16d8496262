//! Runs of a whole federation in one process: the party's own code (table, encoder, ledger, log of answers, checkpoints, model) and
//! the coordinator's own (streams that outlive connections, steps, training loop, checkpoints, label ledger, decision), each
//! in a folder of its own, over a simulated network. Only one thread ever runs, and a seed replays its schedule: which message
//! arrives when, which connection breaks, and who dies where, or whose disk is full.
//!
//! A process dies as by `kill -9`: between two messages, or right before something that it does to a file. Its folder is as it was
//! then, and the next process begins with that. Where its machine loses power, files that grow have lost what was not forced to the
//! disk, or hold zeros there. Not simulated: the network and its time limits, the handshake at the coordinator's port, how a party
//! dials, and files that are there again after a loss of power (`crates/ledger/tests/simulation` has ledgers whose last pages are torn).
//!
//! What counts as failure: other weights, codes or metrics than those of the undisturbed run; codes or gradients that left and are
//! not counted, or more counted than deaths explain; one step answered in two ways; a model that counts where nobody has
//! decided that, or a decision without all models; an error that no death explains, or of a party whose model counts; or no end.
//!
//! `HASHVFL_SCHEDULES` says how many schedules, and `HASHVFL_SCHEDULES_SEED` from which on.

mod ground;
mod observer;
mod outcome;
mod party_process;
mod side;
mod world;

use std::ffi::OsStr;
use std::path::Path;
use std::time::Instant;

use hashvfl_files::effects::Effect;

use ground::{EPOCHS, Ground, Played};

/// A fault that is planted: something that a side leaves out, or a network that repeats wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A party's ledger is not written.
    ChargesNothing,
    /// The coordinator's ledger is not.
    CountsNoGradients,
    /// A party says that its model counts, and has not given it its name.
    CommitsNothing,
    /// The coordinator tells parties that their models count, and has not kept that.
    DecidesOnNothing,
    /// A party says that it has kept its best encoder, and has not.
    KeepsNoBest,
    /// A party's log of answers lacks what it has answered.
    LogsNothing,
    /// A party says that it has all for a checkpoint on its disk, and its log of answers is not.
    SyncsNothing,
    /// What was on its way when a connection broke is not repeated.
    LosesWhatWasOnItsWay,
    /// What has come already is repeated.
    RepeatsWhatHasCome,
}

const FAULTS: [Fault; 9] = [
    Fault::ChargesNothing,
    Fault::CountsNoGradients,
    Fault::CommitsNothing,
    Fault::DecidesOnNothing,
    Fault::KeepsNoBest,
    Fault::LogsNothing,
    Fault::SyncsNothing,
    Fault::LosesWhatWasOnItsWay,
    Fault::RepeatsWhatHasCome,
];

impl Fault {
    /// Whether a side with this fault leaves this out.
    pub fn is_not_done(self, effect: Effect, path: &Path) -> bool {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let not_done = match self {
            Self::ChargesNothing => (Effect::Committed, "ledger.redb"),
            Self::CountsNoGradients => (Effect::Committed, "label-ledger.redb"),
            Self::CommitsNothing => (Effect::Renamed, "bottom.safetensors"),
            Self::DecidesOnNothing => (Effect::Renamed, "top.safetensors"),
            Self::KeepsNoBest => (Effect::Whole, "checkpoint-best.safetensors"),
            Self::LogsNothing => (Effect::Grown, "answers.hashvfl"),
            Self::SyncsNothing => (Effect::Synced, "answers.hashvfl"),
            Self::LosesWhatWasOnItsWay | Self::RepeatsWhatHasCome => return false,
        };
        not_done == (effect, name)
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")),
        Err(_) => otherwise,
    }
}

/// What is wrong with a schedule's end, if anything is.
fn wrong(played: &Played, expected: &Played) -> Option<String> {
    let broken = played.broken.clone();
    broken.or_else(|| match (&played.outcome, &expected.outcome) {
        (Some(own), Some(expected)) => own.difference(expected, &played.deaths),
        _ => Some("the run has not finished".into()),
    })
}

#[test]
fn whole_sides_give_the_same_on_every_schedule() {
    let (count, first) =
        (from_environment("HASHVFL_SCHEDULES", 1_000), from_environment("HASHVFL_SCHEDULES_SEED", 0));
    let ground = Ground::new();
    let expected = ground.play(None, None);
    assert_eq!(wrong(&expected, &ground.play(None, None)), None, "two undisturbed runs");
    let best_epoch = expected.outcome.as_ref().unwrap().best_epoch();
    assert!(best_epoch < u64::from(EPOCHS), "the models of the last epoch are kept, so nothing is restored");
    let (began, mut disturbances) = (Instant::now(), 0);
    for seed in first..first + count {
        let played = ground.play(Some(seed), None);
        assert_eq!(wrong(&played, &expected), None, "schedule {seed}: {:#?}", played.schedule);
        disturbances += played.schedule.len();
    }
    println!("{count} schedules, {disturbances} deaths and cuts, {:.1} s", began.elapsed().as_secs_f64());
    assert!(disturbances as u64 > count, "schedules that disturb nothing are no test");
}

#[test]
fn a_seed_replays_its_schedule() {
    let ground = Ground::new();
    for seed in 0..4 {
        let [first, second] = [(); 2].map(|()| ground.play(Some(seed), None).schedule);
        assert_eq!(first, second, "schedule {seed}");
    }
}

#[test]
fn planted_faults_are_found() {
    let ground = Ground::new();
    let expected = ground.play(None, None);
    for fault in FAULTS {
        let found =
            (0..200).find_map(|seed| Some((seed, wrong(&ground.play(Some(seed), Some(fault)), &expected)?)));
        let (seed, what) = found.unwrap_or_else(|| panic!("200 schedules do not find {fault:?}"));
        println!("{fault:?}: schedule {seed}: {what}");
    }
}
