//! The federation that is simulated: tables, configs, and attempt after attempt at its run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::bail;
use hashvfl_coordinator::{CoordinatorConfig, simulated};
use hashvfl_core::random::{stream, uniform};
use hashvfl_core::{GradientEncoding, PartyName, RunSettings, Task};
use hashvfl_files::effects::observe;
use hashvfl_ledger::RedbStore;
use hashvfl_party::PartyConfig;
use tempfile::TempDir;

use crate::Fault;
use crate::outcome::Outcome;
use crate::side::{Killed, copy};
use crate::world::{self, Broken, World};

pub const PARTIES: [&str; 2] = ["bank", "telecom"];
pub const COORDINATOR: &str = "coordinator";
pub const RECORDS: usize = 40;
pub const BITS: usize = 8;
pub const EPOCHS: u32 = 3;
/// Passes over records that a party's ledger reserves at once.
pub const PASSES_AHEAD: u32 = 2;
/// Attempts at a run, at most: no schedule has as many deaths.
const ATTEMPTS: usize = 20;

/// What came of a schedule.
pub struct Played {
    pub outcome: Option<Outcome>,
    /// The first promise that was broken.
    pub broken: Option<String>,
    /// Deaths and cuts, in their order.
    pub schedule: Vec<String>,
    /// Processes of each party that ended before their time.
    pub deaths: BTreeMap<&'static str, u64>,
}

/// A federation that has not begun.
pub struct Ground(TempDir);

/// A folder in memory, where there is one: thousands of runs wait for no disk.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

/// The id of the record of that number.
pub fn id(record: usize) -> String {
    format!("r{record}")
}

fn run_table() -> String {
    let names = PARTIES.map(|name| PartyName::new(name).unwrap());
    let settings = RunSettings {
        batch_rows: 8.into(),
        gradient: GradientEncoding::F32,
        learning_rate: 0.15, // the first epoch does best, so its models are restored
        ..RunSettings::new(names.to_vec(), Task::Binary, BITS, EPOCHS)
    };
    toml::to_string(&BTreeMap::from([("run", settings)])).unwrap()
}

/// The config of a party in its folder.
pub fn party_config(name: &str, folder: &Path) -> PartyConfig {
    let text = format!(
        "name = \"{name}\"\nrun_id = \"simulated\"\ncoordinator = \"http://127.0.0.1:1\"\nstate = \"state\"\ndevice = \"cpu\"\n\
         seed = 7\ninsecure_plaintext = true\npasses_ahead = {PASSES_AHEAD}\n\
         columns = {{ format = \"csv\", paths = [\"table.csv\"], id = \"id\" }}\n\
         encoder = {{ model = {{ kind = \"mlp\", hidden = [3] }} }}\n{}",
        run_table()
    );
    PartyConfig::parse(&text, folder).unwrap()
}

fn coordinator_config(folder: &Path) -> CoordinatorConfig {
    let text = format!(
        "run_id = \"simulated\"\nlisten = \"127.0.0.1:0\"\nstate = \"state\"\ndevice = \"cpu\"\ninsecure_plaintext = true\n\
         checkpoint_every_s = 0\ntop = {{ hidden = [4] }}\n\
         labels = {{ format = \"csv\", paths = [\"labels.csv\"], id = \"id\", column = \"y\" }}\n{}",
        run_table()
    );
    CoordinatorConfig::parse(&text, folder).unwrap()
}

impl Ground {
    /// Tables whose label is whether two hidden sums, one of each party, have one sign; and ledgers, so that all runs name records by
    /// the same keys.
    pub fn new() -> Self {
        let folder = folder();
        let mut rng = stream(1, "ground", &[]);
        let mut tables = PARTIES.map(|_| String::from("id,a,b\n"));
        let mut labels = String::from("id,y\n");
        for record in 0..RECORDS {
            let mut sum = 0.0;
            for table in &mut tables {
                let (a, b) = (uniform(&mut rng) - 0.5, uniform(&mut rng) - 0.5);
                sum += a + b;
                writeln!(table, "{},{a},{b}", id(record)).unwrap();
            }
            writeln!(labels, "{},{}", id(record), u8::from(sum > 0.0)).unwrap();
        }
        let put = |side: &str, name: &str, text: &str, ledger: &str| {
            let place = folder.path().join(side);
            fs::create_dir(&place).unwrap();
            fs::write(place.join(name), text).unwrap();
            drop(RedbStore::open_or_create(&place.join(ledger)).unwrap());
        };
        for (party, table) in PARTIES.iter().zip(&tables) {
            put(party, "table.csv", table, "ledger.redb");
        }
        put(COORDINATOR, "labels.csv", &labels, "label-ledger.redb");
        Self(folder)
    }

    /// Plays the schedule of `seed`; an undisturbed one without.
    pub fn play(&self, seed: Option<u64>, fault: Option<Fault>) -> Played {
        let folder = folder();
        copy(self.0.path(), folder.path());
        world::begin(World::new(folder.path(), seed, fault));
        let mut outcome = None;
        for _ in 0..ATTEMPTS {
            attempt(folder.path());
            if world::with(|world| world.is_over()) {
                outcome = world::with(|world| world.has_finished()).then(|| tidied_up(folder.path()));
                break;
            }
        }
        let world = world::end();
        let no_end = outcome.is_none().then(|| format!("no end after {ATTEMPTS} attempts"));
        let deaths = world.deaths_of_parties();
        Played { outcome, broken: world.observer.broken.or(no_end), schedule: world.schedule, deaths }
    }
}

/// What a run has left behind that has finished, when all sides have been started once more: one that was killed behind its end has
/// not tidied up.
fn tidied_up(root: &Path) -> Outcome {
    world::with(World::start_again);
    let coordinator = coordinator_config(&root.join(COORDINATOR));
    let again = simulated::run(&coordinator, || bail!("the run has finished: nobody is asked"));
    assert_eq!(again.unwrap(), simulated::Finished::Before);
    Outcome::of(root)
}

/// All sides are started, and work until the run has finished or one of them has died: service managers start them again.
fn attempt(root: &Path) {
    let coordinator = world::with(World::begin_attempt);
    let config = coordinator_config(&root.join(COORDINATOR));
    coordinator.observe();
    let ended = catch_unwind(AssertUnwindSafe(|| simulated::run(&config, || world::with(World::greet))));
    observe(None);
    world::with(|world| {
        world.end_attempt();
        match ended {
            Ok(Ok(simulated::Finished::Now)) => {}
            Ok(Ok(simulated::Finished::Before)) => world.announce(),
            Ok(Err(error)) => world.explain(&format!("{COORDINATOR}: {error:#}")),
            Err(payload) if payload.is::<Killed>() || payload.is::<Broken>() => {}
            Err(_) => world.breaks(format!("{COORDINATOR}: it panicked")),
        }
        world.compare();
    });
}
