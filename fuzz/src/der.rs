//! Elements of DER, as certificates and requests consist of, and what a key signs.

use rcgen::{KeyPair, SigningKey};

/// ecdsa-with-SHA256, in DER: what keys sign with.
pub(crate) const ECDSA_SHA256: [u8; 12] = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// The tag of a sequence.
pub(crate) const SEQUENCE: u8 = 0x30;

/// An element: its tag, its length, and its content.
pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let mut element = vec![tag];
    if content.len() < 0x80 {
        element.push(length[length.len() - 1]);
    } else {
        let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
        element.push(0x80 | length.len() as u8);
        element.extend(length);
    }
    element.extend(content);
    element
}

/// `content`, an element, with the signature of `key`.
pub(crate) fn signed(key: &KeyPair, content: &[u8]) -> Vec<u8> {
    let signature = key.sign(content).expect("a signature");
    let bits = der(3, &[&[0][..], &signature].concat());
    der(SEQUENCE, &[content, &ECDSA_SHA256[..], &bits].concat())
}
