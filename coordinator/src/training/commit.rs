//! After a run that has finished: tells parties that have written their models and did not hear that these count.
//!
//! A party whose connection, or process, ended between its last answer and the coordinator's word does not decide alone. It
//! asks when it is started again, and the coordinator has the answer in its state folder: started again by the same command,
//! it waits a while for whoever has not acknowledged it ([`announce`]), and one that serves predictions answers as long as it
//! does ([`answer_all`]). A party that serves predictions with the run's model has acknowledged it by that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashvfl_audit::Service;
use hashvfl_core::PartyName;
use hashvfl_core::protocol::admission::Admission;
use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_core::records::RecordsDigest;
use hashvfl_monitor::read_runs;
use hashvfl_transport::Received;
use hashvfl_transport::driver::Driver;
use hashvfl_transport::handshake::{Handshake, HandshakeError, turn_away};
use hashvfl_transport::limits::FIRST_BYTES;
use hashvfl_transport::listen::{Arrivals, TrainingStream};
use hashvfl_transport::stop::{Stop, Stopped};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::admission::names;
use super::arrivals::{self, Arrival};
use super::{HeldRun, keep_among_runs};
use crate::config::CoordinatorConfig;
use crate::labels;
use crate::state::StateFolder;

/// Longest wait until a party has given its model its name, and until it has gone.
const PARTING: Duration = Duration::from_secs(10);

/// The parties that have not acknowledged yet that the run has finished, in memory and on disk.
pub struct Unacknowledged {
    state: StateFolder,
    parties: Mutex<Vec<PartyName>>,
}

impl Unacknowledged {
    /// Those of a finished run.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn read(state: StateFolder) -> anyhow::Result<Self> {
        let parties = Mutex::new(state.read_unacknowledged()?);
        Ok(Self { state, parties })
    }

    /// Their names.
    pub fn parties(&self) -> Vec<PartyName> {
        self.lock().clone()
    }

    /// `party` has its model.
    pub fn acknowledged(&self, party: &PartyName) {
        let mut parties = self.lock();
        let before = parties.len();
        parties.retain(|other| other != party);
        if parties.len() == before {
            return;
        }
        info!(%party, "has its model, and knows that the run has finished");
        if let Err(error) = self.state.keep_unacknowledged(&parties) {
            // It is told once more, which changes nothing.
            warn!("{error:#}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PartyName>> {
        // The list is whole after each call, also one that panicked.
        self.parties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells parties that have not acknowledged it, as they come, that the run `run` on the records `ids` has finished.
///
/// Who does not come in time is told of, and kept: it may have its model without having been able to say so, and if not, it
/// asks, and the same command tells it later.
///
/// # Errors
/// If it cannot listen, or is asked to end.
pub fn announce(run: &HeldRun<'_>, state: StateFolder, ids: Vec<String>) -> anyhow::Result<()> {
    let HeldRun { config, reporter, .. } = run;
    let summary = state.summary();
    // A process may have been killed between the run's end and its line in the list.
    let listed = read_runs(&config.runs).iter().any(|run| run.run_id == config.run_id);
    let unlisted = if listed { None } else { Some(state.read_summary()?) };
    let unacknowledged = Unacknowledged::read(state)?;
    if !unacknowledged.parties().is_empty() {
        info!("{} has not confirmed its model", names(&unacknowledged.parties()));
        Driver::start()?.wait(wait_for_all(run, &unacknowledged, &ids))?;
    }
    reporter.finished(&summary);
    if let Some(unlisted) = unlisted {
        keep_among_runs(config, &unlisted);
    }
    Ok(())
}

async fn wait_for_all(
    run: &HeldRun<'_>,
    unacknowledged: &Unacknowledged,
    ids: &[String],
) -> anyhow::Result<()> {
    let config = run.config;
    let log = arrivals::admission_log(run, Arc::new(config.audit_trail()?));
    let (mut streams, _) = arrivals::let_in(run, log).await?;
    let (mut stop, limit_s) = (Stop::listen(), config.timeouts.reconnect_s);
    let limit = Instant::now() + Duration::from_secs(limit_s);
    while !unacknowledged.parties().is_empty() {
        let arrival = tokio::select! {
            biased;
            () = stop.stopped() => return Err(Stopped.into()),
            arrived = timeout_at(limit, streams.next()) => arrived.ok().flatten(),
        };
        let Some(mut arrival) = arrival else {
            warn!(
                "waited {limit_s} s (timeouts.reconnect_s), and {} has not asked whether its model counts: where its command ends with exit code 75, start it and this one again",
                names(&unacknowledged.parties())
            );
            return Ok(());
        };
        let ids = ids.to_vec();
        answer(config, unacknowledged, &mut arrival, move || Ok(ids)).await;
    }
    Ok(())
}

/// Answers parties that ask while predictions are served, until the server ends; must be spawned on its runtime.
pub async fn answer_all(
    config: Arc<CoordinatorConfig>,
    unacknowledged: Arc<Unacknowledged>,
    mut arrivals: Arrivals<TrainingStream>,
) {
    while let Some(stream) = arrivals.next().await {
        let (config, unacknowledged) = (Arc::clone(&config), Arc::clone(&unacknowledged));
        tokio::spawn(async move {
            let asked = Arc::clone(&config);
            let ids = move || anyhow::Ok(labels::load(&asked)?.ids);
            answer(&config, &unacknowledged, &mut Arrival::new(stream), ids).await;
        });
    }
}

/// Tells whoever has opened the stream of `arrival` that the run has finished, or why not; `ids` loads those of the run's records.
async fn answer(
    config: &CoordinatorConfig,
    unacknowledged: &Unacknowledged,
    arrival: &mut Arrival,
    ids: impl FnOnce() -> anyhow::Result<Vec<String>> + Send + 'static,
) {
    match tell(config, arrival, ids).await {
        Ok(party) => unacknowledged.acknowledged(&party),
        Err(error) => {
            warn!(service = ?Service::Training, "refused: {error}");
            turn_away(&arrival.stream, &error).await;
        }
    }
}

async fn tell(
    config: &CoordinatorConfig,
    arrival: &mut Arrival,
    ids: impl FnOnce() -> anyhow::Result<Vec<String>> + Send + 'static,
) -> Result<PartyName, HandshakeError> {
    let run = &config.run;
    let admission = Admission::new(config.run_id.clone(), run.to_settings(), run.parties.iter().cloned());
    let first = arrival.first(config.timeouts.handshake_s).await?;
    let stream = &mut arrival.stream;
    let mut handshake = Handshake::new(stream, config.timeouts.handshake_s);
    let hello = match first {
        FromParty::Return(_) => return Err(HandshakeError::NoReturn),
        first => handshake.greeting(first)?,
    };
    admission.check(&hello)?;
    let ids = tokio::task::spawn_blocking(ids).await;
    let ids = ids.map_err(anyhow::Error::from).and_then(|ids| ids).map_err(|error| {
        warn!(
            "{} asks whether its model counts, and the labels of the run cannot be read: {error:#}",
            hello.party
        );
        HandshakeError::Failed("the coordinator cannot read the records of the run: its log says why".into())
    })?;
    handshake.allow(ids.len().div_ceil(8) + FIRST_BYTES);
    let digest = move |salt: &_| RecordsDigest::of(salt, ids.iter().map(String::as_str));
    handshake.compare_records(&hello.party, digest).await?;
    handshake.accept(&hello.party, FromCoordinator::Commit).await?;
    match stream.next_within(PARTING).await {
        Ok(Received { message: FromParty::Committed, .. }) => {
            // It has said what it had to say; whether it hears the end of the stream is its own business.
            let _ = stream.end(PARTING).await;
            Ok(hello.party)
        }
        _ => Err(HandshakeError::Left { party: hello.party }),
    }
}
