//! The way to one party: requests for codes, and whether anybody takes them. The latest stream under a name counts, so that a
//! party that died and came back is not refused as a duplicate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashvfl_core::ServedRow;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tracing::Span;

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
    /// The wait for the answer, for whoever collects spans.
    pub waiting: Span,
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
pub struct ConnectedParty {
    /// Which of its streams this is.
    stream: u64,
    asks: mpsc::Sender<CodeRequest>,
    /// Since when it has owed an answer and said nothing; `None` while nothing is asked of it.
    owing: watch::Receiver<Option<Instant>>,
}

impl ConnectedParty {
    /// Waits until the party has owed an answer for so long and said nothing meanwhile.
    async fn silent_for(&mut self, limit: Duration) {
        loop {
            let since = *self.owing.borrow_and_update();
            let changed = match since {
                Some(since) => match timeout_at(since + limit, self.owing.changed()).await {
                    Ok(changed) => changed,
                    Err(_) => return,
                },
                None => self.owing.changed().await,
            };
            if changed.is_err() {
                // The stream has ended, which whoever waits for its answer is told.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// How long a request waits for a party.
#[derive(Debug, Clone, Copy)]
pub struct PartyTimeouts {
    /// That is away.
    pub away: Duration,
    /// That is there, owes an answer and says nothing.
    pub silent: Duration,
}

/// What a party's stream takes from whoever asks for codes, and what it tells them.
pub struct StreamEnd {
    /// The stream's number.
    pub stream: u64,
    /// Requests.
    pub asked: mpsc::Receiver<CodeRequest>,
    /// Since when the party has owed an answer and said nothing.
    pub owing: watch::Sender<Option<Instant>>,
}

/// Whether a party is there, and the way to it.
pub struct PartyConnection(watch::Sender<Option<ConnectedParty>>);

impl PartyConnection {
    /// Of a party that is away.
    pub fn closed() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Asks for codes of `rows`; `None` if the party is away, leaves or is silent for longer than `patience`. What it answers
    /// later is known then.
    pub async fn ask(
        &self,
        rows: &[ServedRow],
        patience: PartyTimeouts,
        waiting: &Span,
    ) -> Option<CodeResponse> {
        let deadline = Instant::now() + patience.away;
        let mut watched = self.0.subscribe();
        let mut tried = 0;
        loop {
            // Looked at once even if there is no patience.
            let fresh = watched.wait_for(|present| present.as_ref().is_some_and(|one| one.stream != tried));
            let mut present = match timeout_at(deadline, fresh).await {
                Ok(Ok(present)) => present.clone()?,
                Ok(Err(_)) | Err(_) => return None,
            };
            tried = present.stream;
            let (reply, answered) = oneshot::channel();
            let request = CodeRequest { rows: rows.to_vec(), reply, waiting: waiting.clone() };
            let asks = present.asks.clone();
            let answering = async {
                asks.send(request).await.ok()?;
                answered.await.ok()
            };
            tokio::select! {
                biased;
                () = present.silent_for(patience.silent) => return None,
                answered = answering => {
                    if answered.is_some() {
                        return answered;
                    }
                }
            }
        }
    }

    /// Opens it for a new stream of the party.
    pub fn open(&self) -> StreamEnd {
        let (asks, asked) = mpsc::channel(OPEN_REQUESTS);
        let (owing, watched) = watch::channel(None);
        let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
        self.0.send_replace(Some(ConnectedParty { stream, asks, owing: watched }));
        StreamEnd { stream, asked, owing }
    }

    /// Closes it, if that stream is the latest.
    pub fn close(&self, stream: u64) -> bool {
        self.0.send_if_modified(|present| present.take_if(|one| one.stream == stream).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of it is more than what is at once takes on a busy machine.
    const SILENT: Duration = Duration::from_secs(2);

    /// Asks for a record's code; how long that took.
    async fn ask(connection: &PartyConnection) -> (Option<CodeResponse>, Duration) {
        let began = Instant::now();
        let patience = PartyTimeouts { away: Duration::ZERO, silent: SILENT };
        (connection.ask(&[ServedRow::new(0)], patience, &Span::none()).await, began.elapsed())
    }

    #[tokio::test]
    async fn a_party_that_says_nothing_is_away_until_it_speaks() {
        let connection = PartyConnection::closed();
        let is_at_once =
            |(answered, took): (Option<CodeResponse>, Duration)| answered.is_none() && took < SILENT / 2;
        assert!(is_at_once(ask(&connection).await), "nobody is there");
        let StreamEnd { mut asked, owing, .. } = connection.open();
        owing.send_replace(Some(Instant::now()));
        let (answered, took) = ask(&connection).await;
        assert!(answered.is_none() && took >= SILENT / 2, "nobody answers: {took:?}");
        assert!(is_at_once(ask(&connection).await), "nor will anybody soon");
        owing.send_replace(Some(Instant::now()));
        let answering = async {
            // The first request is still open.
            for _ in 0..2 {
                let request = asked.recv().await.unwrap();
                tokio::time::sleep(SILENT * 2 / 3).await;
                owing.send_replace(Some(Instant::now()));
                let _ = request.reply.send(CodeResponse::default());
            }
        };
        let ((answered, took), ()) = tokio::join!(ask(&connection), answering);
        assert!(answered.is_some() && took > SILENT, "it is waited for as long as it speaks: {took:?}");
        drop(owing);
        drop(asked);
        assert!(is_at_once(ask(&connection).await), "it has left");
    }
}
