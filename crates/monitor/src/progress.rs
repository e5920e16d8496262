//! What a person at a terminal sees of a status: one line that changes in place.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hashvfl_core::text::figure;
use hashvfl_files::{can_show_progress, show_progress};

use crate::status::{Epochs, Phase, Status};

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
                show_progress(&line(&status, rate.left(&status, Instant::now())));
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
}

impl Rate {
    /// How long a training takes yet, at the speed it has had so far.
    fn left(&mut self, status: &Status, now: Instant) -> Option<Duration> {
        let (done, all) = batches(status.epochs.as_ref()?);
        if done == 0 {
            return None;
        }
        let (since, before) = *self.first.get_or_insert((now, done));
        let per_batch = now.duration_since(since).as_secs_f64() / done.checked_sub(before)? as f64;
        Duration::try_from_secs_f64(per_batch * all.saturating_sub(done) as f64).ok()
    }
}

/// The line of a status.
fn line(status: &Status, left: Option<Duration>) -> String {
    let phase = status.phase.name();
    match (status.phase, &status.epochs) {
        (Phase::Training, Some(epochs)) => {
            let mut line =
                format!("{phase}: epoch {} of {}", (epochs.done + 1).min(epochs.most), epochs.most);
            if let Some(loss) = epochs.train_loss {
                line += &format!(", loss {}", figure(loss));
            }
            if let Some((name, value)) = &epochs.metric {
                line += &format!(", {name} {}", figure(*value));
            }
            if let Some(left) = left {
                line += &format!(", at most {} left", duration(left));
            }
            line
        }
        (Phase::Waiting, _) => {
            let away = status.parties.iter().filter(|(_, party)| !party.connected);
            let away: Vec<&str> = away.map(|(name, _)| name.as_str()).collect();
            if away.is_empty() { phase.to_string() } else { format!("{phase} for {}", away.join(", ")) }
        }
        (Phase::Serving, _) => format!("{phase}: {} requests", status.predictions.requests),
        _ => phase.to_string(),
    }
}

fn duration(left: Duration) -> String {
    match left.as_secs() {
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
        assert_eq!(line(&status, rate.left(&status, start)), "starting");
        status.phase = Phase::Waiting;
        status.party(&PartyName::new("bank").unwrap()).connected = true;
        for name in ["shop", "telecom"] {
            status.party(&PartyName::new(name).unwrap());
        }
        assert_eq!(line(&status, rate.left(&status, start)), "waiting for shop, telecom");
        status.phase = Phase::Training;
        let epochs = Epochs { most: 30, batches: 10, batches_done: 1, ..Epochs::default() };
        status.epochs = Some(epochs.clone());
        assert_eq!(line(&status, rate.left(&status, start)), "training: epoch 1 of 30");
        let metric = Some(("AUC".to_string(), 0.75));
        status.epochs = Some(Epochs { done: 10, train_loss: Some(0.5), metric, ..epochs });
        let said = line(&status, rate.left(&status, start + Duration::from_secs(50)));
        // A hundred of 300 batches took 50 s.
        assert_eq!(said, "training: epoch 11 of 30, loss 0.5000, AUC 0.7500, at most 99 s left");
        let later = rate.left(&status, start + Duration::from_secs(5_000));
        assert!(line(&status, later).ends_with("at most 2 h left"));
        status.phase = Phase::Encoding;
        assert_eq!(line(&status, None), "encoding");
    }
}
