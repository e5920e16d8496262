//! `coordinator serve`: predictions with the trained top model, from codes that parties send when they are asked.
//!
//! A client names records by id; only the coordinator knows which row an id is, and a party hears rows alone. An id
//! that is none of the served records' is refused before any party hears of it. Codes that are known are kept.

mod engine;
mod index;
mod known_codes;
mod party_connection;
mod service;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use hashvfl_learning::{Predictor, device, threads};
use hashvfl_proto::stop::Stop;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::config::{Absent, CoordinatorConfig};
use crate::detectors::AnomalyScorer;
use crate::label_ledger::PredictionLedger;
use crate::progress::ProgressReporter;
use crate::state::StateFolder;
use crate::top_file::TopFile;
use engine::{Engine, Party};
use known_codes::Changes;

pub use index::RecordIndex;
pub use known_codes::KnownCodes;

/// How often known codes are written, if there are new ones.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// Serves until it is stopped.
pub fn serve(config: &CoordinatorConfig, json: bool) -> anyhow::Result<()> {
    let span = tracing::info_span!("coordinator", run = %config.run_id);
    let _entered = span.enter();
    let engine = Arc::new(load(config, json)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let served = runtime.block_on(listen(&engine));
    drop(runtime);
    changes(&engine).iter().for_each(Changes::write);
    engine.ledger().settle()?;
    served
}

fn load(config: &CoordinatorConfig, json: bool) -> anyhow::Result<Engine> {
    let state = StateFolder::existing(&config.state);
    let top = TopFile::read(&state.top(), &config.run)?;
    let run = &config.run;
    ensure!(
        top.encoders.len() == run.parties.len(),
        "{} is damaged: it names {} bottom models for {} parties",
        state.top().display(),
        top.encoders.len(),
        run.parties.len()
    );
    let opened = device::open(config.device)?;
    // The top model is a small mlp, fastest on one thread.
    threads::limit(1);
    let predictor = Predictor::load(&top.model, run.parties.len() * run.bits, &opened.device)?;
    let index = RecordIndex::served(config)?;
    let list = Arc::new(index.list());
    let parties = run.parties.iter().zip(&top.encoders).map(|(name, encoder)| {
        let path = state.served_codes(name, encoder, &list.digest);
        Party::away(name.clone(), KnownCodes::load(path, Arc::clone(&list), run.bits))
    });
    let parties = parties.collect();
    if config.serve.absent == Absent::Mask && run.party_dropout == 0.0 {
        warn!(
            "serve.absent = \"mask\", but run.party_dropout was 0: the top model has not learned to do without a party"
        );
    }
    let lengths = vec![run.bits; run.parties.len()];
    let scorer = AnomalyScorer::load(&state, &config.detectors, &lengths, predictor.feature_count())?;
    let ledger = PredictionLedger::open(config, predictor.meaning().outputs())?;
    info!("predictions for {} records, top model on {}", index.records(), opened.name);
    Ok(Engine::new(
        config.clone(),
        (index, top, parties),
        (predictor, scorer, ledger),
        ProgressReporter::new(json),
    ))
}

async fn listen(engine: &Arc<Engine>) -> anyhow::Result<()> {
    let mut stop = Stop::listen();
    let address = engine.config.listen;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: is another coordinator up there?"))?;
    engine.reporter.listening(listener.local_addr()?);
    tokio::spawn(keep(Arc::clone(engine)));
    tokio::select! {
        served = service::serve(Arc::clone(engine), listener) => served.context("the server"),
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
        let kept = tokio::task::spawn_blocking(move || changes(&engine).iter().for_each(Changes::write));
        if kept.await.is_err() {
            return;
        }
    }
}

fn changes(engine: &Engine) -> Vec<Changes> {
    engine.parties.iter().filter_map(|party| party.known().changes()).collect()
}
