//! How a process learns that it should end: by an interrupt (Ctrl+C), or by a request to terminate (`docker stop`, systemd).
//!
//! Linux ends the first process of a container only for signals that the process handles. So both are handled from the
//! start: whoever waits for [`Stop`] is told, and where nobody does, the process ends at once. What is kept on disk is
//! written so that this loses nothing.

use std::io;
use std::sync::OnceLock;

use tokio::runtime::Builder;
use tokio::sync::watch;
use tracing::{info, warn};

/// Whether this process was asked to end; signals reach the whole process, so there is one answer for all of it.
static ASKED: OnceLock<watch::Sender<bool>> = OnceLock::new();

/// That work ended before it was done, since this process was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process was asked to end")]
pub struct Stopped;

/// Waits for this process to be asked to end.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

/// Handles both signals from now on.
pub fn handle_signals() {
    drop(Stop::listen());
}

impl Stop {
    /// Listens from now on.
    pub fn listen() -> Self {
        let asked = ASKED.get_or_init(|| {
            let (asked, _) = watch::channel(false);
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
        // The sender is never dropped.
        let _ = self.0.wait_for(|asked| *asked).await;
    }
}

/// Tells whoever listens of the first signal. The second ends the process, and so does the first where nobody listens.
fn wait_for_signals(asked: &watch::Sender<bool>) -> io::Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut signals = Signals::listen()?;
        loop {
            let (name, exit_code) = signals.next().await?;
            info!("{name}: ending");
            if asked.receiver_count() == 0 || asked.send_replace(true) {
                std::process::exit(exit_code);
            }
        }
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

    /// The next one: its name, and the exit code by which shells know that it ended a process.
    #[cfg(unix)]
    async fn next(&mut self) -> io::Result<(&'static str, i32)> {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| ("interrupted", 130)),
            _ = self.terminate.recv() => Ok(("asked to terminate", 143)),
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> io::Result<(&'static str, i32)> {
        tokio::signal::ctrl_c().await.map(|()| ("interrupted", 130))
    }
}
