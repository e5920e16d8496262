//! What a person at a terminal sees of a status: one line that changes in place.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hashvfl_core::text::{counted, figure};
use hashvfl_files::{PROGRESS_WIDTH, can_show_progress, show_progress};

use crate::status::{Epochs, ProcessPhase, Status};

/// Between two looks at the status.
const EVERY: Duration = Duration::from_millis(500);

/// Shows a status in the terminal until it is dropped.
pub struct ProgressLine {
    ended: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressLine {
    /// Shows `status`, if standard error is a terminal.
    pub fn start(status: Arc<Mutex<Status>>) -> Option<Self> {
        if !can_show_progress() {
            return None;
        }
        let (ended, end) = channel::<()>();
        let work = move || {
            let mut rate = Rate::default();
            while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let status = status.lock().unwrap_or_else(PoisonError::into_inner).clone();
                show_progress(&line(&status, rate.speed(&status, Instant::now())));
            }
            show_progress("");
        };
        // Without a thread there is no line, and nothing else is missing.
        let thread = std::thread::Builder::new().name("progress".into()).spawn(work).ok()?;
        Some(Self { ended: Some(ended), thread: Some(thread) })
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.ended = None;
        if let Some(thread) = self.thread.take() {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}

/// Batches that are done, of all.
fn batches(epochs: &Epochs) -> (u64, u64) {
    let of_epoch = u64::from(epochs.batches);
    (u64::from(epochs.done) * of_epoch + u64::from(epochs.batches_done), u64::from(epochs.most) * of_epoch)
}

/// How fast a training is.
#[derive(Default)]
struct Rate {
    /// When the first batch was seen to be done, and how many were then.
    first: Option<(Instant, u64)>,
    /// How many were done last.
    last: u64,
}

impl Rate {
    /// Batches per second so far, once there are some.
    fn speed(&mut self, status: &Status, now: Instant) -> Option<f64> {
        let (done, _) = batches(status.epochs.as_ref()?);
        if done == 0 {
            return None;
        }
        // A run that goes on from a checkpoint has fewer than it had.
        if done < self.last {
            self.first = None;
        }
        self.last = done;
        let (since, before) = *self.first.get_or_insert((now, done));
        let since_s = now.duration_since(since).as_secs_f64();
        let speed = (done - before) as f64 / since_s;
        (speed.is_finite() && speed > 0.0).then_some(speed)
    }
}

/// The line of a status whose training does so many batches per second.
fn line(status: &Status, speed: Option<f64>) -> String {
    let phase = status.phase.name();
    match (status.phase, &status.epochs) {
        (ProcessPhase::Training, Some(epochs)) => training(phase, epochs, speed),
        (ProcessPhase::Waiting, _) => {
            let away = status.parties.iter().filter(|(_, party)| !party.connected);
            let away: Vec<&str> = away.map(|(name, _)| name.as_str()).collect();
            if away.is_empty() { phase.to_string() } else { format!("{phase} for {}", away.join(", ")) }
        }
        (ProcessPhase::Serving, _) => {
            format!("{phase}: {}", counted(status.predictions.requests, "request"))
        }
        _ => phase.to_string(),
    }
}

/// What is known of a training that does so many batches per second, the most wanted first, as far as the line holds it.
fn training(phase: &str, epochs: &Epochs, speed: Option<f64>) -> String {
    let (done, all) = batches(epochs);
    let mut line = format!("{phase}: epoch {}/{}", (epochs.done + 1).min(epochs.most), epochs.most);
    let left = speed.map(|speed| duration((all.saturating_sub(done) as f64 / speed) as u64) + " left");
    let metric = epochs.metric.as_ref().map(|(name, value)| format!("{name} {}", figure(*value)));
    let loss = epochs.train_loss.map(|loss| format!("loss {}", figure(loss)));
    for part in [left, metric, loss, speed.map(rate)].into_iter().flatten() {
        if line.chars().count() + 2 + part.chars().count() <= PROGRESS_WIDTH {
            line += ", ";
            line += &part;
        }
    }
    line
}

/// So many batches per second, in a unit of which there is one at least.
fn rate(speed: f64) -> String {
    if speed < 1.0 { format!("{:.1} s/batch", 1.0 / speed) } else { format!("{speed:.0} batch/s") }
}

fn duration(seconds: u64) -> String {
    match seconds {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::{PartyName, RunId};

    use super::*;

    #[test]
    fn a_training_says_how_long_it_takes_yet() {
        let mut status = Status::new("coordinator", RunId::new("spring").unwrap());
        let (mut rate, start) = (Rate::default(), Instant::now());
        assert_eq!(line(&status, rate.speed(&status, start)), "starting");
        status.phase = ProcessPhase::Waiting;
        status.party(&PartyName::new("bank").unwrap()).connected = true;
        for name in ["shop", "telecom"] {
            status.party(&PartyName::new(name).unwrap());
        }
        assert_eq!(line(&status, rate.speed(&status, start)), "waiting for shop, telecom");
        status.phase = ProcessPhase::Training;
        let epochs = Epochs { most: 30, batches: 10, batches_done: 1, ..Epochs::default() };
        status.epochs = Some(epochs.clone());
        assert_eq!(line(&status, rate.speed(&status, start)), "training: epoch 1/30");
        let metric = Some(("AUC".to_string(), 0.75));
        status.epochs = Some(Epochs { done: 10, train_loss: Some(0.5), metric, ..epochs });
        let said = line(&status, rate.speed(&status, start + Duration::from_secs(50)));
        // A hundred of 300 batches took 50 s.
        assert_eq!(said, "training: epoch 11/30, 99 s left, AUC 0.7500, loss 0.5000, 2 batch/s");
        let later = rate.speed(&status, start + Duration::from_secs(5_000));
        assert!(line(&status, later).ends_with(", 2 h left, AUC 0.7500, loss 0.5000, 50.0 s/batch"));
        // A run that goes on from a checkpoint is as fast as it is from there.
        let back = Epochs { done: 0, batches_done: 5, ..status.epochs.clone().unwrap() };
        let went_on = Status { epochs: Some(back), ..status.clone() };
        assert_eq!(rate.speed(&went_on, start + Duration::from_secs(5_001)), None);
        let faster = rate.speed(&status, start + Duration::from_secs(5_011));
        assert_eq!(faster, Some(9.6), "96 batches in 10 s");
        // All of it fits where names and numbers are long, and what does not is left out whole.
        let metric = Some(("accuracy".to_string(), 0.75));
        let long =
            Epochs { most: 1_000, batches: 50, done: 10, train_loss: Some(0.5), metric, ..epochs.clone() };
        let said = training("training", &long, Some(155.2));
        assert_eq!(said, "training: epoch 11/1000, 5 min left, accuracy 0.7500, loss 0.5000, 155 batch/s");
        assert!(said.len() <= PROGRESS_WIDTH, "{}", said.len());
        let longer = Epochs { most: 10_000_000, train_loss: Some(1.0e9), ..long };
        let said = training("training", &longer, Some(155.2));
        assert_eq!(said, "training: epoch 11/10000000, 894 h left, accuracy 0.7500, loss 1.0000e9");
        status.phase = ProcessPhase::Encoding;
        assert_eq!(line(&status, None), "encoding");
        status.phase = ProcessPhase::Serving;
        status.predictions.requests = 1;
        assert_eq!(line(&status, None), "serving: 1 request");
    }
}
