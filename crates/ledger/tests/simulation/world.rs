//! One schedule: a run with its deaths and cuts, drawn from a seed, played to its end.

use std::collections::VecDeque;

use hashvfl_core::protocol::message::{CheckpointId, FromCoordinator, FromParty};
use hashvfl_core::random::{below, stream, uniform};
use hashvfl_core::{Digest, PartyName, Plan, RunSettings, Task};
use rand::rngs::ChaCha8Rng;

use crate::Fault;
use crate::coordinator::{Coordinator, CoordinatorDisk, RECORDS, ToAll};
use crate::observer::Observer;
use crate::party::{BITS, PASSES_AHEAD, Party, PartyDisk};

const PARTIES: usize = 2;
/// Deliveries, cuts and returns of one attempt, at most: an undisturbed run has fewer than a third.
const EVENTS: usize = 2_000;
/// Attempts of a schedule, at most.
const ATTEMPTS: usize = 12;
/// Deaths of one schedule, at most.
const DEATHS: usize = 3;

/// A death, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// As `kill -9`, between two messages.
    Killed,
    /// As `kill -9`, at so many writes of the ledger from now on.
    KilledAtWrite(u32),
    /// The machine loses power.
    PowerLoss,
}

/// What a run gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    top: Digest,
    models: Vec<Digest>,
}

/// What a schedule came to.
#[derive(Debug)]
pub struct Played {
    /// What the run gave, where it ended.
    pub outcome: Option<Outcome>,
    /// The first promise that was broken.
    pub broken: Option<String>,
    /// Deaths and cuts that there were.
    pub disturbances: usize,
}

/// The way between the coordinator and a party.
#[derive(Default)]
struct Connection {
    up: VecDeque<FromParty>,
    down: VecDeque<FromCoordinator>,
    cut: bool,
}

/// A schedule while it is played.
struct World {
    settings: RunSettings,
    plan: Plan,
    disks: Vec<PartyDisk>,
    coordinator: CoordinatorDisk,
    observer: Observer,
    rng: ChaCha8Rng,
    fault: Option<Fault>,
    /// Deaths that are left.
    deaths: usize,
    /// Share of events that are cuts.
    cuts: f32,
    disturbances: usize,
    /// How often each party's process was killed; `None` once its machine has lost power.
    kills: Vec<Option<u64>>,
}

/// How an attempt ended.
enum Ended {
    Finished,
    Interrupted,
    Broken,
}

fn settings() -> RunSettings {
    let names = ["a", "b"].map(|name| PartyName::new(name).unwrap());
    let gradient = hashvfl_core::GradientEncoding::F32;
    RunSettings { batch_rows: 8.into(), gradient, ..RunSettings::new(names.to_vec(), Task::Binary, BITS, 3) }
}

/// Plays the schedule of `seed`; an undisturbed one without.
pub fn play(seed: Option<u64>, fault: Option<Fault>) -> Played {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings();
    let plan = Plan::new(&settings, RECORDS).unwrap();
    let mut rng = stream(seed.unwrap_or(0), "simulation", &[]);
    let disk = |party| {
        let answers = folder.path().join(format!("answers-{party}"));
        PartyDisk::new(answers, fault == Some(Fault::NeverSyncs))
    };
    let mut world = World {
        disks: (0..PARTIES).map(disk).collect(),
        coordinator: CoordinatorDisk::default(),
        observer: Observer::new(PARTIES),
        deaths: seed.map_or(0, |_| 1 + below(&mut rng, DEATHS)),
        cuts: seed.map_or(0.0, |_| if below(&mut rng, 2) == 0 { 0.0 } else { 0.03 }),
        rng,
        settings,
        plan,
        fault,
        disturbances: 0,
        kills: vec![Some(0); PARTIES],
    };
    let finished = world.run();
    let models: Option<Vec<Digest>> = world.disks.iter().map(|disk| disk.model).collect();
    let outcome = world.coordinator.decided.zip(models).filter(|_| finished);
    let outcome = outcome.map(|(top, models)| Outcome { top, models });
    Played { outcome, broken: world.observer.broken, disturbances: world.disturbances }
}

impl World {
    /// Attempt after attempt, as service managers start processes again; whether the run has finished at all sides.
    fn run(&mut self) -> bool {
        for _ in 0..ATTEMPTS {
            let ended = match self.coordinator.decided {
                Some(_) => self.announce(),
                None => self.attempt(),
            };
            self.compare();
            match ended {
                Ended::Finished => return true,
                Ended::Interrupted => {}
                Ended::Broken => return false,
            }
        }
        self.observer.breaks(format!("no end after {ATTEMPTS} attempts"));
        false
    }

    /// Holds ledgers against what left, and sides against each other.
    fn compare(&mut self) {
        for (party, disk) in self.disks.iter().enumerate() {
            let more = self.kills[party].map(|kills| kills * u64::from(PASSES_AHEAD) * BITS as u64);
            self.observer.compare(party, &disk.ledger, RECORDS, more);
            let decided = self.coordinator.decided.is_some();
            if disk.model.is_some() && !decided {
                self.observer.breaks(format!("party {party} has finished, and nobody has decided that"));
            }
            if decided && disk.model.is_none() && disk.pending.is_none() {
                self.observer.breaks(format!("the run has finished without the model of party {party}"));
            }
        }
    }

    fn party(&mut self, index: usize) -> Result<Party, Ended> {
        let started = Party::start(index, &mut self.disks[index], &self.settings, &self.plan, self.fault);
        started.map_err(|error| self.breaks(format!("party {index} does not start: {error}")))
    }

    fn breaks(&mut self, what: String) -> Ended {
        self.observer.breaks(what);
        Ended::Broken
    }

    /// After the decision: whoever has written its model and has not heard it asks.
    fn announce(&mut self) -> Ended {
        for index in 0..PARTIES {
            if self.disks[index].model.is_some() {
                continue;
            }
            let mut party = match self.party(index) {
                Ok(party) => party,
                Err(ended) => return ended,
            };
            for message in [FromCoordinator::Welcome { salt: [1; 32] }, FromCoordinator::Commit] {
                let heard = party.receive(message, &mut self.disks[index], &mut self.observer);
                if let Err(error) = heard {
                    return self.breaks(format!("party {index} asks whether its model counts: {error}"));
                }
            }
        }
        Ended::Finished
    }

    /// Lets all parties in; what each can go on from.
    fn greet(&mut self) -> Result<(Vec<Party>, Vec<Vec<CheckpointId>>), Ended> {
        let (mut parties, mut offered) = (Vec::new(), Vec::new());
        for index in 0..PARTIES {
            let mut party = self.party(index)?;
            let welcome = FromCoordinator::Welcome { salt: [1; 32] };
            let greeted = party.receive(welcome, &mut self.disks[index], &mut self.observer);
            let Ok(Some(FromParty::Records { checkpoints, .. })) = greeted else {
                return Err(self.breaks(format!("party {index} says no records: {greeted:?}")));
            };
            let accepted = FromCoordinator::Accepted { session: None };
            let joined = party.receive(accepted, &mut self.disks[index], &mut self.observer);
            joined.map_err(|error| self.breaks(error))?;
            parties.push(party);
            offered.push(checkpoints);
        }
        Ok((parties, offered))
    }

    /// A run from its handshake until it ends, well or not.
    fn attempt(&mut self) -> Ended {
        let (mut parties, offered) = match self.greet() {
            Ok(greeted) => greeted,
            Err(ended) => return ended,
        };
        let resume = self.coordinator.common(&offered, self.fault);
        let (settings, plan) = (self.settings.clone(), self.plan.clone());
        let (mut coordinator, first) =
            Coordinator::begin(&settings, &plan, resume, &mut self.coordinator, self.fault);
        let mut links: Vec<Connection> = (0..PARTIES).map(|_| Connection::default()).collect();
        say(&mut coordinator, &mut links, first);
        let dies = (self.deaths > 0).then(|| below(&mut self.rng, 600));
        for event in 0..EVENTS {
            if dies == Some(event) {
                match self.die(&mut parties) {
                    Death::KilledAtWrite(_) => {}
                    Death::Killed | Death::PowerLoss => return self.interrupt(parties, Vec::new()),
                }
            }
            let happened = self.happen(&mut coordinator, &mut parties, &mut links);
            if let Err(ended) = happened {
                let dead: Vec<usize> =
                    (0..PARTIES).filter(|party| self.disks[*party].ledger.is_dead()).collect();
                return match dead.is_empty() {
                    true => ended,
                    false => self.interrupt(parties, dead),
                };
            }
            self.check_decision();
            if coordinator.all_committed() {
                return self.interrupt_finished(parties);
            }
        }
        self.breaks("nothing moves any more".into())
    }

    /// Nobody may finish alone.
    fn check_decision(&mut self) {
        let all_wrote = self.disks.iter().all(|disk| disk.pending.is_some() || disk.model.is_some());
        if self.coordinator.decided.is_some() && !all_wrote {
            self.observer
                .breaks("the run was decided to have finished before all had written their models".into());
        }
    }

    /// Somebody dies, or will at one of the next writes of a ledger.
    fn die(&mut self, parties: &mut Vec<Party>) -> Death {
        self.deaths -= 1;
        self.disturbances += 1;
        let victim = below(&mut self.rng, PARTIES + 2);
        let death = match below(&mut self.rng, 3) {
            0 if victim < PARTIES => Death::KilledAtWrite(below(&mut self.rng, 30) as u32),
            1 => Death::PowerLoss,
            _ => Death::Killed,
        };
        if let Death::KilledAtWrite(writes) = death {
            self.disks[victim].ledger.die_after(writes);
            return death;
        }
        // Beyond the parties: the coordinator alone, and all at once.
        let dead: Vec<usize> = (0..PARTIES).filter(|party| victim == *party || victim > PARTIES).collect();
        for party in &dead {
            self.bury(*party, death == Death::PowerLoss, parties);
        }
        death
    }

    /// The process of a party is gone at once.
    fn bury(&mut self, party: usize, power: bool, parties: &mut Vec<Party>) {
        let disk = &self.disks[party];
        disk.ledger.kill();
        // What a process does when it ends in order comes too late.
        parties.retain(|one| one.index() != party);
        if power {
            disk.ledger.lose_power(&mut self.rng);
            disk.shorten_answers(uniform(&mut self.rng));
            // A file that was being written is damaged, and passed over.
            if below(&mut self.rng, 2) == 0 {
                self.disks[party].lose_checkpoint();
            }
            self.kills[party] = None;
        }
        self.kills[party] = self.kills[party].map(|kills| kills + 1);
        self.disks[party].ledger.revive();
    }

    /// The run is interrupted: those that `died` at a write are gone, the others end in order.
    fn interrupt(&mut self, mut parties: Vec<Party>, died: Vec<usize>) -> Ended {
        for party in died {
            self.bury(party, false, &mut parties);
        }
        for mut party in parties {
            let settled = party.settle();
            if settled.is_err() && self.disks[party.index()].ledger.is_dead() {
                let index = party.index();
                self.bury(index, false, &mut vec![party]);
            } else if let Err(error) = settled {
                return self.breaks(format!("a party does not settle: {error}"));
            } else {
                self.disks[party.index()].ledger.revive();
            }
        }
        Ended::Interrupted
    }

    fn interrupt_finished(&mut self, parties: Vec<Party>) -> Ended {
        match self.interrupt(parties, Vec::new()) {
            Ended::Interrupted => Ended::Finished,
            other => other,
        }
    }

    /// One thing happens: a message arrives, a connection breaks or comes back.
    fn happen(
        &mut self,
        coordinator: &mut Coordinator,
        parties: &mut [Party],
        links: &mut [Connection],
    ) -> Result<(), Ended> {
        let index = below(&mut self.rng, PARTIES);
        let (link, party) = (&mut links[index], &mut parties[index]);
        if link.cut {
            return self.come_back(index, coordinator, party, link);
        }
        if uniform(&mut self.rng) < self.cuts {
            *link = Connection { cut: true, ..Connection::default() };
            self.disturbances += 1;
            return Ok(());
        }
        let from_party = below(&mut self.rng, 2) == 0;
        if from_party && let Some(message) = link.up.pop_front() {
            coordinator.exchanges[index].received(&bytes(&message));
            let saves = below(&mut self.rng, 4) == 0;
            let next = coordinator.receive(index, message, &mut self.coordinator, saves);
            let next = next.map_err(|error| self.breaks(format!("the coordinator: {error}")))?;
            say(coordinator, links, next);
        } else if let Some(message) = link.down.pop_front() {
            party.exchange.received(&bytes(&message));
            let answer = party.receive(message, &mut self.disks[index], &mut self.observer);
            match answer {
                Ok(Some(answer)) => {
                    party.exchange.sent(answer.clone(), &bytes(&answer));
                    link.up.push_back(answer);
                }
                Ok(None) => {}
                Err(_) if self.disks[index].ledger.is_dead() => return Err(Ended::Interrupted),
                Err(error) => return Err(self.breaks(format!("party {index}: {error}"))),
            }
        }
        Ok(())
    }

    /// A party is back on another connection: each side repeats what the other lacks.
    fn come_back(
        &mut self,
        index: usize,
        coordinator: &mut Coordinator,
        party: &mut Party,
        link: &mut Connection,
    ) -> Result<(), Ended> {
        let theirs = coordinator.exchanges[index].mark();
        let down = coordinator.exchanges[index].resume(&party.exchange.mark());
        let down = down.map_err(|error| self.breaks(format!("the coordinator: {error}")))?;
        let up = party.exchange.resume(&theirs);
        let up = up.map_err(|error| self.breaks(format!("party {index}: {error}")))?;
        *link = Connection { up: up.into(), down: down.into(), cut: false };
        match self.fault {
            Some(Fault::LosesWhatWasOnItsWay) => *link = Connection::default(),
            Some(Fault::RepeatsWhatHasCome) => {
                if let Some(last) = link.down.front().cloned() {
                    link.down.push_back(last);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A message as the chain of an exchange sees it.
fn bytes(message: &impl std::fmt::Debug) -> Vec<u8> {
    format!("{message:?}").into_bytes()
}

/// The coordinator says something to all; what is said on a connection that is cut is repeated on the next.
fn say(coordinator: &mut Coordinator, links: &mut [Connection], messages: ToAll) {
    for ((link, exchange), messages) in links.iter_mut().zip(&mut coordinator.exchanges).zip(messages) {
        for message in messages {
            exchange.sent(message.clone(), &bytes(&message));
            if !link.cut {
                link.down.push_back(message);
            }
        }
    }
}
