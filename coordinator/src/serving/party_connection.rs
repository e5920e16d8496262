//! The way to one party: requests for codes, and whether anybody takes them. The latest stream under a name counts, so that a
//! party that died and came back is not refused as a duplicate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashvfl_core::ServedRow;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

/// Requests that a party may have open: the next one is on its way while it works.
pub const OPEN_REQUESTS: usize = 4;

/// Numbers streams, so that a party's latest stream can be told from earlier ones.
static STREAMS: AtomicU64 = AtomicU64::new(1);

/// A request for codes of rows, and where the answer goes. Nobody answers if the party leaves.
pub struct CodeRequest {
    /// Ascending, each once.
    pub rows: Vec<ServedRow>,
    /// Told when all codes that were granted are known.
    pub reply: oneshot::Sender<CodeResponse>,
}

/// What became of a request: all its rows are known now, except these.
#[derive(Debug, Default)]
pub struct CodeResponse {
    /// Rows that the party's policy refuses, ascending.
    pub refused: Vec<ServedRow>,
    /// By which rule.
    pub reason: String,
}

/// A party that is there.
#[derive(Clone)]
pub struct OpenStream {
    /// Which of its streams this is.
    stream: u64,
    asks: mpsc::Sender<CodeRequest>,
}

/// Whether a party is there, and the way to it.
pub struct PartyConnection(watch::Sender<Option<OpenStream>>);

impl PartyConnection {
    /// Of a party that is away.
    pub fn closed() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Asks for codes of `rows`; `None` if the party is away or leaves, and does not come back within `patience`.
    pub async fn ask(&self, rows: &[ServedRow], patience: Duration) -> Option<CodeResponse> {
        let deadline = Instant::now() + patience;
        let mut watched = self.0.subscribe();
        let mut tried = 0;
        loop {
            // Looked at once even if there is no patience.
            let fresh = watched.wait_for(|present| present.as_ref().is_some_and(|one| one.stream != tried));
            let present = match timeout_at(deadline, fresh).await {
                Ok(Ok(present)) => present.clone()?,
                Ok(Err(_)) | Err(_) => return None,
            };
            tried = present.stream;
            let (reply, answered) = oneshot::channel();
            if present.asks.send(CodeRequest { rows: rows.to_vec(), reply }).await.is_ok()
                && let Ok(answered) = answered.await
            {
                return Some(answered);
            }
        }
    }

    /// Opens it for a new stream of the party: the stream's number, and the requests that are asked for.
    pub fn open(&self) -> (u64, mpsc::Receiver<CodeRequest>) {
        let (asks, asked) = mpsc::channel(OPEN_REQUESTS);
        let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
        self.0.send_replace(Some(OpenStream { stream, asks }));
        (stream, asked)
    }

    /// Closes it, if that stream is the latest.
    pub fn close(&self, stream: u64) -> bool {
        self.0.send_if_modified(|present| present.take_if(|one| one.stream == stream).is_some())
    }
}
