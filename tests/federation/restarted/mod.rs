//! Processes of a run that are killed as `kill -9` does, and started again by the same commands: the run goes on from where
//! all sides have kept it, and ends with the same bits as one that nobody disturbed.

mod aligning;
mod apart;
mod asked;
mod at_once;
mod cancelled;
mod decided;
mod gate;
pub mod outcome;
mod points;
mod random;
mod rot;
mod serving;
mod supervisor;
mod unfinished;

use std::sync::OnceLock;

use crate::fixture::{Fixture, PARTIES};
use crate::proxy::Proxy;
use crate::restarted::outcome::Outcome;
use crate::restarted::supervisor::{Relay, Restart, SIDES, Supervisor};

/// What kind of run it is.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Six epochs of one cycle.
    Plain,
    /// All that the coordinator keeps beside its model: two cycles with distillation, screening, refit.
    Rich,
    /// Detectors at all sides.
    Detected,
    /// Bottom models learn on half of the records, under randomised response; other records are encoded once.
    Flipped,
}

const SHAPES: [Shape; 4] = [Shape::Plain, Shape::Rich, Shape::Detected, Shape::Flipped];

impl Shape {
    /// A federation of this shape that has not begun.
    fn fixture(self) -> Fixture {
        let mut fixture = Fixture::new();
        fixture.settings.epochs = 6;
        SIDES.iter().for_each(|side| fixture.extra.push((side, "transcript = true".into())));
        fixture.extra.push(("coordinator", "checkpoint_every_s = 0".into()));
        let mut line = |side, line: &str| fixture.extra.push((side, line.into()));
        match self {
            Self::Plain => {}
            Self::Rich => {
                line("coordinator", "top = { loss = { distillation = 0.5 } }");
                line("coordinator", "screening = { action = \"drop\", level = 0.1, after_epochs = 2 }");
                fixture.settings.cycles = 2;
                fixture.settings.refit = true;
            }
            Self::Detected => {
                line("coordinator", "detectors = { level = 0.1 }");
                line("bank", "detectors = { send = \"p_value\", level = 0.1 }");
                line("telecom", "detectors = { send = \"flag\", level = 0.1 }");
                fixture.settings.calibration_fraction = 0.65;
            }
            Self::Flipped => {
                fixture.settings.randomised_response = Some(1.0);
                fixture.settings.cohort_fraction = 0.5;
                // Another key would draw other flips.
                for name in PARTIES {
                    hashvfl_files::write_whole(&fixture.path(&format!("{name}.key")), &[b'k'; 32]).unwrap();
                }
            }
        }
        fixture
    }

    /// What a run of this shape gives if nobody disturbs it.
    fn undisturbed(self) -> &'static Outcome {
        static OUTCOMES: [OnceLock<Outcome>; SHAPES.len()] = [const { OnceLock::new() }; SHAPES.len()];
        OUTCOMES[self as usize].get_or_init(|| undisturbed(&self.fixture()))
    }
}

/// What this run gives if nobody disturbs it.
fn undisturbed(fixture: &Fixture) -> Outcome {
    let mut run: Supervisor<'_, Proxy> = Supervisor::plain(fixture);
    run.finish(Restart::AtOnce);
    assert!(run.starts() == SIDES.len(), "{}", run.told());
    Outcome::of(fixture)
}

/// Fails unless a run that is over has given what it gives undisturbed.
fn assert_same<R: Relay>(fixture: &Fixture, run: &Supervisor<'_, R>, expected: &Outcome, what: &str) {
    let differences = Outcome::of(fixture).differences(expected, run.kills);
    assert!(differences.is_empty(), "{what}: {differences:#?}\n{}", run.told());
}

/// A number from the environment.
fn from_environment(name: &str, otherwise: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")),
        Err(_) => otherwise,
    }
}

#[test]
fn two_undisturbed_runs_give_the_same() {
    for shape in SHAPES {
        let differences = undisturbed(&shape.fixture()).differences(shape.undisturbed(), [0; 3]);
        assert!(differences.is_empty(), "{shape:?}: {differences:#?}");
    }
}

#[test]
fn a_seed_that_a_party_draws_outlasts_its_process() {
    let drawn = |run: &Supervisor<'_, Proxy>| {
        for side in [supervisor::BANK, supervisor::TELECOM] {
            run.edit(side, |text| text.replace("\nseed = 7\n", "\n"));
        }
    };
    let fixture = Shape::Plain.fixture();
    let mut run = Supervisor::plain(&fixture);
    drawn(&run);
    run.start_all();
    for epoch in [2, 4] {
        let line = format!("\"epoch\":{epoch},");
        run.wait_until("an epoch", |run| run.has_said(&line));
        assert!(run.kill(supervisor::BANK) && run.kill(supervisor::TELECOM), "{}", run.told());
        run.all_end();
        run.start_all();
    }
    run.finish(Restart::WhenAllHaveEnded);

    // Undisturbed, with the seeds that were drawn: a config takes none above 2^63.
    let quiet = Shape::Plain.fixture();
    let mut undisturbed = Supervisor::plain(&quiet);
    drawn(&undisturbed);
    for side in [supervisor::BANK, supervisor::TELECOM] {
        let state = format!("{}-state", SIDES[side]);
        let model = fixture.path(&format!("{state}/bottom.safetensors"));
        let seed = hashvfl_learning::Snapshot::read(&model).unwrap().text["seed"].clone();
        assert_ne!(seed, "7");
        std::fs::create_dir(quiet.path(&state)).unwrap();
        quiet.write(&format!("{state}/seed"), &seed);
    }
    undisturbed.finish(Restart::AtOnce);
    assert_same(&fixture, &run, &Outcome::of(&quiet), "a drawn seed");
}
