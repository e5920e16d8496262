//! After a run that has finished: tells parties that have written their models and did not hear that these count.
//!
//! A party whose connection, or process, ended between its last answer and the coordinator's word does not decide alone. It
//! asks when it is started again, and the coordinator, started again as well, has the answer in its state folder.

use std::time::{Duration, Instant};

use hashvfl_audit::Service;
use hashvfl_core::PartyName;
use hashvfl_core::protocol::admission::Admission;
use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_core::records::RecordsDigest;
use hashvfl_monitor::read_runs;
use hashvfl_transport::Received;
use hashvfl_transport::driver::Driver;
use hashvfl_transport::handshake::{Handshake, HandshakeError, refuse};
use hashvfl_transport::limits::FIRST_BYTES;
use hashvfl_transport::listen::{self, TrainingStream};
use hashvfl_transport::stop::{Stop, Stopped};
use tracing::{info, warn};

use super::admission::names;
use super::{keep_among_runs, open_port};
use crate::config::CoordinatorConfig;
use crate::progress::ProgressReporter;
use crate::state::StateFolder;

/// Longest wait until a party has given its model its name, and until it has gone.
const PARTING: Duration = Duration::from_secs(10);

/// Tells `unheard`, as they come, that the run of `config` on the records `ids` has finished.
///
/// Who does not come in time is told of, and kept: it may have its model without having been able to say so, and if not, it
/// asks, and the same command tells it later.
///
/// # Errors
/// If it cannot listen, or is asked to end.
pub fn hand_out(
    config: &CoordinatorConfig,
    state: &StateFolder,
    ids: Vec<String>,
    unheard: Vec<PartyName>,
    reporter: &ProgressReporter,
) -> anyhow::Result<()> {
    info!("the run has finished, and {} has not heard that its model counts", names(&unheard));
    let mut handing = HandingOut { config, state, ids, unheard };
    Driver::start()?.wait(handing.listen(reporter))?;
    if handing.unheard.is_empty() {
        info!("all parties have heard that the run has finished");
    }
    reporter.finished(&state.summary());
    // A process that was killed between the run's end and its line in the list.
    if !read_runs(&config.runs).iter().any(|run| run.run_id == config.run_id) {
        keep_among_runs(config, &state.read_summary()?);
    }
    Ok(())
}

struct HandingOut<'a> {
    config: &'a CoordinatorConfig,
    state: &'a StateFolder,
    ids: Vec<String>,
    unheard: Vec<PartyName>,
}

impl HandingOut<'_> {
    async fn listen(&mut self, reporter: &ProgressReporter) -> anyhow::Result<()> {
        let config = self.config;
        let (mut arrivals, serving) = listen::training(open_port(config, reporter).await?);
        tokio::spawn(serving);
        let (mut stop, limit_s) = (Stop::listen(), config.timeouts.reconnect_s);
        let limit = tokio::time::Instant::from_std(Instant::now() + Duration::from_secs(limit_s));
        while !self.unheard.is_empty() {
            let stream = tokio::select! {
                biased;
                () = stop.stopped() => return Err(Stopped.into()),
                arrived = tokio::time::timeout_at(limit, arrivals.next()) => arrived.ok().flatten(),
            };
            let Some(stream) = stream else {
                warn!(
                    "waited {limit_s} s (timeouts.reconnect_s), and {} has not asked whether its model counts: where its command ends with exit code 75, start it and this one again",
                    names(&self.unheard)
                );
                return Ok(());
            };
            self.receive(stream).await?;
        }
        Ok(())
    }

    async fn receive(&mut self, mut stream: TrainingStream) -> anyhow::Result<()> {
        match self.tell(&mut stream).await {
            Ok(party) => {
                info!(%party, "has heard that the run has finished");
                self.unheard.retain(|other| *other != party);
                self.state.keep_unheard(&self.unheard)
            }
            Err(error) => {
                warn!(service = ?Service::Training, "refused: {error}");
                refuse(&stream, error.for_peer(stream.peer())).await;
                Ok(())
            }
        }
    }

    async fn tell(&self, stream: &mut TrainingStream) -> Result<PartyName, HandshakeError> {
        let run = &self.config.run;
        let admission =
            Admission::new(self.config.run_id.clone(), run.to_settings(), run.parties.iter().cloned());
        let mut handshake = Handshake::new(stream, self.config.timeouts.handshake_s);
        let hello = match handshake.first().await? {
            FromParty::Return(_) => return Err(HandshakeError::NoReturn),
            first => handshake.greeting(first)?,
        };
        admission.check(&hello)?;
        handshake.allow(self.ids.len().div_ceil(8) + FIRST_BYTES);
        let ids = self.ids.clone();
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
}
