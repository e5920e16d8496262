//! All spans that there are, and all that they tell. Each ends when it and all below it are dropped.
//!
//! `otel.name` and `otel.kind` are what tracing's users call a span's name and kind in OpenTelemetry. A `server`'s span is
//! about what another side asked for.

use tracing::{Span, trace_span};

/// What a side does in the run `run`; `party` where the side is one.
pub fn run(run: &str, party: Option<&str>) -> Span {
    crate::say_trouble();
    trace_span!("run", run = %run, party)
}

/// What `holder` does to align records for the run `run`.
pub fn alignment(run: &str, holder: &str) -> Span {
    crate::say_trouble();
    trace_span!("alignment", run = %run, party = holder)
}

/// Until all parties have joined, below the span that this thread is in.
pub fn joining() -> Span {
    trace_span!("joining")
}

/// The epoch `epoch`, from 1, below the span that this thread is in.
pub fn epoch(epoch: u32) -> Span {
    trace_span!("epoch", epoch)
}

/// A step of the run `run` at the coordinator, which asks for `request`; `batch` is the epoch, from 1, and the batch in it,
/// where it has one.
pub fn step(run: &str, step: u64, request: &str, batch: Option<(u32, u32)>) -> Span {
    let (epoch, batch) = batch.unzip();
    trace_span!(parent: None, "step", run = %run, step, request, epoch, batch)
}

/// A wait for the answer of `party`, below `step`.
pub fn waiting(step: &Span, party: &str) -> Span {
    trace_span!(parent: step, "waiting", otel.kind = "client", party)
}

/// What a party does when it is asked for `request` at a step, or is told a gradient.
pub fn answer(run: &str, step: u64, party: &str, request: &str) -> Span {
    trace_span!(parent: None, "answer", otel.kind = "server", otel.name = request, run = %run, step, party)
}

/// A client's request for predictions of so many `records`.
pub fn prediction(run: &str, records: usize) -> Span {
    crate::say_trouble();
    trace_span!(parent: None, "predict", otel.kind = "server", run = %run, records)
}

/// A wait for codes of so many `records` of `party`, below `prediction`. [`numbered`] says later which of its requests it was.
pub fn codes(prediction: &Span, party: &str, records: usize) -> Span {
    let request = tracing::field::Empty;
    trace_span!(parent: prediction, "codes", otel.kind = "client", party, records, request)
}

/// Says that `codes` was the request `number` of its stream.
pub fn numbered(codes: &Span, number: u64) {
    codes.record("request", number);
}

/// What a party does when it is asked for codes of so many `records` that are served.
pub fn codes_request(run: &str, party: &str, request: u64, records: usize) -> Span {
    crate::say_trouble();
    trace_span!(parent: None, "codes", otel.kind = "server", run = %run, party, request, records)
}
