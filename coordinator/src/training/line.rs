//! The way to a party of a run, over one connection after another.
//!
//! When a connection breaks, the coordinator waits. A party that reconnects says so on a new stream, which arrives through
//! `returns`, even if the old connection still looks intact from here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashvfl_core::PartyName;
use hashvfl_core::protocol::exchange::ResumeError;
use hashvfl_core::protocol::message::{FromCoordinator, FromParty};
use hashvfl_monitor::Board;
use hashvfl_transport::handshake::{refuse, refuse_for_now};
use hashvfl_transport::limits::quiet::QuietLog;
use hashvfl_transport::listen::TrainingStream;
use hashvfl_transport::{Received, ResumableStream, StreamError};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::admission_log::note_return;
use crate::training::asides::Asides;
use crate::training::deadline::Deadline;
use crate::training::returns::{NotBack, Returned, Returns};

/// Longest wait until the network has taken a notice.
const NOTICE: Duration = Duration::from_secs(1);
/// How long a party is away before the others are told.
const TOLD_AFTER: Duration = Duration::from_secs(2);

/// Why there is no message of a party.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It is silent, or what it sent is no message.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// Its connection broke, and it did not come back.
    #[error(
        "{reason}, and it did not reconnect within {limit_s} s (timeouts.reconnect_s, or what was left of its time to answer)"
    )]
    Lost {
        /// How its connection broke.
        reason: String,
        /// How long it had, in seconds.
        limit_s: u64,
    },
    /// Its connection is lost, and another process of it greets.
    #[error("its process has ended, and a new one asks to join")]
    Anew,
    /// It said that it leaves, and its stream has ended.
    #[error(
        "its process was asked to end, it has waited for longer than its limits allow, or it cannot write its files"
    )]
    Left,
    /// It came back, and cannot go on from where it is.
    #[error("it reconnected, but cannot continue the run: {0}")]
    OtherPast(#[from] ResumeError),
}

/// The way to one party.
pub struct PartyLine {
    party: PartyName,
    stream: ResumableStream<FromCoordinator, FromParty>,
    returns: Returns,
    returned: u64,
    /// Where it is shown whether the party is there, and where the others are told.
    board: Arc<Board>,
    asides: Arc<Asides>,
    /// Longest wait until the network has taken what is repeated.
    repeating: Duration,
    leaving: bool,
    /// Lines about connections that break: a party, or whoever is on the way, can break as many as it likes.
    losses: QuietLog,
}

impl PartyLine {
    /// The way to `party`, which was just accepted on `stream`; the `asides` are those of its run. What is repeated to it is taken
    /// within `repeating`.
    pub fn new(
        party: PartyName,
        stream: TrainingStream,
        returns: Returns,
        board: Arc<Board>,
        asides: Arc<Asides>,
        repeating: Duration,
    ) -> Self {
        asides.is_on(&party, &stream);
        let stream = ResumableStream::new(stream);
        let (returned, leaving, losses) = (0, false, QuietLog::new());
        Self { party, stream, returns, returned, board, asides, repeating, leaving, losses }
    }

    /// How often the party has come back.
    pub fn returned(&self) -> u64 {
        self.returned
    }

    /// Whether the party has said that it leaves.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// As [`ResumableStream::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, message: FromCoordinator, limit: Duration) -> Result<usize, StreamError> {
        self.stream.send(message, limit).await
    }

    /// Tells the party why it waits, if it takes such words; where the network takes nothing it is told with the next.
    pub async fn notice(&self, text: String) {
        if self.stream.present().takes_notices() {
            let _ = self.stream.send_uncounted(FromCoordinator::Notice { text }, NOTICE).await;
        }
    }

    /// The next message, if it comes within `limit`; a party whose connection breaks has `reconnect` to come back in addition, once,
    /// unless it has said that it leaves. That is only noted, and stays so where it comes back; said twice, it is a message like any
    /// other. No message is lost where this future is dropped before it is ready.
    ///
    /// # Errors
    /// If nothing comes in time, the party does not come back or cannot go on, or what came is no message.
    pub async fn next_within(
        &mut self,
        limit: Duration,
        reconnect: Duration,
    ) -> Result<Received<FromParty>, LineError> {
        let mut waiting = Deadline::begin(Instant::now(), limit, reconnect);
        loop {
            let received = tokio::select! {
                biased;
                Some(back) = self.returns.next() => {
                    self.take_back(back).await?;
                    waiting.breaks(Instant::now());
                    continue;
                }
                received = self.stream.next_within(waiting.left(Instant::now())) => received,
            };
            match received {
                Ok(Received { message: FromParty::Leaving, .. }) if !self.leaving => {
                    let why =
                        "its process is asked to end, it has waited too long, or it cannot write its files";
                    info!(party = %self.party, "it leaves: {why}");
                    self.leaving = true;
                }
                Err(StreamError::Closed | StreamError::Broken(_)) if self.leaving => {
                    return Err(LineError::Left);
                }
                Err(lost @ (StreamError::Closed | StreamError::Broken(_))) => {
                    self.wait_for_return(&lost, waiting.breaks(Instant::now())).await?;
                }
                // What is left of the limit is nothing to tell.
                Err(StreamError::TimedOut(_)) => return Err(StreamError::TimedOut(limit).into()),
                received => return Ok(received?),
            }
        }
    }

    /// Ends this side's direction and waits until the party has ended its own, which has all that was sent then.
    ///
    /// # Errors
    /// If it does not in time, also on another connection.
    pub async fn close(&mut self, limit: Duration, reconnect: Duration) -> Result<(), LineError> {
        let mut waiting = Deadline::begin(Instant::now(), limit, reconnect);
        loop {
            let closed = tokio::select! {
                biased;
                Some(back) = self.returns.next() => {
                    self.take_back(back).await?;
                    waiting.breaks(Instant::now());
                    continue;
                }
                closed = self.stream.end(waiting.left(Instant::now())) => closed,
            };
            match closed {
                Err(lost @ StreamError::Broken(_)) => {
                    self.wait_for_return(&lost, waiting.breaks(Instant::now())).await?;
                }
                Err(StreamError::TimedOut(_)) => return Err(StreamError::TimedOut(limit).into()),
                closed => return Ok(closed?),
            }
        }
    }

    /// Tells the party why the run ends, or that it is only `interrupted`, on whichever connection it listens; waits up to
    /// `limit` until it has gone.
    pub async fn give_up(mut self, why: &str, interrupted: bool, limit: Duration) {
        while let Some(Returned { stream, .. }) = self.returns.next_now() {
            say_why(&stream, why, interrupted).await;
        }
        say_why(self.stream.present(), why, interrupted).await;
        // The message must leave before the process does; whoever has gone needs none.
        let _ = self.stream.end(limit).await;
    }

    async fn wait_for_return(&mut self, lost: &StreamError, limit: Duration) -> Result<(), LineError> {
        let (party, began) = (&self.party, Instant::now());
        let gone = || LineError::Lost { reason: lost.to_string(), limit_s: limit.as_secs() };
        if limit.is_zero() {
            return Err(gone());
        }
        self.board.status().party(party).connected = false;
        let told = self.losses.next_line(began);
        if let Some(more) = &told {
            warn!(%party, "{lost}: waiting up to {} s for it to reconnect{more}", limit.as_secs());
        }
        let mut are_told = false;
        let back = loop {
            let left = limit.saturating_sub(began.elapsed());
            let wait = if are_told { left } else { left.min(TOLD_AFTER) };
            match timeout(wait, self.returns.back()).await {
                Ok(Ok(back)) => break back,
                Ok(Err(NotBack::Anew)) => return Err(LineError::Anew),
                Ok(Err(NotBack::Closed)) => return Err(gone()),
                Err(_) if wait == left => return Err(gone()),
                Err(_) => are_told = true,
            }
            self.asides.tell_others(party, &format!("the run waits for {party}, whose connection was lost"));
        };
        if told.is_some() {
            info!(%party, "back after {:.1} s", began.elapsed().as_secs_f64());
        }
        if are_told {
            self.asides.tell_others(party, &format!("{party} has reconnected"));
        }
        self.take_back(back).await
    }

    /// Goes on where the party has come back; where it has done so several times, the last counts.
    async fn take_back(&mut self, mut back: Returned) -> Result<(), LineError> {
        while let Some(later) = self.returns.next_now() {
            back = later;
        }
        let Returned { stream, mark } = back;
        let missing = match self.stream.missing(&mark) {
            Ok(missing) => missing,
            Err(error) => {
                refuse(&stream, format!("this party cannot continue the run: {error}")).await;
                return Err(error.into());
            }
        };
        self.returned += 1;
        note_return(&self.board, &self.party, stream.peer());
        let first = FromCoordinator::Returned(self.stream.mark());
        match self.stream.go_on(stream, Some(first), missing, self.repeating).await {
            Ok(()) => self.asides.is_on(&self.party, self.stream.present()),
            Err(error) => {
                if let Some(more) = self.losses.next_line(Instant::now()) {
                    warn!(party = %self.party, "lost again: {error}{more}");
                }
            }
        }
        Ok(())
    }
}

async fn say_why(stream: &TrainingStream, why: &str, interrupted: bool) {
    match interrupted {
        true => refuse_for_now(stream, why.to_string()).await,
        false => refuse(stream, why.to_string()).await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use hashvfl_core::protocol::coordinator::{PeerError, PeerSession};
    use hashvfl_core::protocol::exchange::Mark;
    use hashvfl_core::protocol::message::Request;
    use hashvfl_core::{Digest, RunId};
    use hashvfl_monitor::{BoardConfig, Status};
    use hashvfl_proto::WireMessage;
    use tokio::sync::mpsc;
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;
    use crate::training::returns::AdmittedParties;

    /// Longer than anything here takes.
    const LONG: Duration = Duration::from_secs(20);

    fn bank() -> PartyName {
        PartyName::new("bank").unwrap()
    }

    /// A stream on which the party says `words`, and then nothing or, where `ends`, its end. What it is told is dropped.
    fn saying(words: Vec<FromParty>, ends: bool) -> TrainingStream {
        let (queue, mut handed) = mpsc::channel(8);
        tokio::spawn(async move { while handed.recv().await.is_some() {} });
        let mut words: VecDeque<_> = words.into_iter().map(WireMessage::into_wire).collect();
        TrainingStream::simulated(
            queue,
            Box::new(move |_: &mut Context<'_>| match words.pop_front() {
                None if !ends => Poll::Pending,
                word => Poll::Ready(word),
            }),
        )
    }

    /// The way to bank over this stream, which comes back where `returns` says.
    fn line_with(stream: TrainingStream, returns: Returns) -> PartyLine {
        let status = Status::new("coordinator", RunId::new("r").unwrap());
        let board = Arc::new(Board::open(BoardConfig::default(), status).unwrap());
        PartyLine::new(bank(), stream, returns, board, Arc::default(), LONG)
    }

    /// The same, and where bank comes back.
    fn line(stream: TrainingStream) -> (PartyLine, mpsc::Sender<Returned>) {
        let (sender, returns) = mpsc::channel(1);
        (line_with(stream, Returns::of(returns)), sender)
    }

    #[tokio::test]
    async fn a_party_that_greets_anew_is_waited_for_no_longer_once_its_connection_is_lost() {
        let seats = AdmittedParties::default();
        let (_, returns) = seats.open(&bank()).unwrap();
        let mut there = line_with(saying(Vec::new(), false), returns);
        let waits = there.next_within(LONG, LONG);
        let greets = async {
            seats.greeted_anew(&bank());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        tokio::select! {
            biased;
            found = waits => panic!("its connection is there: {:?}", found.map(|_| ())),
            () = greets => {}
        }

        let (_, returns) = seats.open(&bank()).unwrap();
        let mut lost = line_with(saying(Vec::new(), true), returns);
        let waits = lost.next_within(LONG, LONG);
        let greets = async {
            // Over the moment at which the others are told, too.
            for _ in 0..6 {
                tokio::time::sleep(TOLD_AFTER / 4).await;
            }
            seats.greeted_anew(&bank());
            std::future::pending().await
        };
        let found = tokio::select! {
            biased;
            found = waits => found.map(|_| ()),
            () = greets => panic!("it never ends"),
        };
        assert!(matches!(found, Err(LineError::Anew)), "{found:?}");
    }

    /// Counts the lines of the log.
    struct CountedLines(Arc<AtomicUsize>);

    impl Subscriber for CountedLines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::INFO && metadata.target().starts_with("hashvfl")
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[tokio::test]
    async fn connections_that_break_again_and_again_fill_no_log() {
        let lines = Arc::default();
        let _counted = tracing::subscriber::set_default(CountedLines(Arc::clone(&lines)));
        let (mut line, returns) = line(saying(Vec::new(), true));
        let board = Arc::clone(&line.board);
        board.status().party(&bank()).connected = true;
        let breaking = async {
            for round in 0..=100 {
                let is_lost = || {
                    let mut status = board.status();
                    let shown = status.party(&bank());
                    !shown.connected && shown.returns == round
                };
                while !is_lost() {
                    tokio::task::yield_now().await;
                }
                let mark = Mark { received: 0, chain: Digest([0; 32]) };
                assert!(returns.send(Returned { stream: saying(Vec::new(), true), mark }).await.is_ok());
            }
        };
        tokio::select! {
            found = line.next_within(LONG, LONG) => panic!("nothing was said: {:?}", found.map(|_| ())),
            () = breaking => {}
        }
        assert_eq!(line.returned(), 100);
        let lines = lines.load(Ordering::Relaxed);
        assert!((2..60).contains(&lines), "{lines} lines about 100 connections");
    }

    #[tokio::test]
    async fn a_party_that_says_twice_that_it_leaves_breaks_the_protocol() {
        let (mut line, _returns) = line(saying(vec![FromParty::Leaving; 3], false));
        let second = line.next_within(LONG, LONG).await.unwrap().message;
        assert!(line.is_leaving());
        let mut session = PeerSession::new(bank(), 4);
        session.requested(1, &Request::Freeze, 0);
        let refused = session.receive(second);
        assert!(matches!(refused, Err(PeerError::Unexpected { found: "Leaving", .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn a_party_that_leaves_and_comes_back_on_another_connection_leaves_still() {
        let (mut line, returns) = line(saying(vec![FromParty::Leaving], false));
        let limit = Duration::from_millis(50);
        let silent = line.next_within(limit, LONG).await.unwrap_err();
        assert!(
            matches!(silent, LineError::Stream(StreamError::TimedOut(told)) if told == limit),
            "{silent:?}"
        );
        let mark = Mark { received: 0, chain: Digest([0; 32]) };
        let stream = saying(vec![FromParty::Committed], true);
        assert!(returns.send(Returned { stream, mark }).await.is_ok());
        let word = line.next_within(LONG, LONG).await.unwrap().message;
        assert!(word == FromParty::Committed && line.is_leaving(), "{word:?}");
        let gone = line.next_within(LONG, LONG).await.unwrap_err();
        assert!(matches!(gone, LineError::Left), "nobody waits for it: {gone:?}");
    }
}
