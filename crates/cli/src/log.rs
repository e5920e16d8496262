//! Logs on standard error: lines for a person, or one JSON object a line for a program, with the run and the step in each.

use std::fmt;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use hashvfl_files::{AboveProgress, complain};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How a process logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// Lines for a person.
    #[default]
    Text,
    /// One JSON object a line: time, level, side, run, step, message, and the message's own fields.
    Json,
}

/// Who logs, about which run.
#[derive(Default)]
struct Who {
    side: String,
    run: String,
}

static WHO: Mutex<Who> = Mutex::new(Who { side: String::new(), run: String::new() });
static STEP: AtomicU64 = AtomicU64::new(0);
static JSON: Mutex<bool> = Mutex::new(false);

/// Sends logs to standard error, as much as `HASHVFL_LOG` asks for, `info` where it is absent.
pub fn init_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_env("HASHVFL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && format == LogFormat::Text)
        .with_writer(AboveProgress::default)
        // A line of the log that nobody can read is no reason to stop.
        .log_internal_errors(false);
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => {
            *JSON.lock().unwrap_or_else(PoisonError::into_inner) = true;
            builder.event_format(JsonLines).try_init()
        }
    };
}

/// Says that this process works as `side` at the run `run`: lines of JSON name both from here on.
pub fn at_run(side: &str, run: &str) {
    let mut who = WHO.lock().unwrap_or_else(PoisonError::into_inner);
    *who = Who { side: side.to_string(), run: run.to_string() };
    at_step(0);
}

/// Says that the run is at this step: lines of JSON name it from here on.
pub fn at_step(step: u64) {
    STEP.store(step, Ordering::Relaxed);
}

/// Why a process ends before its work is done, as the last line of its log; `begin` comes before it in a line for a person.
pub(crate) fn complain_of_end(begin: &str, text: &str) {
    if !*JSON.lock().unwrap_or_else(PoisonError::into_inner) {
        complain!("{begin}{text}");
        return;
    }
    let mut line = head("ERROR");
    line.insert("message".into(), text.into());
    complain!("{}", Value::Object(line));
}

/// What each line begins with.
fn head(level: &str) -> Map<String, Value> {
    let (mut line, mut time) = (Map::new(), String::new());
    // A clock that cannot be read leaves the time out.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    line.insert("time".into(), time.into());
    line.insert("level".into(), level.into());
    let who = WHO.lock().unwrap_or_else(PoisonError::into_inner);
    if !who.run.is_empty() {
        line.insert("side".into(), who.side.clone().into());
        line.insert("run".into(), who.run.clone().into());
    }
    match STEP.load(Ordering::Relaxed) {
        0 => {}
        step => drop(line.insert("step".into(), step.into())),
    }
    line
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
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = head(event.metadata().level().as_str());
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// An event's fields, put beside what its line begins with.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
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
