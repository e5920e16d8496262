//! `coordinator serve`: predictions with the trained top model, from codes that parties send when they are asked.
//!
//! A client names records by id. Only the coordinator knows the row of each id; parties receive only rows. An id that is
//! not among the served records is refused before any party is asked. Codes that have come are kept.

mod answer;
mod engine;
mod index;
mod known_codes;
mod party_connection;
mod party_stream;
mod service;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hashvfl_cli::at_run;
use hashvfl_files::encryption::check_place;
use hashvfl_identity::Role;
use hashvfl_monitor::ProcessPhase;
use hashvfl_transport::listen::{self, Joining, Listener};
use hashvfl_transport::stop::Stop;
use tracing::info;

use crate::config::CoordinatorConfig;
use crate::identity;
use crate::state::{READABLE, StateFolder};
use crate::training::arrivals::PartyStreams;
use crate::training::commit::{self, Announcer};
use engine::Engine;

pub use index::RecordIndex;
pub use known_codes::KnownCodes;

/// How often known codes are written, if there are new ones.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// Serves until it is stopped.
///
/// # Errors
/// If the run has not finished, its files are damaged, or the server fails.
pub fn serve(config: &CoordinatorConfig, json: bool) -> anyhow::Result<()> {
    let span = tracing::info_span!("coordinator", run = %config.run_id);
    let _entered = span.enter();
    at_run("coordinator", config.run_id.as_str());
    check_place(&config.state, &READABLE)?;
    // Held until the end: it writes known codes there, and whoever erases some of them must not be undone.
    let _state = StateFolder::alone(&config.state)?;
    let engine = Arc::new(Engine::load(config, json)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(serve_until_stopped(&engine));
    drop(runtime);
    keep_known_codes(&engine);
    engine.tell_audit(true);
    engine.ledger().settle()?;
    served
}

async fn serve_until_stopped(engine: &Arc<Engine>) -> anyhow::Result<()> {
    let mut stop = Stop::listen();
    let address = engine.config.listen;
    let limits = engine.config.listening(party_stream::codes_bytes(engine.config.run.most_bits()));
    let listener = Listener::bind(address, limits).await.with_context(|| engine.config.cannot_listen())?;
    let permitted = identity::parties(&engine.config.run.parties).and_every(Role::Client);
    let account = Arc::clone(&engine.admissions);
    let listener = identity::secure(listener, &engine.config, permitted, account)?;
    engine.reporter.listening(listener.address()?);
    engine.reporter.board().status().phase = ProcessPhase::Serving;
    tokio::spawn(keep(Arc::clone(engine)));
    let (Joining { serving: arrivals, training }, serving) = listen::serving(listener, Arc::clone(engine));
    tokio::spawn(party_stream::receive_all(Arc::clone(engine), arrivals));
    let (unacknowledged, asked) = (Arc::clone(&engine.unacknowledged), Arc::clone(&engine.asked));
    let announcer = Announcer::new(&engine.config, unacknowledged, asked);
    tokio::spawn(commit::answer_all(Arc::new(announcer), PartyStreams::Own(training)));
    tokio::select! {
        served = serving => served.context("the server"),
        () = stop.stopped() => {
            info!("stopped");
            Ok(())
        }
    }
}

/// Writes known codes from time to time.
async fn keep(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(KEEP_EVERY);
    loop {
        ticks.tick().await;
        let engine = Arc::clone(&engine);
        let kept = tokio::task::spawn_blocking(move || {
            keep_known_codes(&engine);
            engine.tell_audit(false);
        });
        if kept.await.is_err() {
            return;
        }
    }
}

/// Writes what is known of each party's records, where that has changed.
fn keep_known_codes(engine: &Engine) {
    for party in &engine.parties {
        let changes = party.known().changes();
        if let Some(changes) = changes {
            let written = changes.try_write();
            party.known().note_written(written);
        }
    }
}
