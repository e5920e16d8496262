//! Bytes as hex digits, two for each.

/// The hex digits of bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a text in hex; `None` where it is none.
pub fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for at in (0..digits.len()).step_by(2) {
        bytes.push(u8::from_str_radix(&text[at..at + 2], 16).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_what_is_no_hex_is_refused() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes_of_hex(&hex(&bytes)), Some(bytes));
        assert_eq!(bytes_of_hex("0Ff0"), Some(vec![15, 240]));
        assert_eq!(bytes_of_hex(""), Some(Vec::new()));
        for text in ["0", "0g", "+f", "-0", " 1", "ä", "0äb"] {
            assert_eq!(bytes_of_hex(text), None, "{text}");
        }
    }
}
