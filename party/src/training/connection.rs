//! The way to the coordinator during a run, over one connection after another, with the limits of the config on every wait.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use hashvfl_core::protocol::message::{FromCoordinator, FromParty, Return, SessionKey};
use hashvfl_core::protocol::party::PartyError;
use hashvfl_transport::backoff::Backoff;
use hashvfl_transport::dial::{DialError, Dialer};
use hashvfl_transport::driver::Driver;
use hashvfl_transport::limits::quiet::QuietLog;
use hashvfl_transport::stop::{GRACE, Stop, Stopped};
use hashvfl_transport::{Received, ResumableStream, StreamError};
use tracing::{info, warn};

use crate::config::PartyConfig;
use crate::connection::{dialer, hello};
use crate::training::{HandshakeBroke, Interrupted, RequestTimeout, waited};

/// What `future` gives, unless this process was asked to end so long before.
async fn unless_stopped<F: Future>(
    stop: &mut Stop,
    grace: Duration,
    future: F,
) -> Result<F::Output, Stopped> {
    tokio::select! {
        biased;
        () = stop.overdue(grace) => Err(Stopped),
        output = future => Ok(output),
    }
}

/// Longest wait until the coordinator has heard what was said last, and the same where this process is asked to end.
const FAREWELL: Duration = Duration::from_secs(5);
const SHORT_FAREWELL: Duration = Duration::from_secs(1);

/// The way to the coordinator.
pub(crate) struct TrainingConnection<'a> {
    stream: ResumableStream<FromParty, FromCoordinator>,
    driver: &'a Driver,
    stop: Stop,
    config: &'a PartyConfig,
    dialer: Dialer,
    /// What this party shows when it comes back; none before it is accepted.
    session: Option<SessionKey>,
    returned: u64,
    /// Whether the coordinator was told that this process is asked to end.
    leaving: bool,
    /// What the coordinator said last of why this party waits, and the lines that it may cause here.
    notice: Option<String>,
    notices: QuietLog,
    /// Lines about connections that break: whoever is on the way can break as many as it likes.
    losses: QuietLog,
}

/// Why an attempt to come back has failed.
enum Missed {
    /// Another may not.
    ForNow(String),
    /// Any other would.
    ForGood(anyhow::Error),
}

impl From<DialError> for Missed {
    fn from(error: DialError) -> Self {
        match error.may_pass() {
            true => Self::ForNow(error.to_string()),
            false => Self::ForGood(error.into()),
        }
    }
}

impl From<StreamError> for Missed {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed | StreamError::Broken(_) | StreamError::TimedOut(_) => {
                Self::ForNow(error.to_string())
            }
            StreamError::Refused(_) | StreamError::Unusable(_) => Self::ForGood(error.into()),
        }
    }
}

impl<'a> TrainingConnection<'a> {
    /// Dials, and greets, unless somebody asks this process to stop. `was_in`: the coordinator has let it in before.
    pub(crate) fn open(
        driver: &'a Driver,
        config: &'a PartyConfig,
        mut stop: Stop,
        was_in: bool,
    ) -> anyhow::Result<Self> {
        let dialer = dialer(config)?.returning(was_in);
        let dialled = dialer.training(FromParty::Hello(hello(config)));
        let dialled = driver.wait(unless_stopped(&mut stop, Duration::ZERO, dialled))??;
        let stream = ResumableStream::new(dialled);
        let (session, notice, notices, losses) = (None, None, QuietLog::new(), QuietLog::new());
        Ok(Self {
            stream,
            driver,
            stop,
            config,
            dialer,
            session,
            returned: 0,
            leaving: false,
            notice,
            notices,
            losses,
        })
    }

    /// Whether this process is asked to end, and the coordinator knows it.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Waits so long, unless this process is asked to end.
    pub(crate) fn pause(&mut self, pause: Duration) -> Result<(), Stopped> {
        self.driver.wait(async {
            // Within the driver's runtime, where there are timers.
            unless_stopped(&mut self.stop, Duration::ZERO, tokio::time::sleep(pause)).await
        })
    }

    /// Hears when this process is asked to stop.
    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// How often this party has come back.
    pub(crate) fn returned(&self) -> u64 {
        self.returned
    }

    pub(crate) fn send(&mut self, message: FromParty) -> anyhow::Result<()> {
        let limit_s = self.config.timeouts.step_s;
        match self.driver.wait(self.stream.send(message, Duration::from_secs(limit_s))) {
            Ok(_) => Ok(()),
            Err(StreamError::TimedOut(_)) => Err(waited(limit_s, "a message to be sent")),
            Err(error) => Err(anyhow!("{error}: is the coordinator still running?")),
        }
    }

    /// The next message after `step`, which is 0 until the run has started. Where this process is asked to end, the coordinator
    /// hears of it, and has some seconds to let all sides write a checkpoint.
    pub(crate) fn receive(&mut self, step: u64) -> anyhow::Result<FromCoordinator> {
        let timeouts = &self.config.timeouts;
        // The coordinator may wait for another party to come back before it asks for the next step.
        let limit_s =
            if step == 0 { timeouts.start_s } else { timeouts.step_s.saturating_add(timeouts.reconnect_s) };
        let (limit, mut since) = (Duration::from_secs(limit_s), Instant::now());
        loop {
            let next = self.stream.next_within(limit.saturating_sub(since.elapsed()));
            let grace = if self.leaving { GRACE } else { Duration::ZERO };
            let received = match self.driver.wait(unless_stopped(&mut self.stop, grace, next)) {
                Err(Stopped) if self.session.is_some() && !self.leaving => {
                    self.leaving = true;
                    self.send(FromParty::Leaving)?;
                    if step > 0 {
                        continue;
                    }
                    // Before the first step there is nothing to write down.
                    return Err(anyhow::Error::from(Stopped).context("before the run's first step"));
                }
                received => received.with_context(|| format!("step {step}"))?,
            };
            let error = match received {
                // It is no answer: what is waited for has as long as before.
                Ok(Received { message: FromCoordinator::Notice { text }, .. }) if self.session.is_some() => {
                    self.take_notice(text);
                    continue;
                }
                Ok(received) => return Ok(self.heard(received.message)),
                Err(error) => error,
            };
            return Err(match error {
                // Nobody waits for a side that leaves.
                StreamError::Closed | StreamError::Broken(_) if self.leaving => Stopped.into(),
                StreamError::Closed | StreamError::Broken(_) if self.session.is_some() => {
                    self.come_back(step, &error)?;
                    since = Instant::now();
                    continue;
                }
                StreamError::TimedOut(_) if step == 0 => match &self.notice {
                    None => waited(limit_s, "the run to start: are all parties running?"),
                    Some(text) => {
                        waited(limit_s, &format!("the run to start; the coordinator said last: {text}"))
                    }
                },
                StreamError::TimedOut(_) => RequestTimeout { step, limit_s }.into(),
                lost @ (StreamError::Closed | StreamError::Broken(_)) if step == 0 => {
                    HandshakeBroke(lost.to_string()).into()
                }
                StreamError::Closed => anyhow!(
                    "step {step}: the coordinator closed the stream before the run ended: see its log, then start \
                     again every side that has ended"
                ),
                StreamError::Broken(reason) | StreamError::Refused(reason) => {
                    anyhow!("step {step}: {reason}: is the coordinator still running?")
                }
                StreamError::Unusable(error) => anyhow::Error::from(error)
                    .context(format!("step {step}: the coordinator sent an unusable message")),
            });
        }
    }

    /// What the coordinator says when this party has finished: heads of audit logs, why the run ended otherwise, or, with the
    /// end of its direction, nothing more.
    pub(crate) fn receive_last(&mut self, step: u64) -> anyhow::Result<Option<FromCoordinator>> {
        let timeouts = &self.config.timeouts;
        // The coordinator may wait for another party to come back and say that its model counts.
        let limit = Duration::from_secs(timeouts.step_s.saturating_add(timeouts.reconnect_s));
        let mut since = Instant::now();
        loop {
            let next = self.stream.next_within(limit.saturating_sub(since.elapsed()));
            match self.driver.wait(unless_stopped(&mut self.stop, SHORT_FAREWELL, next))? {
                Ok(Received { message: FromCoordinator::Notice { text }, .. }) => self.take_notice(text),
                Ok(received) => return Ok(Some(received.message)),
                Err(StreamError::Closed) => return Ok(None),
                Err(lost @ StreamError::Broken(_)) if self.session.is_some() => {
                    self.come_back(step, &lost)?;
                    since = Instant::now();
                }
                // What is left of the limit is nothing to tell.
                Err(StreamError::TimedOut(_)) => return Err(StreamError::TimedOut(limit).into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lets messages that were sent leave before this thread computes.
    pub(crate) fn flush(&self) {
        self.driver.flush();
    }

    /// Ends this side's direction, and waits a little until the coordinator has heard what was said last.
    pub(crate) fn close(&mut self) {
        // Whoever has gone is not waited for.
        let limit = if self.stop.is_asked() { SHORT_FAREWELL } else { FAREWELL };
        let _ = self.driver.wait(self.stream.end(limit));
        // Where the coordinator has ended its own direction already, nothing was waited for: this side's end must leave too.
        self.driver.flush();
    }

    /// What the coordinator says of why this party waits.
    fn take_notice(&mut self, notice: String) {
        self.notices.warn(&format!("the coordinator says: {notice}"));
        self.notice = Some(notice);
    }

    /// A message as it came. Both sides count what they say from `Accepted` on.
    fn heard(&mut self, message: FromCoordinator) -> FromCoordinator {
        if let FromCoordinator::Accepted { session } = &message {
            self.session.clone_from(session);
            self.stream.count_from_here();
        }
        message
    }

    /// Dials until the coordinator lets this party go on.
    fn come_back(&mut self, step: u64, lost: &StreamError) -> anyhow::Result<()> {
        let limit_s = self.config.timeouts.reconnect_s;
        let (limit, began) = (Duration::from_secs(limit_s), Instant::now());
        let mut backoff = Backoff::default();
        let told = self.losses.next_line(began);
        if let Some(more) = &told {
            warn!("step {step}: {lost}: trying to reconnect for {limit_s} s{more}");
        }
        loop {
            let left = limit.saturating_sub(began.elapsed());
            let reason = match self.try_to_come_back(left) {
                Ok(()) => {
                    self.returned += 1;
                    if told.is_some() {
                        info!("step {step}: back after {:.1} s", began.elapsed().as_secs_f64());
                    }
                    return Ok(());
                }
                Err(Missed::ForGood(error)) => return Err(error).with_context(|| format!("step {step}")),
                Err(Missed::ForNow(reason)) => reason,
            };
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                let text = format!(
                    "step {step}: {lost}; could not reconnect within {limit_s} s (timeouts.reconnect_s; last error: \
                     {reason}): is the coordinator still running?"
                );
                return Err(Interrupted(text).into());
            }
            let pause = backoff.pause().min(left);
            self.pause(pause).with_context(|| format!("step {step}"))?;
        }
    }

    /// One attempt, which waits up to `limit` for a connection.
    fn try_to_come_back(&mut self, limit: Duration) -> Result<(), Missed> {
        let Some(session) = self.session.clone() else {
            return Err(Missed::ForGood(anyhow!("the coordinator does not support reconnecting")));
        };
        let (driver, run, party) = (self.driver, self.config.run_id.clone(), self.config.name.clone());
        let back = FromParty::Return(Return { run, party, session, mark: self.stream.mark() });
        let mut stop = self.stop.clone();
        // The coordinator answers between its own computations.
        let answer = Duration::from_secs(self.config.timeouts.step_s);
        let coming_back = async {
            let mut stream = self.dialer.training_once(back, limit).await?;
            let mark = match stream.next_within(answer).await?.message {
                FromCoordinator::Returned(mark) => mark,
                FromCoordinator::Refused { text, try_again: true } => return Err(Missed::ForNow(text)),
                FromCoordinator::Refused { text, .. } => return Err(Missed::ForGood(self.refused(text))),
                other => {
                    let found = other.kind();
                    let error = PartyError::Unexpected { found, state: "coming back" };
                    return Err(Missed::ForGood(error.into()));
                }
            };
            let missing = self.stream.missing(&mark).map_err(|error| Missed::ForGood(error.into()))?;
            Ok(self.stream.go_on(stream, None, missing, answer).await?)
        };
        let back = driver.wait(unless_stopped(&mut stop, Duration::ZERO, coming_back));
        back.unwrap_or_else(|stopped| Err(Missed::ForGood(stopped.into())))
    }

    /// A coordinator that does not know this party any more may have begun anew, where the run has not begun.
    fn refused(&self, text: String) -> anyhow::Error {
        match self.stream.mark().received {
            0 => PartyError::TryAgain(text).into(),
            // A coordinator that knows nothing of this party has begun anew, and the run goes on there, or it says why not.
            _ => PartyError::Interrupted(text).into(),
        }
    }
}
