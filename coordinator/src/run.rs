//! A run from its first stream to its summary.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, bail};
use hashvfl_core::coordinator::{Admission, PeerError};
use hashvfl_core::run_records::digest_of_run;
use hashvfl_core::{LeftOut, PackedCodes, Part, PartyName, Plan, RunRecords, StoredCodes};
use hashvfl_detectors::split;
use hashvfl_files::write_whole;
use hashvfl_learning::Classifier;
use hashvfl_learning::course::{self, CourseError, Outcome, Screen, ScreenedAt};
use hashvfl_learning::device::{self, Opened};
use hashvfl_learning::evaluation::Evaluation;
use hashvfl_learning::loss::Labels;
use hashvfl_learning::metrics::Balance;
use hashvfl_proto::driver::Driver;
use hashvfl_transcript::{Cut, Header, Transcript};
use tokio::net::TcpListener;
use tracing::info;

use crate::config::CoordinatorConfig;
use crate::coverage;
use crate::detect::{self, Fitted, Left};
use crate::label_ledger::LabelLedger;
use crate::labels::{self, LabelledRecords};
use crate::lobby::{Joined, Lobby};
use crate::network::{Network, NetworkError};
use crate::progress::Teller;
use crate::screen::Screener;
use crate::service;
use crate::state::StateFolder;
use crate::summary::{Bytes, Flags, Records, Screening, Seconds, Summary};
use crate::top::{self, TopFile};

/// Runs the run of `config`: waits for its parties, trains, tests, and keeps what came of it.
pub fn run(config: &CoordinatorConfig, json: bool) -> anyhow::Result<()> {
    let span = tracing::info_span!("coordinator", run = %config.run_id);
    let _entered = span.enter();
    let teller = Teller::new(json);
    let labelled = labels::load(config)?;
    let plan = Plan::new(&config.run, labelled.ids.len())?;
    check_plan(config, &labelled.labels, &plan)?;
    let opened = device::open(config.device)?;
    let state = StateFolder::create(&config.state)?;
    let label_ledger = LabelLedger::open(config, &labelled.ids)?;
    info!("labels of {} records, top model on {}", labelled.ids.len(), opened.name);

    let driver = Driver::start()?;
    let began = Instant::now();
    let joined = driver.wait(gather(config, labelled.ids.clone(), &teller))?;
    let waiting = began.elapsed().as_secs_f64();

    let screener = config.screening.as_ref();
    let mut screener =
        screener.map(|screening| Screener::new(screening, labelled.labels.clone(), config.seed));
    let header = header(config, &labelled);
    let transcript =
        config.transcript.then(|| Transcript::create(&state.transcript(), &header)).transpose()?;
    let left_out = joined.iter().map(|one| (one.party.clone(), one.left_out.clone())).collect();
    let gone = left_out_by_any(&left_out);
    let records = labelled.keep(RunRecords::new(&config.run_id, &labelled.ids, gone.clone()));
    let kept = (plan.clone(), transcript, label_ledger);
    let mut network = Network::new(&driver, &config.run, joined, kept, config.wait.step_s);
    let begun = begin(config, &mut network, (&labelled.labels, plan), &gone);
    let plan = match begun {
        Ok(plan) => plan,
        Err(error) => {
            network.give_up(&for_others(&error));
            return Err(error);
        }
    };
    let LabelledRecords { ids, labels, classes } = labelled;
    let mut classifier = top::new(config, labels, &plan, &opened.device)?;
    teller.start(config.run.epochs, plan.batches());
    let mut watched = plan.clone();
    let mut judge = |at: ScreenedAt, rows: &[u32], parts: &[Vec<f32>]| match &mut screener {
        Some(screener) => screener.judge(at, rows, parts),
        None => Ok(vec![1.0; rows.len()]),
    };
    let screen =
        config.screening.map(|screening| Screen { after_epochs: screening.after_epochs, judge: &mut judge });
    let course = course::run(
        &mut network,
        &config.run,
        &mut watched,
        &mut classifier,
        config.top.patience,
        screen,
        &mut |progress| teller.course(progress, config.run.task),
    );
    let kept = course.map_err(flatten).and_then(|outcome| {
        let seconds = Seconds {
            waiting,
            training: outcome.curve.iter().map(|epoch| epoch.train_seconds).sum(),
            run: began.elapsed().as_secs_f64() - waiting,
        };
        let gather = |rows: &[u32]| -> Vec<Vec<f32>> {
            // Unwrap safety: the course keeps the codes of all test and calibration records.
            outcome.tables.iter().map(|table| table.signs(rows).expect("a kept row")).collect()
        };
        let calibrating = split::calibrating(plan.part(Part::Calibration));
        let said = if calibrating.is_empty() { Vec::new() } else { network.judge(calibrating.len())? };
        let left = Left { drawn: &outcome.drawn, said: &said };
        let fitted = detect::fit(config, &plan, &classifier, &gather, left)?;
        let test_rows = plan.part(Part::Test);
        let flags = fitted
            .as_ref()
            .map(|fitted| detect::measure(config, &fitted.detectors, &classifier, &gather, test_rows));
        let flags = flags.transpose()?;
        let without = without(config, &classifier, &gather, test_rows);
        let screening = screener.as_ref().map(Screener::summary).unwrap_or_default();
        let measured = Measured { without, flags, screening, left_out };
        let summary = summarise(config, &plan, (&outcome, measured), (&network, &opened, seconds));
        if let Some(table) = screener.as_ref().map(|screener| screener.table(&ids)).transpose()?.flatten() {
            write_whole(&state.screened(), &table)?;
        }
        if let Some(Fitted { detectors, references, evidence }) = &fitted {
            hashvfl_detectors::file::write(&state.detectors(), detectors)?;
            if let Some(references) = references {
                hashvfl_detectors::file::write(&state.references(), references)?;
            }
            if let Some(evidence) = evidence {
                hashvfl_detectors::file::write(&state.evidence(), evidence)?;
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
        info!("test {}", test.describe(config.run.task));
    }
    teller.finished(&state.summary());
    Ok(())
}

/// Whether all that is to be done with the records of `plan` has enough of them.
pub fn check_plan(config: &CoordinatorConfig, labels: &Labels, plan: &Plan) -> anyhow::Result<()> {
    coverage::check(config.run.task, labels, plan)?;
    detect::check(&config.detectors, plan)?;
    config.screening.map_or(Ok(()), |screening| screening.check_records(plan))
}

/// Records that at least one party's policy refuses.
fn left_out_by_any(by_party: &BTreeMap<PartyName, LeftOut>) -> LeftOut {
    let mut left_out = LeftOut::default();
    for (party, own) in by_party.iter().filter(|(_, own)| !own.is_empty()) {
        info!("{party} leaves out {} records: its policy does not allow the run for them", own.count());
        left_out.add(own);
    }
    left_out
}

/// Begins the run without the records `left_out`; `plan` without them.
fn begin(
    config: &CoordinatorConfig,
    network: &mut Network,
    (labels, plan): (&Labels, Plan),
    left_out: &LeftOut,
) -> anyhow::Result<Plan> {
    let without = "without the records that parties' policies refuse";
    let plan = plan.without(left_out).context(without)?;
    if !left_out.is_empty() {
        check_plan(config, labels, &plan).context(without)?;
    }
    network.begin(left_out, plan.clone())?;
    Ok(plan)
}

/// What the transcript says of itself.
fn header(config: &CoordinatorConfig, labelled: &LabelledRecords) -> Header {
    let records = digest_of_run(&config.run_id, labelled.ids.iter().map(String::as_str));
    let header = Header::new(config.run_id.clone(), "coordinator", &config.run, Cut::Codes, records);
    Header { classes: labelled.classes.clone(), ..header }
}

/// Listens, and waits for all parties.
async fn gather(
    config: &CoordinatorConfig,
    ids: Vec<String>,
    teller: &Teller,
) -> anyhow::Result<Vec<Joined>> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}: is another coordinator up there?", config.listen))?;
    teller.listening(listener.local_addr()?);
    let (serving, arrivals) = service::serve(listener);
    let server = tokio::spawn(serving);
    let admission =
        Admission::new(config.run_id.clone(), config.run.to_settings(), config.run.parties.iter().cloned());
    let lobby = Lobby::open(admission, (ids, config.run.on_refusal), &config.wait, arrivals);
    let mut tell = |party: &_| teller.joined(party);
    tokio::select! {
        joined = lobby.gather(&mut tell) => joined,
        ended = server => match ended.context("the server")? {
            Ok(()) => bail!("the server ended before all parties had joined"),
            Err(error) => Err(error).context("the server"),
        },
    }
}

fn flatten(error: CourseError<NetworkError>) -> anyhow::Error {
    match error {
        CourseError::Parties(error) => error.into(),
        CourseError::Snapshot(_)
        | CourseError::Refit(_)
        | CourseError::Screening(_)
        | CourseError::Diverged { .. } => error.into(),
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
    left_out: BTreeMap<PartyName, LeftOut>,
}

/// What the test metric is without each party's codes.
fn without(
    config: &CoordinatorConfig,
    classifier: &Classifier,
    gather: &dyn Fn(&[u32]) -> Vec<Vec<f32>>,
    rows: &[u32],
) -> BTreeMap<PartyName, Evaluation> {
    let without = |(index, party): (usize, &PartyName)| {
        Some((party.clone(), classifier.evaluate_without(index, gather, rows)?))
    };
    config.run.parties.iter().enumerate().filter_map(without).collect()
}

fn summarise(
    config: &CoordinatorConfig,
    plan: &Plan,
    (outcome, Measured { without, flags, screening, left_out }): (&Outcome<PackedCodes>, Measured),
    (network, opened, seconds): (&Network, &Opened, Seconds),
) -> Summary {
    let settings = config.run.to_settings();
    let (up_per_record_and_step, down_per_record_and_step) = network.traffic.per_record_and_step();
    let test_rows = plan.part(Part::Test);
    let balance = config.run.parties.iter().zip(&outcome.tables).filter_map(|(party, table)| {
        Some((party.clone(), Balance::of(&table.signs(test_rows).ok()?, table.bits())?))
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
        records: Records::of(plan),
        left_out: left_out.into_iter().map(|(party, rows)| (party, rows.count())).collect(),
        best_epoch: outcome.best_epoch,
        epochs: outcome.curve.clone(),
        metric: Evaluation::metric_name(config.run.task).to_string(),
        test: outcome.test,
        without,
        flags,
        screening,
        bits_released_per_record: outcome.released,
        balance: balance.collect(),
        bytes: Bytes {
            up: network.traffic.up_bytes,
            down: network.traffic.down_bytes,
            up_per_record_and_step,
            down_per_record_and_step,
        },
        seconds,
    }
}
