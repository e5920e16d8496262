//! The network of a process whose main thread computes.
//!
//! A step of a run is short. Handing a message from a network thread to the computing thread costs about as much as the
//! forward pass of a small model. So the thread that waits for a message drives the network itself. While it computes for
//! longer, a keeper thread drives it, so that keepalives are answered and new peers are greeted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use tracing::Span;

use crate::runtime::NetworkRuntime;

/// How long nobody may drive the network before the keeper takes over.
const REST: Duration = Duration::from_millis(500);

struct Shared {
    runtime: NetworkRuntime,
    /// Waits so far.
    waits: AtomicU64,
    waiting: AtomicBool,
    ended: AtomicBool,
    /// The computing thread waits again.
    back: Notify,
}

/// A runtime that is driven by whoever waits on it, and by a keeper while nobody does.
pub struct Driver {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

impl Driver {
    /// Starts the keeper, whose lines in the log are of the span that this thread is in.
    ///
    /// # Errors
    /// If the operating system gives no thread or no way to wait for sockets.
    pub fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            runtime: NetworkRuntime::build(&mut Builder::new_current_thread())?,
            waits: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            back: Notify::new(),
        });
        let (kept, span) = (Arc::clone(&shared), Span::current());
        let work = move || span.in_scope(|| keep(&kept));
        let keeper = std::thread::Builder::new().name("network keeper".into()).spawn(work)?;
        Ok(Self { shared, keeper: Some(keeper) })
    }

    /// Waits for `future` on this thread, which drives the network meanwhile.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        let shared = &*self.shared;
        shared.waits.fetch_add(1, Ordering::Relaxed);
        shared.waiting.store(true, Ordering::Release);
        shared.back.notify_waiters();
        let output = shared.runtime.block_on(future);
        shared.waiting.store(false, Ordering::Release);
        output
    }

    /// Lets messages that were sent leave before this thread computes. Otherwise they stay in a queue until the next wait.
    pub fn flush(&self) {
        // Tasks that are ready run before this one resumes, and so do the tasks that they wake.
        self.wait(tokio::task::yield_now());
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.shared.back.notify_waiters();
        if let Some(keeper) = self.keeper.take() {
            keeper.thread().unpark();
            // It panics only where the runtime does, and then nothing is left to tell.
            let _ = keeper.join();
        }
    }
}

fn keep(shared: &Shared) {
    let mut seen = 0;
    while !shared.ended.load(Ordering::Acquire) {
        std::thread::park_timeout(REST);
        let waits = shared.waits.load(Ordering::Relaxed);
        let rested = std::mem::replace(&mut seen, waits) == waits && !shared.waiting.load(Ordering::Acquire);
        if rested {
            // With a limit, since the other thread may have come back just before this one listened.
            shared.runtime.block_on(async { tokio::time::timeout(REST, shared.back.notified()).await.ok() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn tasks_go_on_while_the_thread_computes_and_while_it_waits() {
        let driver = Driver::start().unwrap();
        let done = Arc::new(Notify::new());
        let told = Arc::clone(&done);
        let ended = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&ended);
        driver.wait(async move {
            tokio::spawn(async move {
                told.notified().await;
                set.store(true, Ordering::Release);
            });
        });
        done.notify_one();
        let since = Instant::now();
        while !ended.load(Ordering::Acquire) {
            assert!(since.elapsed() < Duration::from_secs(60), "the keeper never drove the network");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Whoever drives, a wait ends.
        (0..100).for_each(|_| driver.wait(tokio::task::yield_now()));
    }
}
