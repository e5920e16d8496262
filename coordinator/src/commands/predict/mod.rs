//! `coordinator predict`: a file of record ids to a file of predictions, through a coordinator that serves. Both are
//! streams: memory holds a hash of each id and no more of all records.

mod batch;
mod identity;
mod output;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use hashvfl_core::limits::MAX_TEXT_BYTES;
use hashvfl_core::text::{counted, one_line};
use hashvfl_core::{Address, PartyName};
use hashvfl_data::{IdsSource, KeyColumns, TableError, WAYS_OF_WRITING};
use hashvfl_files::{NamedPath, PathUse, check_paths, say, write_whole};
use hashvfl_proto::v1::predict_response::Message;
use hashvfl_proto::v1::{Model, Outcome, PredictRequest, PredictResponse, Predictions, Times};
use hashvfl_transport::dial::{DialError, Dialer};
use hashvfl_transport::runtime::NetworkRuntime;
use hashvfl_transport::{Incoming, Outgoing, StreamError};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::runtime::Runtime;

use batch::{Batch, Batches, Hashes};
use output::{MAX_CLASS_COLUMNS, Output};

/// Requests that are sent before the first of them is answered.
const OPEN_REQUESTS: usize = 2;
/// Reasons that are told at the end; more are not kept.
const REASONS: usize = 3;

/// What to predict, and where.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where `coordinator serve` listens.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7433")]
    server: String,
    /// The folder of this client's identity (`coordinator identity issue client/NAME --config FILE --into FOLDER` makes
    /// one). Without it, the connection is in plain text, which is only for this machine.
    #[arg(long, value_name = "FOLDER")]
    identity: Option<PathBuf>,
    /// The name of the coordinator, by its certificate. Without it, the only one that is pinned counts, or else any that the
    /// authority has signed.
    #[arg(long, value_name = "NAME", requires = "identity")]
    coordinator: Option<PartyName>,
    /// The file of record ids: Parquet if its name ends in .parquet, otherwise CSV.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The column of record ids. Repeat it for an id of several columns, in the order of the served ids.
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    id: Vec<String>,
    /// The file of predictions to write: Parquet if its name ends in .parquet, otherwise CSV. It must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the file of predictions if it exists.
    #[arg(long)]
    replace: bool,
    /// How long to try to reach a coordinator that is not there yet, or does not serve yet, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    connect_s: u64,
    /// The longest wait for each answer of the coordinator, in seconds.
    #[arg(long, alias = "wait-s", value_name = "SECONDS", default_value_t = 600)]
    timeout_s: u64,
    /// The most record ids in one request. Default: as many as the coordinator accepts.
    #[arg(long, value_name = "COUNT")]
    request_ids: Option<NonZeroUsize>,
    /// Wait for each answer before sending the next request, and write how long each took to this CSV file, with the
    /// coordinator's own stages, all in microseconds.
    #[arg(long, value_name = "FILE")]
    timings: Option<PathBuf>,
    /// Exit with 0 even if some records have no prediction. The file says why for each.
    #[arg(long)]
    allow_missing: bool,
}

/// How many ids a request has: as many as were asked for, unless the coordinator takes no more than `most`.
fn request_ids(asked: Option<NonZeroUsize>, most: usize) -> usize {
    let asked = asked.map_or(most, NonZeroUsize::get);
    if asked > most {
        say!(
            "--request-ids {asked}: the coordinator accepts at most {most} ids per request; {most} are sent"
        );
    }
    asked.min(most)
}

/// Whether results may be written where they are asked for: nothing is overwritten that was not meant.
fn check_files(arguments: &Arguments) -> anyhow::Result<()> {
    let timings = arguments.timings.as_ref().map(|path| NamedPath::new("--timings", path, PathUse::Written));
    let places = [
        NamedPath::new("--input", &arguments.input, PathUse::Read),
        NamedPath::new("--out", &arguments.out, PathUse::Written),
    ];
    check_paths(&places.into_iter().chain(timings).collect::<Vec<_>>())?;
    for (option, path) in
        [("--out", Some(&arguments.out)), ("--timings", arguments.timings.as_ref())].into_iter()
    {
        let Some(path) = path else { continue };
        let Ok(found) = fs::symlink_metadata(path) else { continue };
        ensure!(
            arguments.replace,
            "{} already exists: choose another file with {option}, or pass --replace",
            path.display()
        );
        ensure!(
            found.is_file(),
            "{} is not a regular file, so it was not replaced: choose another file",
            path.display()
        );
    }
    Ok(())
}

/// Predicts every record of the file.
///
/// # Errors
/// If something keeps it from that. Where single records have no prediction, the file says so of each, and the error
/// counts them; with `allow_missing` a line does.
pub fn predict(arguments: &Arguments) -> anyhow::Result<()> {
    check_files(arguments)?;
    let key = KeyColumns::new(arguments.id.clone()).map_err(|reason| anyhow!("--id: {reason}"))?;
    let source = IdsSource::of_file(&arguments.input, key);
    let most = source.count_at_most()?;
    let remarks = source.remarks()?;
    let lines = matches!(source, IdsSource::Csv { .. }).then_some(most);
    ensure!(most > 0, "{} holds no records: there is nothing to predict", arguments.input.display());
    let runtime = NetworkRuntime::on_a_thread()?;
    let server: Address = arguments.server.parse().context("--server")?;
    let dialer = dialer(&server, arguments)?;
    let (requests, mut responses) = open(&runtime, &server, &dialer, arguments)?;
    let model = responses.model()?;
    let mut output = Output::create(&arguments.out, &model)?;
    let most_ids = model.max_ids.max(1) as usize;
    let request_ids = request_ids(arguments.request_ids, most_ids);
    // A request waits for who takes its answer: with none in between, for the answer before it.
    let open = if arguments.timings.is_some() { 0 } else { OPEN_REQUESTS };
    let (hashes, mut unknown) = (Hashes::default(), HashSet::new());
    let (asked, reader) = read(source, Batches::new(request_ids, hashes.clone()), requests, open);
    let (mut timings, mut untimed) = (String::from("ids,all,lookup,parties,model,flags\n"), false);
    let bar = bar(most);
    let mut counts = Counts::default();
    while let Ok(batch) = asked.recv() {
        let began = Instant::now();
        let count = batch.count_asked();
        let mut answer = if count > 0 { responses.predictions()? } else { Predictions::default() };
        let took = began.elapsed();
        batch.complete(&mut answer, &hashes, &mut unknown)?;
        let ids = &batch.ids;
        output.write(ids, &answer).with_context(|| format!("writing {}", arguments.out.display()))?;
        if arguments.timings.is_some() && count > 0 {
            timings += &timed(count, took, answer.times.as_ref());
            untimed |= answer.times.is_none();
        }
        counts.add(&batch, answer);
        bar.inc(ids.len() as u64);
    }
    reader.join().map_err(|_| anyhow!("reading {} failed", arguments.input.display()))?.map_err(unread)?;
    output.finish()?;
    bar.finish_and_clear();
    if let Some(path) = &arguments.timings {
        write_whole(path, timings.as_bytes())?;
        if untimed {
            say!(
                "the coordinator does not send this client the times of its stages; times = true in its permissions \
                 file would allow it"
            );
        }
    }
    for remark in remarks {
        say!("{}: {remark}", arguments.input.display());
    }
    if model.classes_only {
        say!("the coordinator's permissions give this client classes without probabilities");
    } else if model.classes.len() > MAX_CLASS_COLUMNS {
        let classes = model.classes.len();
        say!(
            "each record has only the probability of its predicted class: {classes} classes are more than the \
             {MAX_CLASS_COLUMNS} that can have a column each"
        );
    }
    if model.flag_level > 0.0 {
        let level = model.flag_level * 100.0;
        let flagged = counted(HumanCount(counts.flagged), "record");
        say!("{flagged} flagged as abnormal, at a level of {level} %");
    }
    if counts.drifted {
        say!("inputs have drifted: p-values and flags are no longer valid");
    }
    tell(arguments, lines, &counts)
}

/// Why the file of ids cannot be read; which of its columns holds them is an option here.
fn unread(error: TableError) -> anyhow::Error {
    let is_column = matches!(error, TableError::UnknownColumn { .. });
    let error = anyhow::Error::from(error);
    if is_column { error.context("pass --id COLUMN, the column of record ids") } else { error }
}

/// A line of the file of timings; the coordinator's stages are empty where it tells none.
fn timed(count: usize, took: Duration, times: Option<&Times>) -> String {
    let stages = match times {
        Some(Times { lookup_us, parties_us, model_us, flags_us }) => {
            format!("{lookup_us},{parties_us},{model_us},{flags_us}")
        }
        None => ",,,".to_string(),
    };
    format!("{count},{},{stages}\n", took.as_micros())
}

/// What became of all records.
#[derive(Default)]
struct Counts {
    /// By outcome, as the protocol numbers them.
    outcomes: BTreeMap<i32, u64>,
    /// What parties said.
    reasons: BTreeSet<String>,
    without_id: u64,
    flagged: u64,
    drifted: bool,
}

impl Counts {
    fn add(&mut self, batch: &Batch, answer: Predictions) {
        for outcome in &answer.outcomes {
            *self.outcomes.entry(*outcome).or_insert(0) += 1;
        }
        self.without_id += batch.count_without_id() as u64;
        self.flagged += answer.flagged.iter().filter(|flagged| **flagged).count() as u64;
        self.drifted |= answer.drifted;
        self.add_reason(&answer.text);
    }

    /// Keeps a reason as the coordinator passes it on, which may be any text.
    fn add_reason(&mut self, text: &str) {
        if !text.is_empty() && self.reasons.len() < REASONS {
            self.reasons.insert(one_line(text, MAX_TEXT_BYTES));
        }
    }
}

fn tell(arguments: &Arguments, lines: Option<u64>, counts: &Counts) -> anyhow::Result<()> {
    let count = |outcome: Outcome| counts.outcomes.get(&outcome.into()).copied().unwrap_or(0);
    let all: u64 = counts.outcomes.values().sum();
    let predicted = count(Outcome::Predicted);
    let lines =
        lines.map(|lines| format!(", read from {}", counted(HumanCount(lines), "line"))).unwrap_or_default();
    say!(
        "{} of {} predicted into {}{lines}",
        HumanCount(predicted),
        counted(HumanCount(all), "record"),
        arguments.out.display()
    );
    if predicted == all {
        return Ok(());
    }
    let mut parts = Vec::new();
    for (outcome, what) in [
        (Outcome::UnknownId, "with an id that is not among the served records"),
        (Outcome::RepeatedId, "with the id of an earlier record"),
        (Outcome::Refused, "refused by a party"),
        (Outcome::PartyAway, "because a party is away"),
    ] {
        if count(outcome) > 0 {
            parts.push(format!("{} {what}", count(outcome)));
        }
        if outcome == Outcome::UnknownId && counts.without_id > 0 {
            parts.push(format!("{} of these without an id in the file", counts.without_id));
        }
    }
    let reasons: Vec<&str> = counts.reasons.iter().map(String::as_str).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let unknown = count(Outcome::UnknownId) > counts.without_id;
    let hint = if unknown { format!("; {WAYS_OF_WRITING}") } else { String::new() };
    let (missing, parts) = (counted(all - predicted, "record"), parts.join(", "));
    let missing = format!("no prediction for {missing}: {parts}{reasons}{hint}");
    if arguments.allow_missing {
        say!("{missing}");
        return Ok(());
    }
    bail!("{missing}")
}

/// Reads ids on a thread of its own: each batch goes to the coordinator, and to who waits for its answer. So many may be
/// `open` before the first is answered.
fn read(
    source: IdsSource,
    mut batches: Batches,
    requests: Outgoing<PredictRequest>,
    open: usize,
) -> (Receiver<Batch>, JoinHandle<Result<(), TableError>>) {
    let (asked, to_answer) = sync_channel(open);
    let reader = std::thread::spawn(move || {
        source
            .visit_each(|id| {
                // A record without an id has an outcome as any other.
                let gone =
                    batches.push(id.unwrap_or_default()).is_some_and(|batch| !ask(&requests, &asked, batch));
                // Whoever stopped taking ids says why.
                if gone { Err(Stopped::Gone) } else { Ok(()) }
            })
            .or_else(|stopped| match stopped {
                Stopped::Gone => Ok(()),
                Stopped::Table(error) => Err(error),
            })?;
        batches.take().map(|batch| ask(&requests, &asked, batch));
        Ok(())
    });
    (to_answer, reader)
}

enum Stopped {
    Gone,
    Table(TableError),
}

impl From<TableError> for Stopped {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

/// Sends a request, once there is room for its answer, unless nothing of the batch is to be asked; false if the coordinator
/// or who waits for answers has gone.
fn ask(requests: &Outgoing<PredictRequest>, asked: &SyncSender<Batch>, batch: Batch) -> bool {
    let ids = batch.asked();
    let is_asked = !ids.is_empty();
    asked.send(batch).is_ok() && (!is_asked || requests.blocking_send(PredictRequest { ids }).is_ok())
}

/// The coordinator's answers, with a limit on each wait.
struct Responses<'a> {
    runtime: &'a Runtime,
    incoming: Incoming<PredictResponse>,
    timeout_s: u64,
}

impl Responses<'_> {
    fn next(&mut self) -> anyhow::Result<Message> {
        let limit = Duration::from_secs(self.timeout_s);
        let received = match self.runtime.block_on(self.incoming.next_within(limit)) {
            Ok(received) => received,
            Err(StreamError::TimedOut(_)) => {
                bail!(
                    "waited {} s (--timeout-s) for the coordinator's answer: it may be waiting for a party that is away, or \
                     was refused (`coordinator status` and the log there show it)",
                    self.timeout_s
                )
            }
            Err(StreamError::Closed) => bail!("the coordinator closed the stream before its last answer"),
            Err(error) => return Err(error.into()),
        };
        received.message.message.context("the coordinator sent an empty message: is it of another version?")
    }

    fn predictions(&mut self) -> anyhow::Result<Predictions> {
        match self.next()? {
            Message::Predictions(predictions) => Ok(predictions),
            Message::Model(_) => bail!("the coordinator described its model twice"),
        }
    }

    fn model(&mut self) -> anyhow::Result<Model> {
        match self.next()? {
            Message::Model(model) => Ok(model),
            Message::Predictions(_) => {
                bail!("the coordinator sent predictions before it described its model")
            }
        }
    }
}

/// Dials the coordinator, with an identity over TLS.
fn dialer(server: &Address, arguments: &Arguments) -> anyhow::Result<Dialer> {
    let dialer = Dialer::new(server.clone(), arguments.connect_s).opening_within(arguments.timeout_s);
    match &arguments.identity {
        Some(folder) => {
            Ok(dialer.secured(identity::connector(server, folder, arguments.coordinator.as_ref())?))
        }
        None => {
            identity::check_plaintext(server)?;
            Ok(dialer)
        }
    }
}

fn open<'a>(
    runtime: &'a Runtime,
    server: &Address,
    dialer: &Dialer,
    arguments: &Arguments,
) -> anyhow::Result<(Outgoing<PredictRequest>, Responses<'a>)> {
    let Arguments { connect_s, timeout_s, .. } = *arguments;
    let dialled = runtime.block_on(dialer.predictions_patiently());
    let stream = match dialled {
        Ok(stream) => stream,
        Err(DialError::Absent { cause, .. }) => {
            bail!(
                "no coordinator at {server} within {connect_s} s (--connect-s): does `coordinator serve` run there? ({cause})"
            )
        }
        Err(DialError::Silent { limit_s }) => bail!("waited {limit_s} s (--timeout-s) for the coordinator"),
        Err(error) => return Err(error.into()),
    };
    let (outgoing, incoming) = stream.split();
    Ok((outgoing, Responses { runtime, incoming, timeout_s }))
}

/// A progress bar; hidden where standard error is no terminal.
fn bar(most: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("predicting [{bar:30}] {human_pos}/{human_len} {per_sec} {eta}");
    let bar = ProgressBar::new(most);
    // Unwrap safety: the template is a constant.
    bar.set_style(style.expect("a valid template").progress_chars("=> "));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_coordinator_passes_on_is_a_few_short_lines() {
        let mut counts = Counts::default();
        counts.add_reason("");
        counts.add_reason("a party\nerror: \u{1b}[2J\u{202e}done");
        counts.add_reason(&"b".repeat(10 * MAX_TEXT_BYTES));
        for number in 0..10 {
            counts.add_reason(&number.to_string());
        }
        let reasons: Vec<&String> = counts.reasons.iter().collect();
        assert_eq!(reasons.len(), REASONS);
        assert_eq!(reasons[1], "a party error:  [2J done");
        assert_eq!(reasons[2].len(), MAX_TEXT_BYTES);
    }
}
