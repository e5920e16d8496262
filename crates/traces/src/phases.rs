//! Spans that follow each other.

use tracing::{Span, trace_span};

use crate::spans;

/// A span whose time is divided into phases, one after the other.
#[derive(Default)]
pub struct Phases {
    // A span ends when all below it have: the phase is dropped first.
    phase: Option<Span>,
    whole: Option<Span>,
}

impl Phases {
    /// Begins `whole`, in no phase yet; what was before ends.
    pub fn begin(&mut self, whole: Span) {
        self.end();
        self.whole = Some(whole);
    }

    /// The phase `name` begins, and the one before ends. Outside of a span nothing does.
    pub fn phase(&mut self, name: &'static str) {
        self.phase = None;
        let Some(whole) = &self.whole else { return };
        self.phase = Some(trace_span!(parent: whole, "phase", otel.name = name));
    }

    /// The phase ends, and none begins yet.
    pub fn end_phase(&mut self) {
        self.phase = None;
    }

    /// The phase, or the whole where it is in none, for spans below it. Neither ends before what is returned is dropped.
    pub fn current(&self) -> Span {
        self.phase.as_ref().or(self.whole.as_ref()).cloned().unwrap_or_else(Span::none)
    }

    /// The span ends.
    pub fn end(&mut self) {
        self.phase = None;
        self.whole = None;
    }
}

/// The epoch that a run is in.
#[derive(Default)]
pub struct EpochSpan(Option<(u32, Span)>);

impl EpochSpan {
    /// The run is in the epoch `epoch`, from 1. Where that is another than before, that one ends, and this one begins below the
    /// span that this thread is in.
    pub fn at(&mut self, epoch: u32) {
        if self.0.as_ref().is_none_or(|(before, _)| *before != epoch) {
            self.0 = None;
            self.0 = Some((epoch, spans::epoch(epoch)));
        }
    }

    /// The run is behind its epochs.
    pub fn end(&mut self) {
        self.0 = None;
    }
}
