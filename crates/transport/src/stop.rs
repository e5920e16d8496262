//! How a process that serves learns that it should end.

use tokio::sync::watch;

/// Whether this process was asked to stop, by an interrupt or a request to terminate.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens from now on; must be called within a runtime.
    pub fn listen() -> Self {
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            asked().await;
            tell.send_replace(true);
            // The process ends itself from here on; a second signal is not waited for.
            tell.closed().await;
        });
        Self(told)
    }

    /// Waits until that happens.
    pub async fn stopped(&mut self) {
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

async fn asked() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
