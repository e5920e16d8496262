//! The party's monitor of the gradients that it receives, and what happens when the monitor raises an alarm.

use hashvfl_core::gradient_monitor::{BOUND, Cause, GradientMonitor, looks_at};
use hashvfl_core::protocol::party::PartyError;
use hashvfl_core::text::Tellable;
use hashvfl_core::{CodeForm, Gradient, PackedCodes, RunSettings};
use hashvfl_monitor::GradientMonitorStatus;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// What an alarm leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnAlarm {
    /// The party stops: nothing more leaves it.
    #[default]
    Stop,
    /// The party warns and goes on.
    Warn,
    /// Gradients are not monitored.
    Off,
}

impl OnAlarm {
    /// Whether gradients are monitored.
    pub fn monitors(self) -> bool {
        self != Self::Off
    }
}

/// A training batch's codes, and what they were expected to be before noise was drawn.
#[derive(Clone)]
pub struct Sent {
    /// The codes.
    pub codes: PackedCodes,
    /// Their values as a top model reads them, [rows, latents].
    pub expected: Vec<f32>,
}

/// A gradient monitor at work. A checkpoint keeps it between two batches, when no codes wait for their gradient.
#[derive(Clone, Serialize, Deserialize)]
pub struct GradientGuard {
    monitor: GradientMonitor,
    #[serde(skip)]
    on_alarm: OnAlarm,
    batches: u64,
    #[serde(skip)]
    sent: Option<Sent>,
    raised: bool,
}

impl GradientGuard {
    /// A gradient monitor over a run with codes of `form`.
    pub fn new(on_alarm: OnAlarm, run: &RunSettings, form: CodeForm) -> Self {
        let monitor = GradientMonitor::of_run(run, form);
        Self { monitor, on_alarm, batches: 0, sent: None, raised: false }
    }

    /// Goes on as `saved`, with this guard's own answer to an alarm.
    ///
    /// # Errors
    /// If it is a guard of another run.
    pub fn go_on_as(&mut self, saved: Self) -> Result<(), PartyError> {
        if !self.monitor.fits(&saved.monitor) {
            return Err(PartyError::OtherPlace);
        }
        *self = Self { on_alarm: self.on_alarm, ..saved };
        Ok(())
    }

    /// What it has seen, for whoever asks; `None` where it is off.
    pub fn status(&self) -> Option<GradientMonitorStatus> {
        self.on_alarm.monitors().then(|| GradientMonitorStatus {
            batches: self.batches,
            explained: self.monitor.explained(),
            suspicion: self.monitor.suspicion(),
            bound: BOUND,
            alarm: self.monitor.alarm().is_some(),
        })
    }

    /// Whether it looks at the next training batch.
    pub fn looks_at_next(&self) -> bool {
        self.on_alarm.monitors() && looks_at(self.batches + 1)
    }

    /// The codes of a training batch have left; `sent` holds them if the monitor looks at this batch.
    pub fn sent(&mut self, sent: Option<Sent>) {
        self.batches += 1;
        self.sent = sent;
    }

    /// Looks at the gradient that answered them.
    ///
    /// # Errors
    /// If it looks like a hijack's and the party is to stop then.
    pub fn answered(&mut self, gradient: &Gradient, released_bits: u64) -> anyhow::Result<()> {
        let Some(Sent { codes, expected }) = self.sent.take() else { return Ok(()) };
        let signs = codes.to_signs();
        let values = self.monitor.form().decode(&signs);
        let seen = self.monitor.observe(&values, &expected, &gradient.decode(), codes.rows());
        let Some(alarm) = seen else { return Ok(()) };
        let what = match alarm.cause {
            Cause::Predictable => {
                "gradients follow from this party's own codes, as a hijacker's do and a training loss's do not"
            }
            Cause::Featureless => "gradients point everywhere alike, as noise does",
        };
        if self.on_alarm == OnAlarm::Stop {
            let batches = self.batches;
            return Err(Tellable(format!(
                "{what}: stopped after {batches} batches, when {released_bits} bits had left: ask the coordinator, or set on_alarm = \"warn\" to go on"
            ))
            .into());
        }
        if !std::mem::replace(&mut self.raised, true) {
            warn!("{what}: {released_bits} bits have left, and on_alarm = \"warn\" lets it go on");
        }
        Ok(())
    }
}
