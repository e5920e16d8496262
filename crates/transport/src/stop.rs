//! How a process learns that it should end: by an interrupt (Ctrl+C), or by a request to terminate (`docker stop`, systemd).
//!
//! Linux ends the first process of a container only for signals that the process handles. So both are handled from the
//! start: whoever waits for [`Stop`] is told, and where nobody does, the process ends at once. What is kept on disk is
//! written so that this loses nothing. The code that is told has [`GRACE`] to finish cleanly; a second signal
//! ends the process at once, and so does `MOST` after the first, since service managers kill it then.

use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

/// How long a run that is asked to end waits for its next checkpoint.
pub const GRACE: Duration = Duration::from_secs(6);
/// The longest time from the first signal to the end of the process.
const MOST: Duration = Duration::from_millis(9500);
/// The exit code of a process that a signal has ended.
const ENDED: i32 = 130;

/// When this process was asked to end; signals reach the whole process, so there is one answer for all of it.
static ASKED: OnceLock<watch::Sender<Option<Instant>>> = OnceLock::new();

/// That work ended before it was done, since this process was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process was asked to end")]
pub struct Stopped;

/// Waits for this process to be asked to end.
#[derive(Clone)]
pub struct Stop(watch::Receiver<Option<Instant>>);

/// Handles both signals from now on.
pub fn handle_signals() {
    drop(Stop::listen());
}

impl Stop {
    /// Listens from now on.
    pub fn listen() -> Self {
        let asked = ASKED.get_or_init(|| {
            let (asked, _) = watch::channel(None);
            let told = asked.clone();
            let work = move || {
                if let Err(error) = wait_for_signals(&told) {
                    warn!("signals to end cannot be handled: {error}");
                }
            };
            if let Err(error) = std::thread::Builder::new().name("signals".into()).spawn(work) {
                warn!("signals to end cannot be handled: {error}");
            }
            asked
        });
        Self(asked.subscribe())
    }

    /// Waits until that happens.
    pub async fn stopped(&mut self) {
        self.overdue(Duration::ZERO).await;
    }

    /// Waits until that happened so long ago.
    pub async fn overdue(&mut self, grace: Duration) {
        // The sender is never dropped.
        let asked = self.0.wait_for(Option::is_some).await.ok().and_then(|asked| *asked);
        if let Some(asked) = asked.filter(|_| !grace.is_zero()) {
            sleep_until(asked + grace).await;
        }
    }

    /// Whether it has happened.
    pub fn is_asked(&self) -> bool {
        self.0.borrow().is_some()
    }
}

/// Tells whoever listens of the first signal. The second ends the process, and so does the first where nobody listens.
fn wait_for_signals(asked: &watch::Sender<Option<Instant>>) -> io::Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut signals = Signals::listen()?;
        let name = signals.next().await?;
        info!("{name}: ending");
        if asked.receiver_count() > 0 {
            asked.send_replace(Some(Instant::now()));
            match timeout(MOST, signals.next()).await {
                Ok(name) => info!("{}: ending at once", name?),
                Err(_) => warn!("not ended after {} s: ending at once", MOST.as_secs_f64()),
            }
        }
        std::process::exit(ENDED)
    })
}

/// The signals that ask a process to end.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?,
        })
    }

    /// The next one: its name.
    #[cfg(unix)]
    async fn next(&mut self) -> io::Result<&'static str> {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| "interrupted"),
            _ = self.terminate.recv() => Ok("asked to terminate"),
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> io::Result<&'static str> {
        tokio::signal::ctrl_c().await.map(|()| "interrupted")
    }
}
