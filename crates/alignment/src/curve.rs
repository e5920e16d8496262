//! The arithmetic: ids to points of ristretto255, points times a secret scalar.
//!
//! Points are hashed as ristretto255_XMD:SHA-512_R255MAP_RO_ of RFC 9380 (appendix B) with our own domain separation
//! tag, and travel in the canonical encoding of RFC 9496. A holder's factor is twice its scalar: the library encodes
//! doubled points in batches, with one inversion per batch. Every set passes through every factor, so all come out
//! alike.

use std::fmt;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, IsIdentity};
use rand::TryRng;
use rayon::prelude::*;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroize;

/// Bytes of an encoded point.
pub const POINT_BYTES: usize = 32;
/// The domain of the hash to the group (RFC 9380, section 3.1).
const DOMAIN: &[u8] = b"HashVFL-V01-alignment-with-ristretto255_XMD:SHA-512_R255MAP_RO_";
/// Points that share one inversion, and the least that a thread takes.
const BATCH: usize = 64;

/// An encoded point.
pub type Encoded = [u8; POINT_BYTES];

/// A point that no honest holder sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPoint {
    /// Off the group, or not in its one encoding.
    #[error("a point is not canonical or not of the group")]
    Encoding,
    /// The neutral element: any scalar leaves it as it is.
    #[error("a point is the identity")]
    Identity,
}

/// A holder's secret scalar of one alignment. It is wiped from memory when dropped.
pub struct Secret(Scalar);

impl Secret {
    /// Draws a scalar from the operating system.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn draw() -> Result<Self, std::io::Error> {
        let mut wide = [0; 64];
        rand::rngs::SysRng.try_fill_bytes(&mut wide).map_err(std::io::Error::other)?;
        let scalar = Scalar::from_bytes_mod_order_wide(&wide);
        wide.zeroize();
        if scalar == Scalar::ZERO { Self::draw() } else { Ok(Self(scalar)) }
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; 32]) -> Option<Self> {
        let scalar: Option<Scalar> = Scalar::from_canonical_bytes(bytes).into();
        scalar.filter(|scalar| *scalar != Scalar::ZERO).map(Self)
    }

    /// The scalar's bytes: secret.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Hashes each message to the group and blinds it.
    pub fn blind(&self, messages: &[[u8; 32]]) -> Vec<Encoded> {
        self.batches(messages, |message| Ok(hash_to_group(message))).unwrap_or_default()
    }

    /// Blinds points of another holder.
    ///
    /// # Errors
    /// When one of them is no honest holder's.
    pub fn blind_again(&self, points: &[Encoded]) -> Result<Vec<Encoded>, BadPoint> {
        self.batches(points, decode)
    }

    fn batches(
        &self,
        inputs: &[[u8; 32]],
        point: impl Fn(&[u8; 32]) -> Result<RistrettoPoint, BadPoint> + Sync,
    ) -> Result<Vec<Encoded>, BadPoint> {
        let batch = |inputs: &[[u8; 32]]| {
            let blinded = inputs.iter().map(|input| Ok(point(input)? * self.0));
            let blinded = blinded.collect::<Result<Vec<RistrettoPoint>, BadPoint>>()?;
            Ok(RistrettoPoint::double_and_compress_batch(&blinded))
        };
        let batches = inputs.par_chunks(BATCH).map(batch).collect::<Result<Vec<_>, BadPoint>>()?;
        Ok(batches.into_iter().flatten().map(|point| point.to_bytes()).collect())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

fn decode(bytes: &Encoded) -> Result<RistrettoPoint, BadPoint> {
    let point = CompressedRistretto(*bytes).decompress().ok_or(BadPoint::Encoding)?;
    if point.is_identity() { Err(BadPoint::Identity) } else { Ok(point) }
}

/// The encoding of the identity, which no holder may send.
pub fn identity() -> Encoded {
    CompressedRistretto::identity().to_bytes()
}

fn hash_to_group(message: &[u8]) -> RistrettoPoint {
    RistrettoPoint::from_uniform_bytes(&expand_message(message, DOMAIN))
}

/// expand_message_xmd of RFC 9380, section 5.3.1, with SHA-512 and one block of output.
fn expand_message(message: &[u8], domain: &[u8]) -> [u8; 64] {
    let ending = [domain.len() as u8];
    let first = Sha512::new()
        .chain_update([0; 128])
        .chain_update(message)
        .chain_update([0, 64, 0])
        .chain_update(domain)
        .chain_update(ending)
        .finalize();
    Sha512::new()
        .chain_update(first)
        .chain_update([1])
        .chain_update(domain)
        .chain_update(ending)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(count: u8) -> Vec<[u8; 32]> {
        (0..count).map(|index| [index; 32]).collect()
    }

    #[test]
    fn scalars_commute_and_differ() {
        let (one, other) = (Secret::draw().unwrap(), Secret::draw().unwrap());
        let messages = messages(200);
        let forth = other.blind_again(&one.blind(&messages)).unwrap();
        let back = one.blind_again(&other.blind(&messages)).unwrap();
        assert_eq!(forth, back);
        assert_ne!(one.blind(&messages), other.blind(&messages));
        let kept = Secret::from_bytes(one.to_bytes()).unwrap();
        assert_eq!(kept.blind(&messages), one.blind(&messages));
    }

    #[test]
    fn points_that_no_honest_holder_sends_are_refused() {
        let secret = Secret::draw().unwrap();
        let good = secret.blind(&messages(3));
        let mut odd = good[0];
        odd[0] |= 1; // A negative field element.
        let mut large = [0xff; 32]; // p + 18, not reduced.
        large[31] = 0x7f;
        for bad in [odd, large, [0xff; 32]] {
            let refused = secret.blind_again(&[good[1], bad, good[2]]);
            assert_eq!(refused, Err(BadPoint::Encoding), "{bad:?}");
        }
        assert_eq!(secret.blind_again(&[identity()]), Err(BadPoint::Identity));
        assert!(Secret::from_bytes([0; 32]).is_none() && Secret::from_bytes([0xff; 32]).is_none());
    }

    /// RFC 9380, appendix K.3: expand_message_xmd(SHA-512) has vectors of 32 and 128 bytes; those of RFC 9497,
    /// appendix A.1.1.1 (OPRF with ristretto255-SHA512), go through the same map: the blinded element of the input 00
    /// is HashToGroup(input) times the blind.
    #[test]
    fn the_hash_to_the_group_is_that_of_the_rfcs() {
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
        };
        let domain = [b"HashToGroup-OPRFV1-\0-ristretto255-SHA512".as_slice()].concat();
        let blind = hex("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706");
        let blind = Scalar::from_canonical_bytes(blind.try_into().unwrap()).unwrap();
        let point = RistrettoPoint::from_uniform_bytes(&expand_message(&[0], &domain)) * blind;
        let expected = hex("609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c");
        assert_eq!(point.compress().to_bytes().to_vec(), expected);
    }
}
