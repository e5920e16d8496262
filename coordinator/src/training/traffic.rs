//! Bytes on the wire, counted where messages are sent and received.

use hashvfl_core::RowSelection;
use serde::{Deserialize, Serialize};

/// A gRPC message's frame: one byte for compression, four for the length.
const FRAME_BYTES: u64 = 5;

/// Bytes between the coordinator and all parties, gRPC frames included, HTTP/2 and TCP not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// From parties, in all.
    pub up_bytes: u64,
    /// To parties, in all.
    pub down_bytes: u64,
    /// Records of all training batches, counted once per party.
    pub training_records: u64,
    training_up_bytes: u64,
    training_down_bytes: u64,
}

impl Traffic {
    /// Counts a message of `bytes` from a party, in answer to a request for these records, if it was for any; its bytes with
    /// the frame.
    pub fn up(&mut self, bytes: usize, selection: Option<RowSelection>) -> u64 {
        let bytes = bytes as u64 + FRAME_BYTES;
        self.up_bytes += bytes;
        if is_training(selection) {
            self.training_up_bytes += bytes;
        }
        bytes
    }

    /// Counts a message of `bytes` to a party that is about these records, if it is about any; its bytes with the frame.
    pub fn down(&mut self, bytes: usize, selection: Option<RowSelection>) -> u64 {
        let bytes = bytes as u64 + FRAME_BYTES;
        self.down_bytes += bytes;
        if is_training(selection) {
            self.training_down_bytes += bytes;
        }
        bytes
    }

    /// Bytes up and down for one record in one step at one party.
    pub fn per_record_and_step(&self) -> (f64, f64) {
        let records = self.training_records.max(1) as f64;
        (self.training_up_bytes as f64 / records, self.training_down_bytes as f64 / records)
    }
}

fn is_training(selection: Option<RowSelection>) -> bool {
    matches!(selection, Some(RowSelection::Batch { .. }))
}
