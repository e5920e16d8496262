//! A run from its first stream to its summary.

pub(crate) mod admission;
pub(crate) mod network;
pub(crate) mod screening;
pub(crate) mod service;
pub(crate) mod traffic;

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, bail};
use hashvfl_core::protocol::coordinator::{Admission, PeerError};
use hashvfl_core::records::run_records::digest_of_run;
use hashvfl_core::{ExcludedRecords, PackedCodes, Part, PartyName, Plan, RunRecords, StoredCodes};
use hashvfl_files::write_whole;
use hashvfl_learning::Classifier;
use hashvfl_learning::device::{self, Opened};
use hashvfl_learning::metrics::Balance;
use hashvfl_learning::top::loss::Evaluation;
use hashvfl_learning::training::{self, Outcome, ScreeningHook, ScreeningPoint, TrainingError};
use hashvfl_proto::driver::Driver;
use hashvfl_transcript::{Header, SentValues, Transcript};
use tokio::net::TcpListener;
use tracing::info;

use crate::config::CoordinatorConfig;
use crate::detectors::{self, Fitted};
use crate::label_ledger::LabelLedger;
use crate::labels::{self, LabelledRecords};
use crate::progress::ProgressReporter;
use crate::training::admission::{AdmissionService, Joined};
use crate::training::network::{NetworkError, NetworkedParties};
use crate::training::screening::Screener;

use crate::state::StateFolder;
use crate::summary::{Bytes, Flags, RecordCounts, Screening, Seconds, Summary};
use crate::top_file::{self, TopFile};

/// Runs the run of `config`: waits for its parties, trains, tests, and keeps what came of it.
pub fn run(config: &CoordinatorConfig, json: bool) -> anyhow::Result<()> {
    let span = tracing::info_span!("coordinator", run = %config.run_id);
    let _entered = span.enter();
    let reporter = ProgressReporter::new(json);
    let labelled = labels::load(config)?;
    let plan = Plan::new(&config.run, labelled.ids.len())?;
    check_plan(config, &plan)?;
    let opened = device::open(config.device)?;
    let state = StateFolder::create(&config.state)?;
    let label_ledger = LabelLedger::open(config, &labelled.ids)?;
    info!("labels of {} records, top model on {}", labelled.ids.len(), opened.name);
    info!("read: {}", labelled.reading);

    let driver = Driver::start()?;
    let began = Instant::now();
    let joined = driver.wait(gather(config, labelled.ids.clone(), &reporter))?;
    let waiting = began.elapsed().as_secs_f64();

    let screener = config.screening.as_ref();
    let mut screener =
        screener.map(|screening| Screener::new(screening, labelled.labels.clone(), config.seed));
    let header = header(config, &labelled);
    let transcript =
        config.transcript.then(|| Transcript::create(&state.transcript(), &header)).transpose()?;
    let excluded = joined.iter().map(|one| (one.party.clone(), one.excluded.clone())).collect();
    let gone = left_out_by_any(&excluded);
    let records = labelled.keep(RunRecords::new(&config.run_id, &labelled.ids, gone.clone()));
    let kept = (plan.clone(), transcript, label_ledger);
    let mut network = NetworkedParties::new(&driver, &config.run, joined, kept, config.timeouts.step_s);
    let begun = begin(config, &mut network, plan, &gone);
    let plan = match begun {
        Ok(plan) => plan,
        Err(error) => {
            network.give_up(&for_others(&error));
            return Err(error);
        }
    };
    let LabelledRecords { ids, labels, classes, .. } = labelled;
    let mut classifier = top_file::new(config, labels, &plan, &opened.device)?;
    reporter.start(config.run.epochs, plan.batches());
    let mut watched = plan.clone();
    let mut judge = |at: ScreeningPoint, rows: &[u32], parts: &[Vec<f32>]| match &mut screener {
        Some(screener) => screener.judge(at, rows, parts),
        None => Ok(vec![1.0; rows.len()]),
    };
    let screen = config
        .screening
        .map(|screening| ScreeningHook { after_epochs: screening.after_epochs, judge: &mut judge });
    let trained = training::train(
        &mut network,
        &config.run,
        &mut watched,
        &mut classifier,
        config.top.patience,
        screen,
        &mut |progress| reporter.training_progress(progress),
    );
    let kept = trained.map_err(flatten).and_then(|outcome| {
        let seconds = Seconds {
            waiting,
            training: outcome.curve.iter().map(|epoch| epoch.train_seconds).sum(),
            run: began.elapsed().as_secs_f64() - waiting,
        };
        let gather = |rows: &[u32]| -> Vec<Vec<f32>> {
            // Unwrap safety: the training loop keeps the codes of all test and calibration records.
            outcome.tables.iter().map(|table| table.signs(rows).expect("a kept row")).collect()
        };
        let fitted = detectors::fit(config, &plan, &classifier, &gather, &outcome.synthetic)?;
        let test_rows = plan.part(Part::Test);
        let flags = fitted
            .as_ref()
            .map(|fitted| detectors::measure(config, &fitted.detectors, &classifier, &gather, test_rows));
        let flags = flags.transpose()?;
        let without = without(config, &classifier, &gather, test_rows);
        let screening = screener.as_ref().map(Screener::summary).unwrap_or_default();
        let measured = Measured { without, flags, screening, excluded };
        let summary = summarise(config, &plan, (&outcome, measured), (&network, &opened, seconds));
        if let Some(table) = screener.as_ref().map(|screener| screener.table(&ids)).transpose()?.flatten() {
            write_whole(&state.screened(), &table)?;
        }
        if let Some(Fitted { detectors, references }) = &fitted {
            hashvfl_detectors::file::write(&state.detectors(), detectors)?;
            if let Some(references) = references {
                hashvfl_detectors::file::write(&state.references(), references)?;
            }
        }
        let top = TopFile::of(&classifier, outcome.encoders.clone(), classes, records.digest());
        keep(config, &state, outcome, &top, &records, &summary)?;
        network.finish()?;
        state.finish()?;
        Ok(summary)
    });
    let summary = match kept {
        Ok(summary) => summary,
        Err(error) => {
            network.give_up(&for_others(&error));
            return Err(error);
        }
    };
    if let Some(test) = summary.test {
        info!("test {} {:.4}", summary.metric, test.metric(config.run.task));
    }
    reporter.finished(&state.summary());
    Ok(())
}

/// Whether all that is to be done with the records of `plan` has enough of them.
pub fn check_plan(config: &CoordinatorConfig, plan: &Plan) -> anyhow::Result<()> {
    detectors::check(&config.detectors, plan)?;
    config.screening.map_or(Ok(()), |screening| screening.check_records(plan))
}

/// Records that at least one party's policy refuses.
fn left_out_by_any(by_party: &BTreeMap<PartyName, ExcludedRecords>) -> ExcludedRecords {
    let mut excluded = ExcludedRecords::default();
    for (party, own) in by_party.iter().filter(|(_, own)| !own.is_empty()) {
        info!("{party} leaves out {} records: its policy does not allow the run for them", own.count());
        excluded.add(own);
    }
    excluded
}

/// Begins the run without the records `excluded`; `plan` without them.
fn begin(
    config: &CoordinatorConfig,
    network: &mut NetworkedParties,
    plan: Plan,
    excluded: &ExcludedRecords,
) -> anyhow::Result<Plan> {
    let without = "without the records that parties' policies refuse";
    let plan = plan.without(excluded).context(without)?;
    check_plan(config, &plan).context(without)?;
    network.begin(excluded, plan.clone())?;
    Ok(plan)
}

/// What the transcript says of itself.
fn header(config: &CoordinatorConfig, labelled: &LabelledRecords) -> Header {
    let records = digest_of_run(&config.run_id, labelled.ids.iter().map(String::as_str));
    let header = Header::new(config.run_id.clone(), "coordinator", &config.run, SentValues::Codes, records);
    Header { classes: labelled.classes.clone(), ..header }
}

/// Listens, and waits for all parties.
async fn gather(
    config: &CoordinatorConfig,
    ids: Vec<String>,
    reporter: &ProgressReporter,
) -> anyhow::Result<Vec<Joined>> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}: is another coordinator up there?", config.listen))?;
    reporter.listening(listener.local_addr()?);
    let (serving, arrivals) = service::serve(listener);
    let server = tokio::spawn(serving);
    let admission =
        Admission::new(config.run_id.clone(), config.run.to_settings(), config.run.parties.iter().cloned());
    let admission_service =
        AdmissionService::open(admission, (ids, config.run.on_refusal), &config.timeouts, arrivals);
    let mut tell = |party: &_| reporter.joined(party);
    tokio::select! {
        joined = admission_service.gather(&mut tell) => joined,
        ended = server => match ended.context("the server")? {
            Ok(()) => bail!("the server ended before all parties had joined"),
            Err(error) => Err(error).context("the server"),
        },
    }
}

fn flatten(error: TrainingError<NetworkError>) -> anyhow::Error {
    match error {
        TrainingError::Parties(error) => error.into(),
        TrainingError::Snapshot(_) | TrainingError::Screening(_) | TrainingError::Diverged { .. } => {
            error.into()
        }
    }
}

/// What the other parties hear. A party's own words may name its files, so they stay here.
fn for_others(error: &anyhow::Error) -> String {
    match error.downcast_ref() {
        Some(NetworkError::Peer(PeerError::Failed { step, party, .. })) => {
            format!("step {step}: {party} stopped, its own log says why")
        }
        _ => format!("{error:#}"),
    }
}

/// Keeps everything but the word that the run has finished.
fn keep(
    config: &CoordinatorConfig,
    state: &StateFolder,
    outcome: Outcome<PackedCodes>,
    top: &TopFile,
    records: &RunRecords,
    summary: &Summary,
) -> anyhow::Result<()> {
    state.keep_records(records)?;
    state.prepare(&top.to_snapshot(&config.run), summary)?;
    let codes = outcome.encoders.into_iter().zip(outcome.tables);
    config.run.parties.iter().zip(codes).try_for_each(|(party, (encoder, table))| {
        state.keep_codes(party, &StoredCodes { encoder, records: records.digest(), table })
    })
}

/// What was measured beside the test metric.
struct Measured {
    without: BTreeMap<PartyName, Evaluation>,
    flags: Option<Flags>,
    screening: Vec<Screening>,
    excluded: BTreeMap<PartyName, ExcludedRecords>,
}

/// What the test metric is without each party's codes.
fn without(
    config: &CoordinatorConfig,
    classifier: &Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
    rows: &[u32],
) -> BTreeMap<PartyName, Evaluation> {
    let parties = if rows.is_empty() { &[][..] } else { &config.run.parties };
    let without = |(index, party): (usize, &PartyName)| {
        (party.clone(), classifier.evaluate_without(index, gather, rows))
    };
    parties.iter().enumerate().map(without).collect()
}

fn summarise(
    config: &CoordinatorConfig,
    plan: &Plan,
    (outcome, Measured { without, flags, screening, excluded }): (&Outcome<PackedCodes>, Measured),
    (network, opened, seconds): (&NetworkedParties, &Opened, Seconds),
) -> Summary {
    let settings = config.run.to_settings();
    let (up_per_record_and_step, down_per_record_and_step) = network.traffic.per_record_and_step();
    let test_rows = plan.part(Part::Test);
    let balance = config.run.parties.iter().zip(&outcome.tables).filter_map(|(party, table)| {
        Some((party.clone(), Balance::of(&table.signs(test_rows).ok()?, table.bits())))
    });
    let encoders = config
        .run
        .parties
        .iter()
        .zip(&outcome.encoders)
        .map(|(party, digest)| (party.clone(), digest.to_string()));
    Summary {
        version: env!("CARGO_PKG_VERSION").to_string(),
        run_id: config.run_id.clone(),
        settings: settings.pairs().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        settings_sha256: settings.digest().to_string(),
        encoders_sha256: encoders.collect(),
        transcript_head: network.transcript_head().map(|head| head.to_string()),
        device: opened.name.clone(),
        records: RecordCounts::of(plan),
        excluded: excluded.into_iter().map(|(party, rows)| (party, rows.count())).collect(),
        best_epoch: outcome.best_epoch,
        epochs: outcome.curve.clone(),
        metric: Evaluation::metric_name(config.run.task).to_string(),
        test: outcome.test,
        without,
        flags,
        screening,
        bits_released_per_record: outcome.released,
        balance: if test_rows.is_empty() { BTreeMap::new() } else { balance.collect() },
        bytes: Bytes {
            up: network.traffic.up_bytes,
            down: network.traffic.down_bytes,
            up_per_record_and_step,
            down_per_record_and_step,
        },
        seconds,
    }
}
