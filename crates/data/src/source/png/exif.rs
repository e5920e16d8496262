//! What EXIF data say of how an image is to be shown.

/// Tag of the orientation.
const ORIENTATION: u16 = 0x0112;
/// Bytes of an entry: tag, type, count and value.
const ENTRY_BYTES: usize = 12;

/// Whether programs that follow EXIF data show the image turned or mirrored.
pub(crate) fn is_turned(exif: &[u8]) -> bool {
    orientation(exif).is_some_and(|orientation| (2..=8).contains(&orientation))
}

/// The orientation in the first directory; 1 is that of the pixels as they are stored.
fn orientation(exif: &[u8]) -> Option<u16> {
    let (order, rest) = exif.split_first_chunk::<2>()?;
    let is_big = match order {
        b"MM" => true,
        b"II" => false,
        _ => return None,
    };
    let offset = rest.get(2..)?.first_chunk::<4>().copied()?;
    let offset = if is_big { u32::from_be_bytes(offset) } else { u32::from_le_bytes(offset) };
    let (count, entries) = exif.get(offset as usize..)?.split_first_chunk::<2>()?;
    let mut entries = entries.chunks_exact(ENTRY_BYTES).take(usize::from(number(*count, is_big)));
    let entry = entries.find(|entry| number([entry[0], entry[1]], is_big) == ORIENTATION)?;
    Some(number([entry[8], entry[9]], is_big))
}

fn number(bytes: [u8; 2], is_big: bool) -> u16 {
    if is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orientation_is_found_in_both_orders_of_bytes_and_nothing_else_is() {
        let little = b"II*\0\x08\0\0\0\x02\0\
            \x0f\x01\x02\0\x01\0\0\0a\0\0\0\
            \x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0";
        assert_eq!([&little[..], big].map(orientation), [Some(6), Some(3)]);
        assert!(is_turned(little) && is_turned(big));
        let mut upright = little.to_vec();
        upright[30] = 1;
        assert!(!is_turned(&upright));
        for cut in 0..32 {
            assert!(!is_turned(&little[..cut]), "{cut}");
        }
        assert!(!is_turned(b"II*\0\xff\xff\xff\xff\x01\0") && !is_turned(b"Exif\0\0II*\0"));
    }
}
