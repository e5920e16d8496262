//! The party's monitor of the gradients that it receives, and what happens when the monitor raises an alarm.

use hashvfl_core::gradient_monitor::{BOUND, Cause, EARLIER_BOUND, GradientMonitor, SeenBatch};
use hashvfl_core::protocol::party::PartyError;
use hashvfl_core::text::{PublicReason, counted};
use hashvfl_core::{CodeForm, Gradient, PackedCodes, RunSettings};
use hashvfl_learning::Snapshot;
use hashvfl_monitor::GradientMonitorStatus;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::config::OnAlarm;

/// The entry of a checkpoint's file that holds the noise in earlier codes.
const NOISE: &str = "gradient_monitor.noise";

/// A training batch's codes, and what they were expected to be before noise was drawn.
#[derive(Clone)]
pub struct SentBatch {
    /// Whether a cycle of the learning rate begins with it.
    pub begins_cycle: bool,
    /// The records, by their place in the run.
    pub rows: Vec<u32>,
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
    sent: Option<SentBatch>,
    /// Whether an alarm was raised that has not stopped the party, or has, and was dismissed.
    raised: bool,
    /// Batches whose alarms a person has dismissed: none of those stops the party again when they are repeated.
    #[serde(skip)]
    dismissed_batches: u64,
}

impl GradientGuard {
    /// A gradient monitor over a run of `records` records with codes of `form`; no peer knows the `seed`.
    pub fn new(on_alarm: OnAlarm, run: &RunSettings, form: CodeForm, records: usize, seed: u64) -> Self {
        let records = if on_alarm.monitors() { records } else { 0 };
        let monitor = GradientMonitor::of_run(run, form, records, seed);
        Self { monitor, on_alarm, batches: 0, sent: None, raised: false, dismissed_batches: 0 }
    }

    /// The same where an alarm may have been `raised` in this run before, and those of so many batches were dismissed.
    #[must_use]
    pub fn after_alarm(self, raised: bool, dismissed_batches: u64) -> Self {
        Self { raised, dismissed_batches, ..self }
    }

    /// Adds what a checkpoint keeps of it beside the guard itself.
    pub fn save(&self, checkpoint: &mut Snapshot) {
        checkpoint.put(NOISE, self.monitor.noise().to_vec());
    }

    /// Goes on as `saved` in `checkpoint`, with this guard's own answer to an alarm.
    ///
    /// # Errors
    /// If it is a guard of another run.
    pub fn go_on_as(&mut self, saved: Self, checkpoint: &Snapshot) -> Result<(), PartyError> {
        if !self.monitor.fits(&saved.monitor) {
            return Err(PartyError::OtherPlace);
        }
        let raised = self.raised || saved.raised;
        let (on_alarm, dismissed_batches) = (self.on_alarm, self.dismissed_batches);
        *self = Self { on_alarm, raised, dismissed_batches, ..saved };
        let noise = checkpoint.arrays.get(NOISE).ok_or(PartyError::OtherPlace)?;
        self.monitor.restore_noise(&noise.values).ok_or(PartyError::OtherPlace)
    }

    /// What it has seen, for whoever asks; `None` where it is off.
    pub fn status(&self) -> Option<GradientMonitorStatus> {
        // Whoever reads them as JSON knows no other numbers.
        let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
        self.on_alarm.monitors().then(|| GradientMonitorStatus {
            batches: self.batches,
            explained: finite(self.monitor.explained()),
            suspicion: finite(self.monitor.suspicion()),
            bound: BOUND,
            earlier_score: finite(self.monitor.earlier_score()),
            earlier_bound: EARLIER_BOUND,
            alarm: self.raised || self.monitor.alarm().is_some(),
        })
    }

    /// Whether it looks at training batches.
    pub fn looks(&self) -> bool {
        self.on_alarm.monitors()
    }

    /// The codes of a training batch have left.
    pub fn sent(&mut self, sent: SentBatch) {
        self.batches += 1;
        self.sent = Some(sent);
    }

    /// Looks at the gradient that answered them.
    ///
    /// # Errors
    /// If it looks like a hijack's and the party is to stop then.
    pub fn answered(&mut self, gradient: &Gradient, released_bits: u64) -> anyhow::Result<()> {
        let Some(SentBatch { begins_cycle, rows, codes, expected }) = self.sent.take() else { return Ok(()) };
        let signs = codes.to_signs();
        let codes = &self.monitor.form().decode(&signs);
        let (rows, expected, gradient) = (&rows, &expected, &gradient.decode());
        let seen = self.monitor.observe(&SeenBatch { begins_cycle, rows, codes, expected, gradient });
        let Some(alarm) = seen else { return Ok(()) };
        let what = match alarm.cause {
            Cause::Predictable => {
                "gradients follow from this party's own codes, as a hijacker's do and a training loss's do not"
            }
            Cause::Featureless => "gradients point everywhere alike, as noise does",
            Cause::EarlierCodes => {
                "gradients follow from each record's own codes of earlier epochs, like those of a coordinator that makes \
                 codes distinguish records, and unlike those of a training loss"
            }
        };
        if self.on_alarm == OnAlarm::Stop && self.batches <= self.dismissed_batches {
            warn!(
                "{what}: this alarm was dismissed, so the run continues; a new alarm stops this party again"
            );
            self.monitor.dismiss_alarm();
            return Ok(());
        }
        if self.on_alarm == OnAlarm::Stop {
            return Err(PublicReason(format!(
                "{what}: this party stopped after {}, having released {}",
                counted(self.batches, "batch"),
                counted(released_bits, "bit")
            ))
            .into());
        }
        if !std::mem::replace(&mut self.raised, true) {
            let released = counted(released_bits, "bit");
            warn!("{what}: released {released}; continuing because on_alarm = \"warn\"");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::random::{stream, uniform};
    use hashvfl_core::{GradientEncoding, PartyName, Task};

    use super::*;

    const BITS: usize = 8;
    const ROWS: usize = 64;

    fn guard(on_alarm: OnAlarm) -> GradientGuard {
        let parties = vec![PartyName::new("bank").unwrap()];
        let run = RunSettings::new(parties, Task::Binary, BITS, 10);
        GradientGuard::new(on_alarm, &run, CodeForm::signs(BITS), ROWS, 3)
    }

    /// The batch, of 90, at which a guard stops its party under gradients that follow from codes. A batch has the same codes
    /// whenever it comes.
    fn stops_at(guard: &mut GradientGuard) -> Option<u64> {
        while guard.batches < 90 {
            let mut rng = stream(7, "gradient guard test", &[guard.batches]);
            let values: Vec<f32> = (0..ROWS * BITS).map(|_| uniform(&mut rng) - 0.5).collect();
            let codes = PackedCodes::pack(&values, BITS).unwrap();
            let signs = codes.to_signs();
            let mut pulled = Vec::new();
            for code in signs.chunks(BITS) {
                pulled.extend(code.iter().rev().enumerate().map(|(bit, h)| (0.1 - h) / (bit + 1) as f32));
            }
            let rows = (0..ROWS as u32).collect();
            guard.sent(SentBatch { begins_cycle: false, rows, codes, expected: signs });
            if guard.answered(&Gradient::encode(pulled, BITS, GradientEncoding::F32), 0).is_err() {
                return Some(guard.batches);
            }
        }
        None
    }

    #[test]
    fn a_dismissed_alarm_stops_nobody_again_and_a_new_one_does() {
        let first = stops_at(&mut guard(OnAlarm::Stop)).unwrap();
        let mut resumed = guard(OnAlarm::Stop).after_alarm(true, first);
        let second = stops_at(&mut resumed).unwrap();
        assert!(second > first + 20, "{second}: it takes as much again as by {first}");
        assert!(resumed.status().unwrap().alarm, "whoever asks hears of it");
        let mut resumed = guard(OnAlarm::Stop).after_alarm(true, second);
        assert!(stops_at(&mut resumed).unwrap() > second + 20, "both are dismissed");
        assert_eq!(stops_at(&mut guard(OnAlarm::Warn)), None);
    }
}
