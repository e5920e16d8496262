//! Processes that are killed at random moments: each run ends with the same bits. `HASHVFL_KILLS` says how many kills, and
//! `HASHVFL_KILLS_SEED` which.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use hashvfl_core::random::{below, stream, uniform};

use crate::fixture::Fixture;
use crate::proxy::Proxy;
use crate::restarted::outcome::Outcome;
use crate::restarted::supervisor::{Restart, SIDES, Supervisor};
use crate::restarted::{SHAPES, Shape, from_environment};

/// Most kills of one run.
const MOST: usize = 3;
/// Share of the kills that come after the freeze, where a run finishes.
const LATE: f32 = 0.3;

/// How long an undisturbed run takes.
#[derive(Debug, Clone, Copy)]
struct Span {
    whole: Duration,
    /// From the freeze to the end.
    end: Duration,
}

impl Span {
    fn of(shape: Shape) -> Self {
        let fixture = shape.fixture();
        let mut run = Supervisor::plain(&fixture);
        let began = Instant::now();
        run.start_all();
        run.supervise(Restart::AtOnce, is_frozen);
        let frozen = began.elapsed();
        run.finish(Restart::AtOnce);
        assert!(run.has_said("\"freeze\""), "the end was seen to begin: {}", run.told());
        let whole = began.elapsed();
        Self { whole, end: whole - frozen }
    }
}

/// Whether the bottom models are frozen, or about to be.
fn is_frozen(run: &Supervisor<'_, Proxy>) -> bool {
    run.has_said("\"freeze\"")
}

/// What happens in one run.
#[derive(Debug)]
struct Schedule {
    shape: Shape,
    restart: Restart,
    /// Whether those that are left wait for whoever is started again, or end.
    waits: bool,
    kills: Vec<Kill>,
}

#[derive(Debug)]
struct Kill {
    /// All of them where it is none of the sides.
    victim: usize,
    /// After the freeze, or after the start.
    late: bool,
    /// Where, as a share of the time.
    moment: f32,
}

impl Schedule {
    fn draw(seed: u64, number: u64) -> Self {
        let mut rng = stream(seed, "kills", &[number]);
        let (restart, waits) =
            [(Restart::AtOnce, true), (Restart::AtOnce, false), (Restart::WhenAllHaveEnded, false)]
                [below(&mut rng, 3)];
        let count = 1 + below(&mut rng, MOST);
        let kill = |_| Kill {
            victim: below(&mut rng, SIDES.len() + 1),
            late: uniform(&mut rng) < LATE,
            moment: 1.1 * uniform(&mut rng),
        };
        let kills = (0..count).map(kill).collect();
        Self { shape: SHAPES[number as usize % SHAPES.len()], restart, waits, kills }
    }

    fn fixture(&self) -> Fixture {
        let on_interruption = if self.waits { "wait" } else { "stop" };
        Fixture { on_interruption, ..self.shape.fixture() }
    }

    /// Runs it; how many processes were killed while they ran, and what differs at the end.
    fn run(&self, fixture: &Fixture, span: Span) -> (usize, Vec<String>) {
        let mut run = Supervisor::plain(fixture);
        run.start_all();
        for kill in &self.kills {
            if kill.late {
                run.supervise(self.restart, is_frozen);
            }
            let whole = if kill.late { span.end } else { span.whole };
            let (began, after) = (Instant::now(), whole.mul_f32(kill.moment));
            run.supervise(self.restart, |_| began.elapsed() >= after);
            for side in (0..SIDES.len()).filter(|side| kill.victim == *side || kill.victim == SIDES.len()) {
                run.kill(side);
            }
        }
        run.finish(self.restart);
        let mut differences = Outcome::of(fixture).differences(self.shape.undisturbed(), run.kills);
        if !differences.is_empty() {
            differences.push(run.told());
        }
        (run.kills.iter().sum(), differences)
    }
}

#[test]
fn runs_whose_processes_are_killed_at_random_end_with_the_same_bits() {
    let wanted = from_environment("HASHVFL_KILLS", 8);
    let seed = from_environment("HASHVFL_KILLS_SEED", 1) as u64;
    let spans = SHAPES.map(Span::of);
    let (began, mut kills, mut runs, mut same) = (Instant::now(), 0, 0, 0);
    let mut failed = Vec::new();
    while kills < wanted {
        assert!((runs as usize) < 10 * (wanted + 1), "processes end before they are killed: {kills} kills");
        let schedule = Schedule::draw(seed, runs);
        runs += 1;
        let fixture = schedule.fixture();
        let ran = catch_unwind(AssertUnwindSafe(|| schedule.run(&fixture, spans[schedule.shape as usize])));
        let (killed, differences) = ran.unwrap_or_else(|_| (0, vec!["it did not end: see above".into()]));
        kills += killed;
        if differences.is_empty() {
            same += killed;
            println!("run {}: {killed} kills; {same} of {kills} so far ended with the same bits", runs - 1);
            continue;
        }
        // A run that did not end counts as its first kill.
        kills += usize::from(killed == 0);
        println!("run {} of seed {seed}, {schedule:?}: {differences:#?}", runs - 1);
        failed.push(runs - 1);
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{same} of {kills} kills in {runs} runs ended with the same bits, {seconds:.0} s, spans {spans:?}"
    );
    assert!(failed.is_empty(), "runs {failed:?} of seed {seed} differ");
}
