//! What holders say to each other inside the seal, and the frame around it.

use crate::error::PeerFault;
use crate::route::{Load, Route};

/// A message between two holders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The next part of a load.
    Chunk {
        /// Of which load.
        route: Route,
        /// Its number, from 0.
        index: u32,
        /// Items of the whole load.
        total: u64,
        /// The items.
        bytes: Vec<u8>,
    },
    /// How many chunks of a load are safe on disk.
    Have {
        /// Of which load.
        route: Route,
        /// Chunks.
        chunks: u32,
    },
    /// The sender is through, and needs nothing more of anybody.
    Done,
    /// The sender cannot go on.
    Failed,
}

const CHUNK: u8 = 1;
const HAVE: u8 = 2;
const DONE: u8 = 3;
const FAILED: u8 = 4;

impl Message {
    /// The message as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Chunk { route, index, total, bytes } => {
                let mut out = Vec::with_capacity(bytes.len() + 16);
                out.push(CHUNK);
                put_route(&mut out, *route);
                out.extend(index.to_le_bytes());
                out.extend(total.to_le_bytes());
                out.extend(bytes);
                out
            }
            Self::Have { route, chunks } => {
                let mut out = vec![HAVE];
                put_route(&mut out, *route);
                out.extend(chunks.to_le_bytes());
                out
            }
            Self::Done => vec![DONE],
            Self::Failed => vec![FAILED],
        }
    }

    /// Reads a message.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PeerFault> {
        let (kind, rest) = bytes.split_first().ok_or(PeerFault::Message)?;
        match *kind {
            CHUNK => {
                let (route, rest) = take_route(rest)?;
                let (index, rest) = rest.split_first_chunk().ok_or(PeerFault::Message)?;
                let (total, rest) = rest.split_first_chunk().ok_or(PeerFault::Message)?;
                let (index, total) = (u32::from_le_bytes(*index), u64::from_le_bytes(*total));
                Ok(Self::Chunk { route, index, total, bytes: rest.to_vec() })
            }
            HAVE => {
                let (route, rest) = take_route(rest)?;
                let chunks = rest.try_into().map_err(|_| PeerFault::Message)?;
                Ok(Self::Have { route, chunks: u32::from_le_bytes(chunks) })
            }
            DONE if rest.is_empty() => Ok(Self::Done),
            FAILED if rest.is_empty() => Ok(Self::Failed),
            _ => Err(PeerFault::Message),
        }
    }
}

fn put_route(out: &mut Vec<u8>, route: Route) {
    let load = match route.load {
        Load::Points => 0,
        Load::Tags => 1,
        Load::Verdict => 2,
    };
    out.extend([load, route.set, route.hop]);
}

fn take_route(bytes: &[u8]) -> Result<(Route, &[u8]), PeerFault> {
    let ([load, set, hop], rest) = bytes.split_first_chunk().ok_or(PeerFault::Message)?;
    let load = match load {
        0 => Load::Points,
        1 => Load::Tags,
        2 => Load::Verdict,
        _ => return Err(PeerFault::Message),
    };
    Ok((Route { load, set: *set, hop: *hop }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_survive_and_garbage_does_not_panic(
            load in 0_u8..3, set: u8, hop: u8, index: u32, total: u64,
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let load = [Load::Points, Load::Tags, Load::Verdict][usize::from(load)];
            let route = Route { load, set, hop };
            let chunk = Message::Chunk { route, index, total, bytes: bytes.clone() };
            for message in [chunk, Message::Have { route, chunks: index }, Message::Done, Message::Failed] {
                prop_assert_eq!(Message::from_bytes(&message.to_bytes()), Ok(message));
            }
            let _ = Message::from_bytes(&bytes);
        }
    }
}
