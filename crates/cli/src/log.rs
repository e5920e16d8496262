//! Logs on standard error: lines for a person, or one JSON object a line for a program, with the run and the step in each.
//!
//! A process may hold several runs. Work at one is done within a span that has a field `run`, and a line within it is of that
//! run. A line outside of all spans is of the run that the process works at, if that is one.

mod subject;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::ValueEnum;
use hashvfl_files::{AboveProgress, complain};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{self, FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, registry};

use subject::SubjectFirst;

/// How a process logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// Lines for a person.
    #[default]
    Text,
    /// One JSON object a line: time, level, side, run, step, message, and the message's own fields.
    Json,
}

/// Who logs about a run, and where that is.
struct Who {
    side: String,
    step: u64,
}

/// The runs at which this process works.
static RUNS: Mutex<BTreeMap<String, Who>> = Mutex::new(BTreeMap::new());
static JSON: Mutex<bool> = Mutex::new(false);

fn runs() -> MutexGuard<'static, BTreeMap<String, Who>> {
    RUNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends logs of `program` to standard error, as much as `HASHVFL_LOG` asks for, `info` where it is absent; and spans to a
/// collector, where the environment names one.
pub fn init_logging(program: &'static str, format: LogFormat) {
    let filter = EnvFilter::try_from_env("HASHVFL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && format == LogFormat::Text)
        .with_writer(AboveProgress::default)
        // A line of the log that nobody can read is no reason to stop.
        .log_internal_errors(false);
    let lines = match format {
        LogFormat::Text => lines.fmt_fields(SubjectFirst).boxed(),
        LogFormat::Json => {
            *JSON.lock().unwrap_or_else(PoisonError::into_inner) = true;
            lines.event_format(JsonLines).and_then(RunsOfSpans).boxed()
        }
    };
    let logged = registry().with(lines.with_filter(filter)).with(hashvfl_traces::layer(program));
    // A program that embeds this one may log in its own way.
    drop(logged.try_init());
}

/// Says that this process works as `side` at the run `run`: lines of JSON about it name both from here on.
pub fn at_run(side: &str, run: &str) {
    runs().insert(run.to_string(), Who { side: side.to_string(), step: 0 });
}

/// Says that the run `run` is at this step: lines of JSON about it name the step from here on.
pub fn at_step(run: &str, step: u64) {
    if let Some(who) = runs().get_mut(run) {
        who.step = step;
    }
}

/// Why a process ends before its work is done, as the last line of its log; `begin` comes before it in a line for a person.
/// Where only `run` ends so, both name it.
pub(crate) fn complain_of_end(begin: &str, run: Option<&str>, text: &str) {
    if !*JSON.lock().unwrap_or_else(PoisonError::into_inner) {
        let of_run = run.map_or(String::new(), |run| format!("run {run}: "));
        complain!("{begin}{of_run}{text}");
        return;
    }
    let mut line = head("ERROR", run);
    line.insert("message".into(), text.into());
    complain!("{}", Value::Object(line));
}

/// What each line begins with, about `run` where that is known.
fn head(level: &str, run: Option<&str>) -> Map<String, Value> {
    let (mut line, mut time) = (Map::new(), String::new());
    // A clock that cannot be read leaves the time out.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    line.insert("time".into(), time.into());
    line.insert("level".into(), level.into());
    let runs = runs();
    let found = match run {
        Some(run) => runs.get_key_value(run),
        None => runs.first_key_value().filter(|_| runs.len() == 1),
    };
    let Some((run, Who { side, step })) = found else { return line };
    line.insert("side".into(), side.clone().into());
    line.insert("run".into(), run.clone().into());
    if *step > 0 {
        line.insert("step".into(), (*step).into());
    }
    line
}

/// The run that a span names.
struct RunOfSpan(String);

/// Keeps with each span the run that it names.
struct RunsOfSpans;

impl<S> Layer<S> for RunsOfSpans
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut named = NamedRun(None);
        attributes.record(&mut named);
        if let (Some(run), Some(span)) = (named.0, context.span(id)) {
            span.extensions_mut().insert(RunOfSpan(run));
        }
    }
}

/// Looks for the field `run`.
struct NamedRun(Option<String>);

impl Visit for NamedRun {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "run" {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

/// A line of JSON for each event.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut spans = context.event_scope().into_iter().flatten();
        let run = spans.find_map(|span| span.extensions().get::<RunOfSpan>().map(|run| run.0.clone()));
        let mut line = head(event.metadata().level().as_str(), run.as_deref());
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// An event's fields, put beside what its line begins with.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().into(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }
}
