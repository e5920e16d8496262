//! What the requests of one client may hold until they are answered.
//!
//! A request counts with its own bytes and the most that its answer may have, from its first byte until the network has taken
//! the answer. All streams of one name share one budget: further requests wait in front of it, unread.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use hashvfl_core::PartyName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long answers to a client's requests may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerSize {
    /// Records of one answer, at most.
    pub records: usize,
    /// Bytes of each of them, at most.
    pub record_bytes: usize,
}

impl AnswerSize {
    /// Most bytes of the answer to a request of so many bytes: an id takes two of them at least.
    fn of(self, request_bytes: usize) -> usize {
        (request_bytes / 2).min(self.records).saturating_mul(self.record_bytes)
    }
}

/// The budgets of all clients, by name.
#[derive(Debug)]
pub(crate) struct ClientBudgets {
    bytes: usize,
    /// Without TLS, all clients are the one without a name.
    by_name: Mutex<HashMap<Option<PartyName>, Arc<Semaphore>>>,
}

impl ClientBudgets {
    /// Of so many bytes each.
    pub fn new(bytes: usize) -> Self {
        Self { bytes, by_name: Mutex::default() }
    }

    /// What a stream of `client` holds, whose answers are of that size.
    pub fn stream(&self, client: Option<PartyName>, answers: AnswerSize) -> ClientStream {
        // A map is whole after each call.
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = by_name.entry(client).or_insert_with(|| Arc::new(Semaphore::new(self.bytes)));
        ClientStream { budget: Arc::clone(budget), bytes: self.bytes, answers, begun: Arc::default() }
    }
}

/// What one stream of a client holds.
#[derive(Debug, Clone)]
pub(crate) struct ClientStream {
    budget: Arc<Semaphore>,
    bytes: usize,
    answers: AnswerSize,
    /// What requests hold that have begun and have not been taken yet, in order.
    begun: Arc<Mutex<VecDeque<HeldBytes>>>,
}

/// What one request and its answer hold, until it is dropped.
pub(crate) type HeldBytes = OwnedSemaphorePermit;

impl ClientStream {
    /// What a request of so many bytes counts.
    fn cost(&self, request_bytes: usize) -> u32 {
        let cost = request_bytes.saturating_add(self.answers.of(request_bytes));
        // A single request is never more than all, so that none waits for ever.
        u32::try_from(cost.min(self.bytes)).unwrap_or(u32::MAX)
    }

    /// Waits until a request of so many bytes may come.
    pub async fn begin(self, request_bytes: usize) -> Result<(), tokio::sync::AcquireError> {
        let cost = self.cost(request_bytes);
        let held = self.budget.acquire_many_owned(cost).await?;
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).push_back(held);
        Ok(())
    }

    /// What the next request holds that is whole.
    pub fn take(&self) -> Option<HeldBytes> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// An answer, and what it holds.
pub(crate) struct HeldAnswer<T> {
    pub answer: T,
    pub held: Option<HeldBytes>,
}

/// Answers as the network takes them: what one holds is free when the network asks for the next.
pub(crate) struct Answers<S> {
    answers: S,
    held: Option<HeldBytes>,
}

impl<S> Answers<S> {
    pub fn new(answers: S) -> Self {
        Self { answers, held: None }
    }
}

impl<S: Stream<Item = HeldAnswer<T>> + Unpin, T> Stream for Answers<S> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        this.held = None;
        let Some(HeldAnswer { answer, held }) = ready!(Pin::new(&mut this.answers).poll_next(context)) else {
            return Poll::Ready(None);
        };
        this.held = held;
        Poll::Ready(Some(answer))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;

    const ANSWERS: AnswerSize = AnswerSize { records: 10, record_bytes: 3 };

    #[tokio::test]
    async fn one_name_has_one_budget_over_all_streams() {
        let budgets = ClientBudgets::new(100);
        let name = |name: &str| Some(PartyName::new(name).unwrap());
        let (one, other) = (budgets.stream(name("app"), ANSWERS), budgets.stream(name("app"), ANSWERS));
        // 40 bytes, and 30 of an answer.
        one.clone().begin(40).await.unwrap();
        assert!(other.clone().begin(40).now_or_never().is_none(), "140 bytes");
        let stranger = budgets.stream(name("web"), ANSWERS);
        assert!(stranger.begin(40).now_or_never().is_some(), "another name");
        let held = one.take();
        assert!(held.is_some() && one.take().is_none());
        // 5 records of 3 bytes.
        assert!(other.clone().begin(10).now_or_never().is_some());
        assert_eq!(one.budget.available_permits(), 100 - 70 - 25);
        drop((held, other));
        assert_eq!(one.budget.available_permits(), 100, "a stream that ends holds nothing");
        assert!(one.clone().begin(1 << 40).now_or_never().is_some(), "no more than all");
    }

    #[tokio::test]
    async fn an_answer_holds_until_the_next_is_asked_for() {
        let budgets = ClientBudgets::new(100);
        let client = budgets.stream(None, ANSWERS);
        client.clone().begin(1).await.unwrap();
        let first = stream::iter([HeldAnswer { answer: 7, held: client.take() }]);
        let mut answers = Answers::new(first.chain(stream::pending()));
        assert_eq!(answers.next().await, Some(7));
        assert_eq!(client.budget.available_permits(), 99);
        assert!(answers.next().now_or_never().is_none());
        assert_eq!(client.budget.available_permits(), 100);
    }
}
