//! An alarm of the gradient monitor that has stopped this party. It is kept in the state folder, so that no restart goes on as if
//! nothing had happened: nothing more is sent from that folder until a person has dismissed the alarm.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use hashvfl_cli::Unfinished;
use hashvfl_core::RunId;
use hashvfl_core::gradient_monitor::{BOUND, EARLIER_BOUND};
use hashvfl_files::{read_checked, write_checked};
use hashvfl_monitor::{Board, GradientMonitorStatus, ProcessPhase};
use hashvfl_transport::stop::Stop;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

use crate::config::{OnAlarm, PartyConfig};

/// What a process says first that has raised an alarm, or finds one.
pub const STANDS: &str = "a gradient alarm has stopped this party, and it sends nothing until somebody has dismissed the alarm: \
                          talk to the coordinator's people, and see `party alarm --config FILE`";
/// What it says first when it is asked to end and the alarm stands.
const STOPPED: &str = "asked to end while an alarm stands";
/// How often a process that stays up looks whether somebody has dismissed the alarm.
const LOOK: Duration = Duration::from_millis(250);

/// An alarm that has stopped this party.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptAlarm {
    /// The run in which it was raised.
    pub run_id: RunId,
    /// The step at which it was.
    pub step: u64,
    /// What was noticed, and how much had left by then: a sentence for a person.
    pub what: String,
    /// What the monitor had seen.
    pub seen: GradientMonitorStatus,
    /// Whether a person has said that the run may go on, until a new alarm is raised.
    pub dismissed: bool,
}

impl KeptAlarm {
    /// Keeps it in the folder `state`, durably.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(&self, state: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec(self).context("the gradient alarm")?;
        Ok(write_checked(&path(state), &text)?)
    }
}

/// That an alarm could not be kept, for a full disk, say. Only the process that has raised it knows of it.
#[derive(Debug, Clone)]
pub struct UnkeptAlarm {
    /// The alarm.
    pub alarm: KeptAlarm,
    /// Why it could not be kept.
    pub why: String,
}

impl fmt::Display for UnkeptAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = "the alarm is not kept, and a restart would go on: do not start this party again";
        write!(f, "{}: {what}", self.why)
    }
}

/// Where an alarm is kept in the folder `state`.
pub fn path(state: &Path) -> PathBuf {
    state.join("alarm.hashvfl")
}

/// The alarm that is kept in the folder `state`, if there is one.
///
/// # Errors
/// If it cannot be read, or has changed since it was written.
pub fn read(state: &Path) -> anyhow::Result<Option<KeptAlarm>> {
    let path = path(state);
    let cannot = || {
        format!(
            "{}, in which it is kept, cannot be read: put it back as it was, or remove it if the run may go on",
            path.display()
        )
    };
    if !path.try_exists().with_context(cannot)? {
        return Ok(None);
    }
    let text = read_checked(&path).with_context(cannot)?;
    serde_json::from_slice(&text).map(Some).with_context(cannot)
}

/// Whether no alarm stands in the state folder of `config`, or its party goes on at an alarm.
///
/// # Errors
/// If an alarm was raised that nobody has dismissed, or it cannot be read.
pub fn check(config: &PartyConfig) -> anyhow::Result<()> {
    if config.on_alarm != OnAlarm::Stop {
        return Ok(());
    }
    let stands = match read(&config.state) {
        Ok(None | Some(KeptAlarm { dismissed: true, .. })) => return Ok(()),
        Ok(Some(KeptAlarm { run_id, step, what, .. })) => anyhow!("run {run_id}, step {step}: {what}"),
        Err(error) => error,
    };
    Err(stands.context(Unfinished::Alarmed(STANDS)))
}

/// The alarm in the folder `state`, if it was dismissed.
pub fn dismissed(state: &Path) -> Option<KeptAlarm> {
    // Who joins has checked that the file can be read, unless the party goes on at an alarm.
    read(state).ok().flatten().filter(|kept| kept.dismissed)
}

/// Training batches of the run up to the alarm in the folder `state` that was dismissed; 0 where none was.
pub fn dismissed_batches(state: &Path) -> u64 {
    dismissed(state).map_or(0, |kept| kept.seen.batches)
}

/// Whether a process ends with `error` because of an alarm.
pub fn is_alarm(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Unfinished::Alarmed(_)))
}

/// Stays up until somebody has dismissed the `alarm`, so that whoever asks this process how it is hears of it. One that could not be
/// kept is kept as soon as there is room: from then on it can be dismissed, and outlasts this process. `before` was [`dismissed`]
/// when this process went on last.
///
/// # Errors
/// If this process is asked to end before.
pub fn wait_for_dismissal(
    alarm: anyhow::Error,
    config: &PartyConfig,
    board: &Board,
    before: Option<&KeptAlarm>,
) -> anyhow::Result<()> {
    let stop = Stop::listen();
    error!("{alarm:#}");
    let mut unkept = alarm.downcast_ref().map(|unkept: &UnkeptAlarm| unkept.alarm.clone());
    show(config, board, unkept.as_ref());
    while !is_dismissed_since(before, &config.state) {
        if stop.is_asked() {
            return Err(alarm.context(Unfinished::AskedToEnd(STOPPED)));
        }
        if let Some(raised) = &unkept
            && raised.keep(&config.state).is_ok()
        {
            info!("the gradient alarm is kept now: it can be dismissed, and a restart does not go on");
            unkept = None;
        }
        thread::sleep(LOOK);
    }
    info!("the gradient alarm was dismissed");
    board.status().phase = ProcessPhase::Starting;
    Ok(())
}

/// Whether another alarm is dismissed than `before`. One that could not be kept leaves an earlier one there, which may be.
fn is_dismissed_since(before: Option<&KeptAlarm>, state: &Path) -> bool {
    dismissed(state).is_some_and(|kept| Some(&kept) != before)
}

/// Shows on `board` that an alarm stands: the one that is kept, or one that could not be.
fn show(config: &PartyConfig, board: &Board, unkept: Option<&KeptAlarm>) {
    let nothing = GradientMonitorStatus {
        bound: BOUND,
        earlier_bound: EARLIER_BOUND,
        ..GradientMonitorStatus::default()
    };
    // Of a file that cannot be read the log tells.
    let kept = unkept.cloned().or_else(|| read(&config.state).ok().flatten());
    let seen = kept.map_or(nothing, |kept| kept.seen);
    let mut status = board.status();
    status.phase = ProcessPhase::Halted;
    status.gradient_monitor = Some(GradientMonitorStatus { alarm: true, ..seen });
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A config whose party answers an alarm so, with its state folder in `folder`.
    fn config(folder: &Path, on_alarm: &str) -> PartyConfig {
        let text = format!(
            "name = \"bank\"\nrun_id = \"r\"\ncoordinator = \"http://127.0.0.1:1\"\nstate = \"state\"\non_alarm = \"{on_alarm}\"\n\
             insecure_plaintext = true\nrun = {{ parties = [\"bank\"], task = \"binary\", bits = 16, epochs = 3 }}\n\
             columns = {{ format = \"csv\", paths = [\"a.csv\"], id = \"id\" }}\n"
        );
        PartyConfig::parse(&text, folder).unwrap()
    }

    fn alarm() -> KeptAlarm {
        KeptAlarm {
            run_id: RunId::new("r").unwrap(),
            step: 31,
            what: "gradients point everywhere alike".to_string(),
            seen: GradientMonitorStatus {
                batches: 24,
                suspicion: 12.5,
                alarm: true,
                ..GradientMonitorStatus::default()
            },
            dismissed: false,
        }
    }

    #[test]
    fn an_alarm_stands_until_a_person_has_dismissed_it_or_the_config_lets_the_party_go_on() {
        let place = tempfile::tempdir().unwrap();
        let config = |on_alarm| config(place.path(), on_alarm);
        let (stops, warns) = (config("stop"), config("warn"));
        check(&stops).unwrap();
        assert_eq!(dismissed_batches(&stops.state), 0, "none was raised");
        std::fs::create_dir(&stops.state).unwrap();
        alarm().keep(&stops.state).unwrap();
        assert_eq!(read(&stops.state).unwrap(), Some(alarm()));
        let error = check(&stops).unwrap_err();
        assert!(is_alarm(&error), "{error:#}");
        let line = format!("{error:#}");
        assert!(line.ends_with("run r, step 31: gradients point everywhere alike"), "{line}");
        assert!(line.starts_with(STANDS) && !line.contains('\n'), "{line}");
        assert!(check(&warns).is_ok() && check(&config("off")).is_ok());
        assert_eq!(dismissed_batches(&stops.state), 0, "nobody has dismissed it");
        KeptAlarm { dismissed: true, ..alarm() }.keep(&stops.state).unwrap();
        check(&stops).unwrap();
        assert_eq!(dismissed_batches(&stops.state), 24);
    }

    #[test]
    fn a_dismissal_counts_whenever_it_comes_and_that_of_an_earlier_alarm_does_not() {
        let place = tempfile::tempdir().unwrap();
        let config = config(place.path(), "stop");
        std::fs::create_dir(&config.state).unwrap();
        let before = dismissed(&config.state);
        assert_eq!(before, None);
        alarm().keep(&config.state).unwrap();
        let error = check(&config).unwrap_err();
        assert!(!is_dismissed_since(before.as_ref(), &config.state));
        // Before anybody waits for it.
        let first = KeptAlarm { dismissed: true, ..alarm() };
        first.keep(&config.state).unwrap();
        wait_for_dismissal(error, &config, &config.board().unwrap(), before.as_ref()).unwrap();

        // The next could not be kept, then it is.
        let before = dismissed(&config.state);
        assert_eq!(before, Some(first));
        assert!(!is_dismissed_since(before.as_ref(), &config.state));
        let next = KeptAlarm { step: 70, ..alarm() };
        next.keep(&config.state).unwrap();
        assert!(!is_dismissed_since(before.as_ref(), &config.state));
        KeptAlarm { dismissed: true, ..next }.keep(&config.state).unwrap();
        assert!(is_dismissed_since(before.as_ref(), &config.state));
    }

    #[test]
    fn an_alarm_that_could_not_be_kept_is_kept_once_there_is_room_and_can_be_dismissed_then() {
        let place = tempfile::tempdir().unwrap();
        let config = config(place.path(), "stop");
        // As on a full disk: a folder has the name of the file.
        std::fs::create_dir_all(path(&config.state)).unwrap();
        let why = format!("{:#}", alarm().keep(&config.state).unwrap_err());
        let raised = anyhow!("gradients point everywhere alike").context(UnkeptAlarm { alarm: alarm(), why });
        let raised = raised.context(Unfinished::Alarmed(STANDS));
        let line = format!("{raised:#}");
        assert!(is_alarm(&raised) && line.contains("a restart would go on"), "{line}");
        let board = config.board().unwrap();
        let (kept, waited) = thread::scope(|scope| {
            let waits = scope.spawn(|| wait_for_dismissal(raised, &config, &board, None));
            std::fs::remove_dir(path(&config.state)).unwrap();
            let began = Instant::now();
            while !path(&config.state).exists() && began.elapsed() < Duration::from_secs(30) {
                thread::yield_now();
            }
            let kept = read(&config.state);
            // Whatever was found, so that the other thread ends.
            KeptAlarm { dismissed: true, ..alarm() }.keep(&config.state).unwrap();
            (kept, waits.join().unwrap())
        });
        assert_eq!(kept.unwrap(), Some(alarm()));
        waited.unwrap();
        assert!(dismissed(&config.state).is_some(), "nobody has raised it again");
    }

    #[test]
    fn an_alarm_that_cannot_be_read_stands() {
        let place = tempfile::tempdir().unwrap();
        let config = config(place.path(), "stop");
        std::fs::create_dir(&config.state).unwrap();
        KeptAlarm { dismissed: true, ..alarm() }.keep(&config.state).unwrap();
        let whole = std::fs::read(path(&config.state)).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(path(&config.state), &changed).unwrap();
            assert!(check(&config).is_err_and(|error| is_alarm(&error)), "bit {bit}");
        }
        std::fs::write(path(&config.state), "").unwrap();
        let line = format!("{:#}", check(&config).unwrap_err());
        assert!(line.contains("alarm.hashvfl, in which it is kept, cannot be read"), "{line}");
    }
}
