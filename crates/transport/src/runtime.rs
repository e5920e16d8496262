//! The runtime of a process that dials.

use std::io;
use std::ops::Deref;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// Longest wait for what runs on threads of its own when the runtime ends.
const ENDING: Duration = Duration::from_secs(1);

/// A runtime that ends within a second. Looking up a name takes a thread, and as long as the name server likes: a process that
/// was asked to end must not wait for that.
pub struct NetworkRuntime(Option<Runtime>);

impl NetworkRuntime {
    /// Builds it.
    ///
    /// # Errors
    /// If the operating system gives no thread or no way to wait for sockets.
    pub fn build(builder: &mut Builder) -> io::Result<Self> {
        Ok(Self(Some(builder.enable_all().build()?)))
    }

    /// One that drives the network on a thread of its own.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn on_a_thread() -> io::Result<Self> {
        Self::build(Builder::new_multi_thread().worker_threads(1))
    }
}

impl Deref for NetworkRuntime {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        // Unwrap safety: it is there until it is dropped.
        self.0.as_ref().expect("a runtime")
    }
}

impl Drop for NetworkRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(ENDING);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_that_takes_long_keeps_nobody() {
        for builder in [&mut Builder::new_current_thread(), Builder::new_multi_thread().worker_threads(1)] {
            let runtime = NetworkRuntime::build(builder).unwrap();
            runtime.spawn_blocking(|| std::thread::sleep(Duration::from_secs(8)));
            let asked = Instant::now();
            drop(runtime);
            assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        }
    }
}
