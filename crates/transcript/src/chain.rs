//! The chain of SHA-256 over steps.

use hashvfl_core::Digest;

use crate::RecordedStep;
use crate::ValueEncoding;

/// The link of a step: over the link before it and all that the step holds. `values` are each party's name and the
/// concatenated values of the step's records.
pub(crate) fn link<'a>(
    before: &Digest,
    step: RecordedStep,
    records: &[u32],
    encoding: ValueEncoding,
    values: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Digest {
    let (name, epoch) = step.kind.columns();
    let numbers: Vec<u8> = records.iter().flat_map(|record| record.to_le_bytes()).collect();
    let (number, epoch) = (step.number.to_le_bytes(), epoch.to_le_bytes());
    let head = [&before.0[..], &number, name.as_bytes(), &epoch, &numbers, encoding.name().as_bytes()];
    let tail = values.flat_map(|(party, bytes)| [party.as_bytes(), bytes]);
    Digest::of_parts(head.into_iter().chain(tail))
}
