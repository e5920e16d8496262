//! What two sides have said to each other, as one of them knows it. It outlives their connections.
//!
//! ```text
//!  this side                                        the other side
//!   sent: 7, the last 4 kept      == connection ==>   received: 6
//!   received: 5                   <== lost ======     sent: 5
//!                                 <-- Mark(6) ---     on a new connection
//!   repeats message 7             -- Mark(5) ---->    repeats nothing
//! ```
//!
//! Each direction has a count of messages and a chain: SHA-256 over the chain so far and the next message. After a new
//! connection each side says its [`Mark`], how many messages have come to it and their chain, and the other repeats what is
//! missing out of the messages that it keeps, byte for byte. So nothing is computed, counted or applied twice, and a side
//! with another past is found out.

use std::collections::VecDeque;

use crate::digest::Digest;

/// Messages that are kept to be repeated. The protocol never has more than two on their way in one direction, and a last
/// one behind them.
pub const KEPT: usize = 4;

/// Returns in a row that bring no message, at most: a message that breaks every connection would be repeated for ever.
pub const MOST_RETURNS: u32 = 100;

/// What has come to one side so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Messages.
    pub received: u64,
    /// Their chain.
    pub chain: Digest,
}

/// Why an exchange cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResumeError {
    /// The other side has more than was sent.
    #[error("the other side has {received} messages, and {sent} were sent to it")]
    Ahead {
        /// What it has.
        received: u64,
        /// What was sent.
        sent: u64,
    },
    /// The other side lacks messages that are not kept any more.
    #[error("the other side has {received} messages of {sent}, and only the last {KEPT} can be repeated")]
    Behind {
        /// What it has.
        received: u64,
        /// What was sent.
        sent: u64,
    },
    /// As many messages came as were sent, but other ones.
    #[error("the first {received} messages that the other side has are not the ones that were sent to it")]
    OtherMessages {
        /// What it has.
        received: u64,
    },
    /// Connections break again and again before a message has come.
    #[error("{MOST_RETURNS} connections in a row broke before a message arrived")]
    InVain,
}

/// One direction so far.
#[derive(Debug, Clone, Copy)]
struct Chain {
    count: u64,
    head: Digest,
}

impl Chain {
    const START: Self = Self { count: 0, head: Digest([0; 32]) };

    fn add(&mut self, message: &[u8]) {
        self.count += 1;
        self.head = Digest::of_parts([&self.head.0, message]);
    }
}

/// A message that was sent.
#[derive(Debug, Clone)]
struct Sent<M> {
    message: M,
    /// The chain without it.
    before: Digest,
}

/// Both directions between two sides, from one side's view.
#[derive(Debug, Clone)]
pub struct Exchange<M> {
    sent: Chain,
    /// The last messages that were sent, the oldest first.
    kept: VecDeque<Sent<M>>,
    received: Chain,
    /// Returns since a message came.
    returns: u32,
}

impl<M: Clone> Exchange<M> {
    /// An exchange in which nothing has been said.
    pub fn new() -> Self {
        let kept = VecDeque::with_capacity(KEPT);
        Self { sent: Chain::START, kept, received: Chain::START, returns: 0 }
    }

    /// `message`, in `bytes` on the wire, is about to be sent.
    pub fn sent(&mut self, message: M, bytes: &[u8]) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Sent { message, before: self.sent.head });
        self.sent.add(bytes);
    }

    /// A message came, in `bytes` on the wire.
    pub fn received(&mut self, bytes: &[u8]) {
        self.received.add(bytes);
        self.returns = 0;
    }

    /// What has come so far: what this side says on a new connection.
    pub fn mark(&self) -> Mark {
        Mark { received: self.received.count, chain: self.received.head }
    }

    /// Goes on where the other side is at `mark`: the messages to repeat, in order.
    ///
    /// # Errors
    /// If the other side has another past, lacks more than is kept, or has returned too often in vain.
    pub fn resume(&mut self, mark: &Mark) -> Result<Vec<M>, ResumeError> {
        let Mark { received, chain } = *mark;
        let sent = self.sent.count;
        let missing = sent.checked_sub(received).ok_or(ResumeError::Ahead { received, sent })?;
        let kept = self.kept.len();
        let missing = usize::try_from(missing).ok().filter(|missing| *missing <= kept);
        let first = kept - missing.ok_or(ResumeError::Behind { received, sent })?;
        let expected = self.kept.get(first).map_or(self.sent.head, |sent| sent.before);
        if chain != expected {
            return Err(ResumeError::OtherMessages { received });
        }
        if self.returns == MOST_RETURNS {
            return Err(ResumeError::InVain);
        }
        self.returns += 1;
        Ok(self.kept.iter().skip(first).map(|sent| sent.message.clone()).collect())
    }
}

impl<M: Clone> Default for Exchange<M> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod tests;
