//! A port at which several runs of this process let their parties in: the first message of a stream says to which run it goes.
//!
//! A party that names none of the runs goes to one that is open and has a party of its name, and is refused, counted and written
//! down there as at a port of its own. Where none has, it is told nothing of any run, since other organisations may take part in
//! these. A stream whose first message names nobody, and whoever is turned away by a certificate, go to one that is open.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use hashvfl_core::limits::MAX_PARTIES;
use hashvfl_core::protocol::message::FromParty;
use hashvfl_core::{PartyName, RunId};
use hashvfl_identity::{Identity, Role};
use hashvfl_transport::handshake::{HandshakeError, turn_away};
use hashvfl_transport::limits::gate::PortAccount;
use hashvfl_transport::limits::quiet::QuietLog;
use hashvfl_transport::listen::{self, Arrivals, Listener, TrainingStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::error;

use super::admission::answer_bytes;
use super::arrivals::Arrival;
use crate::config::CoordinatorConfig;
use crate::identity;

/// Where the streams of a run go.
enum RunRoute {
    /// It takes nobody yet.
    Closed,
    /// To its admission; closed where it takes nobody at the moment.
    Open { streams: mpsc::Sender<Arrival>, log: Arc<dyn PortAccount> },
    /// It has ended: why, for its parties.
    Over(String),
}

struct RunOfPort {
    parties: Vec<PartyName>,
    way: RunRoute,
}

impl RunOfPort {
    fn is_open(&self) -> bool {
        matches!(&self.way, RunRoute::Open { streams, .. } if !streams.is_closed())
    }
}

/// The runs of a port.
struct RunRoutes {
    runs: Mutex<BTreeMap<RunId, RunOfPort>>,
    refusals: QuietLog,
}

/// A port that several runs share. It listens until it is dropped.
pub struct SharedPort {
    address: SocketAddr,
    ways: Arc<RunRoutes>,
    network: Runtime,
}

impl SharedPort {
    /// Listens for the parties of the runs of `configs`, which have one `listen` and one identity; for all other limits, the
    /// larger value applies.
    ///
    /// # Errors
    /// If nobody can listen there, or the identity cannot be used.
    pub fn open(configs: &[&CoordinatorConfig]) -> anyhow::Result<Self> {
        let first = configs.first().context("a port of no run")?;
        let (mut limits, mut handshake_s) = (first.listening(answer_bytes(first)), 0);
        let (mut parties, mut runs) = (Vec::new(), BTreeMap::new());
        for config in configs {
            limits = limits.or_larger(config.listening(answer_bytes(config)));
            handshake_s = handshake_s.max(config.timeouts.handshake_s);
            parties.extend(config.run.parties.iter().cloned());
            let run = RunOfPort { parties: config.run.parties.clone(), way: RunRoute::Closed };
            runs.insert(config.run_id.clone(), run);
        }
        let network =
            Builder::new_multi_thread().worker_threads(1).thread_name("shared port").enable_all().build()?;
        let listener =
            network.block_on(Listener::bind(first.listen, limits)).with_context(|| first.cannot_listen())?;
        let ways = Arc::new(RunRoutes { runs: Mutex::new(runs), refusals: QuietLog::new() });
        let account = Arc::clone(&ways);
        let listener = identity::secure(listener, first, identity::parties(&parties), account)?;
        let address = listener.address()?;
        let (arrivals, serving) = listen::training(listener);
        network.spawn(async move {
            if let Err(error) = serving.await {
                error!("no party can connect to {address} any more: {error}");
            }
        });
        network.spawn(receive_all(Arc::clone(&ways), arrivals, handshake_s));
        Ok(Self { address, ways, network })
    }

    /// The address, with its port also where the config left it open.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets the parties of `run` come in from now on, in place of where they came in before; `log` hears of those who are turned
    /// away.
    pub fn enter(&self, run: &RunId, log: Arc<dyn PortAccount>) -> mpsc::Receiver<Arrival> {
        let (streams, arrivals) = mpsc::channel(MAX_PARTIES);
        self.lead(run, RunRoute::Open { streams, log });
        arrivals
    }

    /// Lets nobody come in any more: `run` has ended, for the reason `why`.
    pub fn leave(&self, run: &RunId, why: String) {
        self.lead(run, RunRoute::Over(why));
    }

    /// Works at `task` until the port is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.network.spawn(task);
    }

    fn lead(&self, run: &RunId, way: RunRoute) {
        if let Some(run) = self.ways.runs().get_mut(run) {
            run.way = way;
        }
    }
}

impl RunRoutes {
    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, RunOfPort>> {
        // The map is whole after each change.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a stream on whose first message was waited for.
    ///
    /// # Errors
    /// If nobody takes it; with the stream.
    fn hand_over(&self, arrival: Arrival) -> Result<(), Box<(Arrival, HandshakeError)>> {
        let runs = self.runs();
        let named = match arrival.heard_first() {
            Some(FromParty::Hello(hello)) => Some((&hello.run, &hello.party)),
            Some(FromParty::Return(back)) => Some((&back.run, &back.party)),
            _ => None,
        };
        let way = match named {
            None => open_run(&runs, |_| true),
            Some((run, party)) => {
                let asked = runs.get(run).filter(|asked| asked.is_open() || asked.parties.contains(party));
                let its_own = || open_run(&runs, |run| run.parties.contains(party));
                let way = asked.map(|asked| &asked.way).or_else(its_own);
                if way.is_none() {
                    let error = HandshakeError::NoRun { party: party.clone(), run: run.clone() };
                    return Err(Box::new((arrival, error)));
                }
                way
            }
        };
        match way {
            Some(RunRoute::Open { streams, .. }) => streams.try_send(arrival).map_err(|error| match error {
                TrySendError::Full(arrival) | TrySendError::Closed(arrival) => {
                    Box::new((arrival, HandshakeError::NotNow))
                }
            }),
            Some(RunRoute::Over(why)) => Err(Box::new((arrival, HandshakeError::Over(why.clone())))),
            Some(RunRoute::Closed) | None => Err(Box::new((arrival, HandshakeError::NotNow))),
        }
    }
}

impl PortAccount for RunRoutes {
    fn turned_away(&self, who: Option<&Identity>, why: &'static str) {
        let party = who.filter(|who| who.role == Role::Party).map(|who| &who.name);
        let runs = self.runs();
        let its_own = open_run(&runs, |run| party.is_some_and(|party| run.parties.contains(party)));
        let log = match its_own.or_else(|| open_run(&runs, |_| true)) {
            Some(RunRoute::Open { log, .. }) => Arc::clone(log),
            // Only the log for people tells of it.
            _ => return,
        };
        drop(runs);
        log.turned_away(who, why);
    }

    fn look(&self) {
        let mut logs = Vec::new();
        for run in self.runs().values() {
            if let RunRoute::Open { log, .. } = &run.way {
                logs.push(Arc::clone(log));
            }
        }
        logs.iter().for_each(|log| log.look());
    }
}

/// The first open run that `fits`, where there is one.
fn open_run(runs: &BTreeMap<RunId, RunOfPort>, fits: impl Fn(&RunOfPort) -> bool) -> Option<&RunRoute> {
    runs.values().find(|run| run.is_open() && fits(run)).map(|run| &run.way)
}

async fn receive_all(ways: Arc<RunRoutes>, mut arrivals: Arrivals<TrainingStream>, handshake_s: u64) {
    while let Some(stream) = arrivals.next().await {
        tokio::spawn(receive(Arc::clone(&ways), stream, handshake_s));
    }
}

async fn receive(ways: Arc<RunRoutes>, stream: TrainingStream, handshake_s: u64) {
    let arrival = Arrival::heard(stream, handshake_s).await;
    let Err(refused) = ways.hand_over(arrival) else { return };
    let (Arrival { stream, .. }, error) = *refused;
    ways.refusals.warn(&format!("refused a party: {error}"));
    turn_away(&stream, &error).await;
}
