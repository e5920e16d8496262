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
pub struct Own(ThreadPool);

impl Own {
    /// Starts the thread.
    ///
    /// # Panics
    /// If the operating system gives no thread.
    pub fn start() -> Self {
        Self(ThreadPoolBuilder::new().num_threads(1).build().expect("a thread"))
    }

    /// Runs `work` there and waits for it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.0.install(work)
    }
}

/// Does `work` on all `items` at the same time, each on a thread of its own, and keeps their order.
pub fn for_each<I: Send, T: Send>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> T + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let running: Vec<_> = items.into_iter().map(|item| scope.spawn(|| work(item))).collect();
        let join = |handle: std::thread::ScopedJoinHandle<T>| {
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(join).collect()
    })
}

/// Does `work`, whatever of it the compiler inlines compiled for the widest vectors of this processor.
pub fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}
