//! How many threads compute on the CPU.
//!
//! Products of small matrices lose by being shared out: a 392-128-64 network learns a third faster on one thread
//! than on two. Parties in one process each compute on a thread of their own instead.

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Lets the whole process compute on `count` threads, all cores for 0. Only the first call counts.
pub fn limit(count: usize) {
    // An error says that the threads are running already.
    let _ = ThreadPoolBuilder::new().num_threads(count).build_global();
}

/// One thread for one party of this process.
pub struct WorkerThread(ThreadPool);

impl WorkerThread {
    /// Starts the thread.
    ///
    /// # Panics
    /// If the operating system gives no thread.
    pub fn start() -> Self {
        Self(ThreadPoolBuilder::new().num_threads(1).build().expect("a thread"))
    }
}

/// Does `work` on all `items` at the same time, the last on this thread and each other on one of `threads`, and keeps
/// their order.
pub fn for_each<I: Send, T: Send>(
    threads: &[WorkerThread],
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    let mut items = items.into_iter();
    let mut results = Vec::new();
    if let Some(first) = items.next() {
        spread(threads, first, items, &work, &mut results);
    }
    results.reverse();
    results
}

/// Results come last to first.
fn spread<I: Send, T: Send>(
    threads: &[WorkerThread],
    item: I,
    mut others: impl Iterator<Item = I>,
    work: &(impl Fn(I) -> T + Sync),
    results: &mut Vec<T>,
) {
    let (Some(next), Some((thread, threads))) = (others.next(), threads.split_first()) else {
        return results.push(work(item));
    };
    let mut result = None;
    thread.0.in_place_scope(|scope| {
        scope.spawn(|_| result = Some(work(item)));
        spread(threads, next, others, work, results);
    });
    results.extend(result);
}

/// Does `work`, whatever of it the compiler inlines compiled for the widest vectors of this processor.
pub fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}
