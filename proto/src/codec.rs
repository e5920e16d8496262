//! From bytes to generated messages: counts are checked on the raw bytes, before anything is allocated.
//!
//! An empty element of a list takes two bytes on the wire and dozens in memory. So a message within its length can still
//! become many times as large. [`Scanned`] says of each message which lists it has and how long they may be.

use std::marker::PhantomData;

use hashvfl_core::limits::{
    MAX_BATCH_ROWS, MAX_BITS, MAX_CHECKPOINTS, MAX_CLASSES, MAX_PARTIES, MAX_PREDICT_IDS, MAX_REQUEST_ROWS,
    MAX_SETTINGS,
};
use prost::Message;
use prost::bytes::Buf;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstDecoder, ProstEncoder};

use crate::v1;

/// A list in a message.
#[derive(Debug, Clone, Copy)]
pub struct List {
    /// Numbers of the fields from the message to the list.
    path: &'static [u32],
    element: Element,
    most: usize,
    what: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    /// Strings or messages: one to a field.
    Item,
    /// Integers: one to a field, or several packed.
    Varint,
    /// Floats: one to a field, or several packed.
    Float,
}

/// A message whose lists are counted before it is decoded.
pub trait Scanned: Message + Default + 'static {
    /// Its lists.
    const LISTS: &'static [List];
}

/// A list of that kind at that path.
macro_rules! lists {
    ($($message:ty { $($what:literal: $element:ident at $path:expr, most $most:expr;)* })*) => {
        $(impl Scanned for $message {
            const LISTS: &'static [List] =
                &[$(List { path: &$path, element: Element::$element, most: $most, what: $what }),*];
        })*
    };
}

lists! {
    v1::PartyMessage {
        "settings": Item at [1, 4], most MAX_SETTINGS;
        "checkpoints": Item at [2, 5], most MAX_CHECKPOINTS;
    }
    v1::CoordinatorMessage {
        "gradient values": Float at [5, 2, 1], most MAX_BATCH_ROWS * MAX_BITS;
        "gradient scales": Float at [5, 3, 1], most MAX_BATCH_ROWS;
        "heads at the beginning": Item at [10, 2, 1], most MAX_PARTIES + 1;
        "heads at the end": Item at [12, 1], most MAX_PARTIES + 1;
    }
    v1::ServingPartyMessage {
        "settings": Item at [1, 4], most MAX_SETTINGS;
        "refused records": Varint at [3, 2], most MAX_REQUEST_ROWS;
    }
    v1::ServingCoordinatorMessage { "rows": Varint at [4, 2], most MAX_REQUEST_ROWS; }
    v1::HolderMessage { "settings": Item at [1, 3], most MAX_SETTINGS; }
    v1::RelayMessage {}
    v1::PredictRequest { "record ids": Item at [1], most MAX_PREDICT_IDS; }
    v1::PredictResponse {
        "parties": Item at [1, 2], most MAX_PARTIES;
        "classes": Item at [1, 3], most MAX_CLASSES;
        "outcomes": Varint at [2, 1], most MAX_PREDICT_IDS;
        "predicted classes": Varint at [2, 2], most MAX_PREDICT_IDS;
        "took part": Varint at [2, 5], most MAX_PREDICT_IDS;
        "flags": Varint at [2, 9], most MAX_PREDICT_IDS;
    }
}

/// Why bytes are not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A list is too long.
    #[error("a message holds too many {what}: at most {most} are allowed")]
    TooMany {
        /// The list.
        what: &'static str,
        /// Its limit.
        most: usize,
    },
    /// The bytes are no message.
    #[error("a message is not well formed")]
    Malformed,
}

/// Counts the elements of all lists of `M` in its bytes.
///
/// # Errors
/// If a list is too long, or the bytes are no message.
pub fn scan<M: Scanned>(bytes: &[u8]) -> Result<(), ScanError> {
    let mut counts = vec![0; M::LISTS.len()];
    scan_level(bytes, M::LISTS, &mut Vec::new(), &mut counts)
}

fn scan_level(
    mut bytes: &[u8],
    lists: &[List],
    path: &mut Vec<u32>,
    counts: &mut [usize],
) -> Result<(), ScanError> {
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let field = u32::try_from(key >> 3).map_err(|_| ScanError::Malformed)?;
        path.push(field);
        let payload = match key & 7 {
            0 => {
                take_varint(&mut bytes)?;
                None
            }
            1 => take(&mut bytes, 8).map(|_| None)?,
            2 => {
                let length = take_varint(&mut bytes)?;
                Some(take(&mut bytes, length)?)
            }
            5 => take(&mut bytes, 4).map(|_| None)?,
            // Groups are of no message of this protocol, and nest.
            _ => return Err(ScanError::Malformed),
        };
        let mut goes_on = false;
        for (list, count) in lists.iter().zip(counts.iter_mut()) {
            if list.path == path.as_slice() {
                *count += elements(list.element, payload);
                if *count > list.most {
                    return Err(ScanError::TooMany { what: list.what, most: list.most });
                }
            }
            goes_on |= list.path.len() > path.len() && list.path.starts_with(path);
        }
        if let Some(inner) = payload.filter(|_| goes_on) {
            scan_level(inner, lists, path, counts)?;
        }
        path.pop();
    }
    Ok(())
}

fn elements(element: Element, payload: Option<&[u8]>) -> usize {
    match (element, payload) {
        (Element::Item, _) | (_, None) => 1,
        (Element::Varint, Some(packed)) => packed.iter().filter(|byte| **byte < 0x80).count(),
        (Element::Float, Some(packed)) => packed.len() / 4,
    }
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, ScanError> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or(ScanError::Malformed)?;
        *bytes = rest;
        value |= u64::from(first & 0x7f).checked_shl(shift).unwrap_or(0);
        if *first < 0x80 {
            return Ok(value);
        }
    }
    Err(ScanError::Malformed)
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], ScanError> {
    let length = usize::try_from(length).map_err(|_| ScanError::Malformed)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(ScanError::Malformed)?;
    *bytes = rest;
    Ok(taken)
}

/// The codec of every service: prost's, behind [`scan`].
#[derive(Debug, Clone)]
pub struct ScannedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for ScannedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Scanned + Send> Codec for ScannedCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ScannedDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> ScannedDecoder<U> {
        ScannedDecoder(ProstDecoder::default())
    }
}

/// Decodes what [`scan`] lets through.
#[derive(Debug, Clone)]
pub struct ScannedDecoder<U>(ProstDecoder<U>);

impl<U: Scanned + Send> Decoder for ScannedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // The whole message lies in one piece.
        if buffer.chunk().len() != buffer.remaining() {
            return Err(Status::internal("a message in pieces"));
        }
        match scan::<U>(buffer.chunk()) {
            Ok(()) => self.0.decode(buffer),
            Err(error) => Err(Status::out_of_range(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn predict(ids: usize) -> Vec<u8> {
        v1::PredictRequest { ids: vec![String::new(); ids] }.encode_to_vec()
    }

    fn hello(settings: usize) -> v1::PartyMessage {
        let settings = vec![v1::Setting::default(); settings];
        let hello = v1::Hello { settings, ..v1::Hello::default() };
        v1::PartyMessage { message: Some(v1::party_message::Message::Hello(hello)) }
    }

    #[test]
    fn lists_that_are_too_long_are_refused_before_they_are_decoded() {
        assert_eq!(scan::<v1::PredictRequest>(&predict(MAX_PREDICT_IDS)), Ok(()));
        let many = ScanError::TooMany { what: "record ids", most: MAX_PREDICT_IDS };
        assert_eq!(scan::<v1::PredictRequest>(&predict(MAX_PREDICT_IDS + 1)), Err(many));
        assert_eq!(scan::<v1::PartyMessage>(&hello(MAX_SETTINGS).encode_to_vec()), Ok(()));
        let many = Err(ScanError::TooMany { what: "settings", most: MAX_SETTINGS });
        assert_eq!(scan::<v1::PartyMessage>(&hello(MAX_SETTINGS + 1).encode_to_vec()), many);
        // prost joins a message that comes in parts.
        let parts = [hello(MAX_SETTINGS).encode_to_vec(), hello(1).encode_to_vec()].concat();
        assert_eq!(scan::<v1::PartyMessage>(&parts), many);
    }

    #[test]
    fn packed_numbers_count_one_by_one() {
        let asked = |rows: usize| {
            let encode = v1::EncodeRows { request: 1, gaps: vec![300; rows] };
            v1::ServingCoordinatorMessage {
                message: Some(v1::serving_coordinator_message::Message::Encode(encode)),
            }
            .encode_to_vec()
        };
        assert_eq!(scan::<v1::ServingCoordinatorMessage>(&asked(MAX_REQUEST_ROWS)), Ok(()));
        let many = ScanError::TooMany { what: "rows", most: MAX_REQUEST_ROWS };
        assert_eq!(scan::<v1::ServingCoordinatorMessage>(&asked(MAX_REQUEST_ROWS + 1)), Err(many));
        // A group, and a length beyond the end.
        for bytes in [&[0x0b][..], &[0x0a, 5, 1], &[0xff; 11]] {
            assert_eq!(scan::<v1::ServingCoordinatorMessage>(bytes), Err(ScanError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn what_prost_writes_passes_and_no_bytes_panic(
            settings in 0_usize..9,
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            prop_assert_eq!(scan::<v1::PartyMessage>(&hello(settings).encode_to_vec()), Ok(()));
            let _ = scan::<v1::PartyMessage>(&bytes);
            let _ = scan::<v1::PredictResponse>(&bytes);
        }
    }
}
