//! The party's watch over the gradients that it is sent, and what happens when it raises an alarm.

use anyhow::bail;
use hashvfl_core::hijack::{Cause, Watch, looks_at};
use hashvfl_core::{Gradient, GradientEncoding, PackedCodes, RunSettings};
use serde::Deserialize;
use tracing::warn;

/// What an alarm leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnAlarm {
    /// The party stops: nothing more leaves it.
    #[default]
    Stop,
    /// It says so and goes on.
    Warn,
    /// Nobody watches.
    Off,
}

/// A watch at work.
pub struct Watchman {
    watch: Watch,
    on_alarm: OnAlarm,
    batches: u64,
    sent: Option<PackedCodes>,
    raised: bool,
}

impl Watchman {
    /// A watch over a run.
    pub fn new(on_alarm: OnAlarm, run: &RunSettings) -> Self {
        let noisy = run.gradient_noise.is_some() || run.gradient == GradientEncoding::Sign;
        let watch = if noisy { Watch::of_noisy(run.bits) } else { Watch::new(run.bits) };
        Self { watch, on_alarm, batches: 0, sent: None, raised: false }
    }

    /// A training batch's codes have left.
    pub fn sent(&mut self, codes: PackedCodes) {
        self.batches += 1;
        let looks = self.on_alarm != OnAlarm::Off && looks_at(self.batches);
        self.sent = looks.then_some(codes);
    }

    /// The gradient that answered them.
    ///
    /// # Errors
    /// If it looks like a hijack's and the party is to stop then.
    pub fn answered(&mut self, gradient: &Gradient, released_bits: u64) -> anyhow::Result<()> {
        let Some(codes) = self.sent.take() else { return Ok(()) };
        let Some(alarm) = self.watch.see(&codes.to_signs(), &gradient.decode(), codes.rows()) else {
            return Ok(());
        };
        let what = match alarm.cause {
            Cause::Predictable => {
                "gradients follow from this party's own codes, as a hijacker's do and a training loss's do not"
            }
            Cause::Featureless => "gradients point everywhere alike, as noise does",
        };
        if self.on_alarm == OnAlarm::Stop {
            bail!(
                "{what}: stopped after {} batches, when {released_bits} bits had left; an honest run on classes that are easily told apart can look so too: ask the coordinator, or set on_alarm = \"warn\"",
                self.batches
            );
        }
        if !std::mem::replace(&mut self.raised, true) {
            warn!("{what}: {released_bits} bits have left, and on_alarm = \"warn\" lets it go on");
        }
        Ok(())
    }
}
