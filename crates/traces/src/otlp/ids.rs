//! Ids of traces that both sides know.

use opentelemetry::trace::{SpanId, TraceId};
use sha2::{Digest, Sha256};

/// A trace that a run's id names, and the step where it is one's.
pub struct SharedTrace {
    /// The trace.
    pub id: TraceId,
    /// The span of the side that asks.
    pub root: SpanId,
}

/// The trace of the run `run`, or of its step `step`.
pub fn shared(run: &str, step: Option<u64>) -> SharedTrace {
    let mut digest = Sha256::new();
    digest.update(b"hashvfl trace\0");
    digest.update(run.as_bytes());
    if let Some(step) = step {
        // No run's id has a zero byte.
        digest.update([0]);
        digest.update(step.to_le_bytes());
    }
    let digest: [u8; 32] = digest.finalize().into();
    let (mut trace, mut root) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&digest[..16]);
    root.copy_from_slice(&digest[16..24]);
    SharedTrace { id: TraceId::from_bytes(trace), root: SpanId::from_bytes(root) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_follows_from_run_and_step() {
        let of = |run, step| shared(run, step).id;
        assert_eq!(of("spring", Some(7)), of("spring", Some(7)));
        for other in [of("spring", Some(8)), of("autumn", Some(7)), of("spring", None)] {
            assert_ne!(of("spring", Some(7)), other);
        }
        // As `printf 'hashvfl trace\0spring' | sha256sum` has it: sides of other versions compute the same.
        assert_eq!(of("spring", None).to_string(), "900d644148bab8ff9d069b0fdc0e683b");
    }
}
