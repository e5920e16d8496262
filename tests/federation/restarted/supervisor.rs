//! The processes of a run, each started again by the same command until it has ended well, as a service manager does.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{End, Fixture, PARTIES, Role};
use crate::proxy::Proxy;

/// All sides of a run, the coordinator first.
pub const SIDES: [&str; 3] = ["coordinator", PARTIES[0], PARTIES[1]];
pub const COORDINATOR: usize = 0;
pub const BANK: usize = 1;
pub const TELECOM: usize = 2;

/// The exit code of a party that does not know whether the run has finished.
pub const IN_DOUBT: i32 = 75;

/// The exit code of a process that was asked to end before its work was done.
pub const ASKED_TO_END: i32 = 130;

/// Nothing that is waited for takes longer.
const LIMIT: Duration = Duration::from_secs(120);
/// Pause before a process that has failed is started again.
const PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked whether something has happened.
const TICK: Duration = Duration::from_millis(2);
/// A run with a kill takes fewer starts.
const STARTS: usize = 120;

/// What stands between a party and its coordinator, so that a party's config stays the same.
pub trait Relay {
    /// Where the party dials.
    fn address(&self) -> &str;
    /// Leads new connections to this coordinator.
    fn lead_to(&self, coordinator: &str);
}

impl Relay for Proxy {
    fn address(&self) -> &str {
        &self.address
    }

    fn lead_to(&self, coordinator: &str) {
        Self::lead_to(self, coordinator);
    }
}

/// When a process that has failed is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// By itself, soon.
    AtOnce,
    /// When all have ended.
    WhenAllHaveEnded,
}

struct Side {
    command: Vec<&'static str>,
    config: PathBuf,
    role: Option<Role>,
    started: Instant,
    finished: bool,
    /// Standard output of its present or last process.
    lines: Vec<String>,
    /// How its processes ended by themselves.
    ends: Vec<End>,
}

/// The three sides of a run.
pub struct Supervisor<'a, R: Relay> {
    fixture: &'a Fixture,
    pub relays: [R; 2],
    sides: [Side; 3],
    starts: usize,
    /// A party has failed since the coordinator was started last: where that has finished, it is asked again.
    asks_again: bool,
    /// How often each side was killed while it ran.
    pub kills: [usize; 3],
}

impl<'a> Supervisor<'a, Proxy> {
    /// With nothing in between that changes anything.
    pub fn plain(fixture: &'a Fixture) -> Self {
        // Where the coordinator is, is known when it listens.
        Self::new(fixture, PARTIES.map(|_| Proxy::to("127.0.0.1:9")))
    }
}

impl<'a, R: Relay> Supervisor<'a, R> {
    /// Writes the configs; starts nothing.
    pub fn new(fixture: &'a Fixture, relays: [R; 2]) -> Self {
        let side = |command: &[&'static str], config| Side {
            command: command.to_vec(),
            config,
            role: None,
            started: Instant::now(),
            finished: false,
            lines: Vec::new(),
            ends: Vec::new(),
        };
        let party = |index: usize| fixture.party_config(PARTIES[index], relays[index].address());
        let sides = [
            side(&["coordinator", "--json"], fixture.coordinator_config()),
            side(&["party"], party(0)),
            side(&["party"], party(1)),
        ];
        Self { fixture, relays, sides, starts: 0, asks_again: false, kills: [0; 3] }
    }

    /// Changes a config before a start.
    pub fn edit(&self, side: usize, change: impl FnOnce(String) -> String) {
        let name = format!("{}.toml", SIDES[side]);
        self.fixture.write(&name, &change(self.fixture.read(&name)));
    }

    /// How many processes were started.
    pub fn starts(&self) -> usize {
        self.starts
    }

    /// Whether a side has ended well.
    pub fn finished(&self, side: usize) -> bool {
        self.sides[side].finished
    }

    /// Whether a side runs.
    pub fn runs(&self, side: usize) -> bool {
        self.sides[side].role.is_some()
    }

    /// Whether the coordinator's present process has printed a line that holds `text`.
    pub fn has_said(&self, text: &str) -> bool {
        self.sides[COORDINATOR].lines.iter().any(|line| line.contains(text))
    }

    /// Whether a side's present process has logged `text`.
    pub fn has_logged(&self, side: usize, text: &str) -> bool {
        self.sides[side].role.as_ref().is_some_and(|role| role.logged().contains(text))
    }

    /// Where the coordinator's present process listens.
    pub fn address(&self) -> String {
        let said = &self.sides[COORDINATOR].lines;
        let line = said.iter().rev().find(|line| line.contains("\"listening\"")).expect("it listens");
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["address"].as_str().unwrap().to_string()
    }

    /// How the last process of a side ended by itself.
    pub fn last_end(&self, side: usize) -> &End {
        self.sides[side].ends.last().unwrap_or_else(|| panic!("{} has not ended", SIDES[side]))
    }

    /// Starts a side, with more arguments than the command has by itself.
    pub fn start_with(&mut self, side: usize, more: &[&str]) {
        let log = self.fixture.log;
        let it = &mut self.sides[side];
        assert!(it.role.is_none(), "{} runs already", SIDES[side]);
        let mut arguments: Vec<&str> = it.command.clone();
        arguments.extend(more);
        arguments.push("--config");
        (it.started, it.finished) = (Instant::now(), false);
        it.lines.clear();
        it.role = Some(Role::start(&arguments, &it.config, log));
        self.starts += 1;
        self.asks_again &= side != COORDINATOR;
        assert!(self.starts < STARTS, "no end: {}", self.told());
    }

    /// Starts a side.
    pub fn start(&mut self, side: usize) {
        self.start_with(side, &[]);
    }

    /// Starts all sides that have not ended well and do not run.
    pub fn start_all(&mut self) {
        for side in 0..SIDES.len() {
            if !self.finished(side) && !self.runs(side) {
                self.start(side);
            }
        }
    }

    /// Looks at what processes say and whether they have ended.
    pub fn look(&mut self) {
        for side in 0..SIDES.len() {
            self.listen(side);
            let it = &mut self.sides[side];
            let Some(end) = it.role.as_mut().and_then(Role::ended) else { continue };
            it.lines.extend(it.role.take().iter().flat_map(Role::rest));
            self.note(side, end);
        }
    }

    /// What a process has printed.
    fn listen(&mut self, side: usize) {
        let it = &mut self.sides[side];
        while let Some(line) = it.role.as_ref().and_then(Role::line) {
            if side == COORDINATOR && line.contains("\"event\":\"listening\"") {
                let event: serde_json::Value = serde_json::from_str(&line).unwrap();
                self.relays.iter().for_each(|relay| relay.lead_to(event["address"].as_str().unwrap()));
            }
            it.lines.push(line);
        }
    }

    /// A process has ended by itself: well, or with one line that says why.
    fn note(&mut self, side: usize, end: End) {
        let name = SIDES[side];
        assert!(!end.log.contains("panicked"), "{name}: {}", end.log);
        match end.code {
            Some(0) => self.sides[side].finished = true,
            Some(1 | IN_DOUBT) => assert_eq!(end.errors().len(), 1, "{name}, one clear line: {}", end.log),
            Some(ASKED_TO_END) => {
                assert_eq!(end.errors().len(), 0, "{name}, no error: {}", end.log);
                assert!(end.log.contains("start the same command again"), "{name}: {}", end.log);
            }
            code => panic!("{name} ended with {code:?}: {}", end.log),
        }
        self.asks_again |= side != COORDINATOR && !self.finished(side);
        self.sides[side].ends.push(end);
    }

    /// Gives a side another command, from its next start on.
    pub fn command(&mut self, side: usize, command: &[&'static str]) {
        self.sides[side].command = command.to_vec();
    }

    /// All sides are to be started again, also those that have ended well.
    pub fn ask_all_again(&mut self) {
        self.sides.iter_mut().for_each(|side| side.finished = false);
    }

    /// Asks a side to end, as a service manager does.
    pub fn terminate(&mut self, side: usize) {
        self.sides[side].role.as_mut().unwrap_or_else(|| panic!("{} runs", SIDES[side])).terminate();
    }

    /// Hands the process of a side over; it does not run for this supervisor any more.
    pub fn take(&mut self, side: usize) -> Role {
        self.sides[side].role.take().unwrap_or_else(|| panic!("{} runs", SIDES[side]))
    }

    /// Kills a side as `kill -9` does; whether it was still running.
    pub fn kill(&mut self, side: usize) -> bool {
        self.listen(side);
        let Some(mut role) = self.sides[side].role.take() else { return false };
        role.kill();
        let end = role.end();
        if end.code.is_some() {
            self.note(side, end);
            return false;
        }
        self.kills[side] += 1;
        self.asks_again |= side != COORDINATOR;
        true
    }

    /// Waits until `condition` holds.
    pub fn wait_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        loop {
            self.look();
            if condition(self) {
                return;
            }
            assert!(began.elapsed() < LIMIT, "{what} did not come about: {}", self.told());
            thread::sleep(TICK);
        }
    }

    /// Waits until no process runs; how long that took.
    pub fn all_end(&mut self) -> Duration {
        let began = Instant::now();
        self.wait_until("the end of all processes", |all| (0..SIDES.len()).all(|side| !all.runs(side)));
        began.elapsed()
    }

    /// Starts what has failed again.
    fn restart(&mut self, when: Restart) {
        let all_ended = (0..SIDES.len()).all(|side| !self.runs(side));
        if self.asks_again && self.finished(COORDINATOR) {
            // It has the answer.
            self.sides[COORDINATOR].finished = false;
        }
        for side in 0..SIDES.len() {
            let it = &self.sides[side];
            let due = match when {
                Restart::AtOnce => it.started.elapsed() > PAUSE,
                Restart::WhenAllHaveEnded => all_ended,
            };
            if it.role.is_none() && !it.finished && due {
                self.start(side);
            }
        }
    }

    /// Whether all sides have ended well.
    pub fn all_finished(&self) -> bool {
        (0..SIDES.len()).all(|side| self.finished(side))
    }

    /// Keeps the run going until `until`, or until it is over.
    pub fn supervise(&mut self, when: Restart, until: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        loop {
            self.look();
            if self.all_finished() || until(self) {
                return;
            }
            self.restart(when);
            assert!(began.elapsed() < LIMIT, "the run does not end: {}", self.told());
            thread::sleep(TICK);
        }
    }

    /// Keeps the run going until all sides have ended well.
    pub fn finish(&mut self, when: Restart) {
        self.supervise(when, |_| false);
    }

    /// What was logged by those that failed, and the ends of the last logs.
    pub fn told(&self) -> String {
        let mut text = format!("{} starts, kills {:?}\n", self.starts, self.kills);
        for (name, side) in SIDES.iter().zip(&self.sides) {
            let mut ends: Vec<String> =
                side.ends.iter().map(|end| format!("{:?}: {:?}", end.code, end.errors())).collect();
            ends.dedup();
            ends.iter().for_each(|end| text += &format!("-- {name} ended with {end}\n"));
            if let Some(end) = side.ends.last() {
                let lines: Vec<&str> = end.log.lines().collect();
                text += &(lines[lines.len().saturating_sub(12)..].join("\n") + "\n");
            }
        }
        text
    }
}
