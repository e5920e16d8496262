//! How an input says more than one thing: pieces behind their lengths, and changes to bytes that a target makes itself.

/// Bytes of one change: where, and how.
const CHANGE_BYTES: usize = 3;

/// Cuts an input into pieces, each behind its length in two bytes, the lower one first. The last one may be cut off.
pub(crate) fn pieces(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (piece, rest) = rest.split_at(length);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// A piece as [`pieces`] reads it.
///
/// # Panics
/// If it has more than 65,535 bytes.
pub(crate) fn piece(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a piece of less than 64 KiB");
    [&length.to_le_bytes()[..], bytes].concat()
}

/// Whether `changes` change nothing wherever they are applied.
pub(crate) fn is_unchanged(changes: &[u8]) -> bool {
    changes.chunks_exact(CHANGE_BYTES).all(|change| change[2] == 0)
}

/// Applies those of `changes` to `bytes` that are about bytes from `start` on.
pub(crate) fn change(bytes: &mut [u8], start: usize, changes: &[u8]) {
    for change in changes.chunks_exact(CHANGE_BYTES) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if let Some(byte) = at.checked_sub(start).and_then(|at| bytes.get_mut(at)) {
            *byte ^= change[2];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_and_the_last_may_be_cut_off() {
        let bytes = [piece(b"one"), piece(b""), piece(b"two")].concat();
        assert_eq!(pieces(&bytes), [&b"one"[..], b"", b"two"]);
        assert_eq!(pieces(&bytes[..bytes.len() - 1]), [&b"one"[..], b"", b"tw"]);
        assert_eq!(pieces(&[1]), Vec::<&[u8]>::new());
    }

    #[test]
    fn changes_are_applied_where_they_belong() {
        let (mut bytes, changes) = ([0; 4], [5, 0, 0xff, 9, 0, 1, 0, 0, 7, 1]);
        change(&mut bytes, 4, &changes);
        assert_eq!(
            (bytes, is_unchanged(&changes), is_unchanged(&[5, 0, 0, 9])),
            ([0, 0xff, 0, 0], false, true)
        );
    }
}
