//! What strangers say to a port, as bytes: greetings of TLS that lead nowhere, and streams of HTTP/2 with messages that are
//! not what they announce. None of it needs a key.

/// The first bytes of a TLS greeting of 512 bytes, whose rest does not come.
pub const HALF_GREETING: [u8; 6] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
/// HTTP/2's preface and an empty SETTINGS frame.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The path of a party's stream in training.
pub const JOIN: &str = "/hashvfl.v1.Federation/Join";
/// The path of a client's stream.
pub const PREDICT: &str = "/hashvfl.v1.Inference/Predict";
/// Bytes of messages that a stream may send before the other side has said anything.
pub const FIRST_WINDOW: usize = 65_535;

/// Bytes of a frame of HTTP/2 at most.
const FRAME_BYTES: usize = 16 << 10;

/// A whole greeting of TLS 1.3: whoever answers it has made a key, and signed.
pub fn client_hello() -> Vec<u8> {
    let extensions = [
        // TLS 1.3; the group X25519; signatures by Ed25519, P-256, P-384 and RSA; the protocol h2.
        extension(0x2b, &[2, 0x03, 0x04]),
        extension(0x0a, &[0, 2, 0x00, 0x1d]),
        extension(0x0d, &[0, 8, 0x08, 0x07, 0x04, 0x03, 0x05, 0x03, 0x08, 0x04]),
        extension(0x10, &[0, 3, 2, b'h', b'2']),
        // Half of a key that nobody has.
        extension(0x33, &[&[0, 36, 0x00, 0x1d, 0, 32][..], &[7; 32]].concat()),
    ]
    .concat();
    // The version of before, a number, no session, three suites, no compression.
    let suites = [0, 6, 0x13, 0x01, 0x13, 0x02, 0x13, 0x03];
    let body = [&[3, 3][..], &[42; 32], &[0], &suites, &[1, 0], &with_length(&extensions)].concat();
    let greeting = [&[1, 0][..], &with_length(&body)].concat();
    [&[0x16, 3, 1][..], &with_length(&greeting)].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(content)].concat()
}

/// Bytes behind their number, of two bytes.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    // All of a greeting is short.
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// HTTP/2 up to the first message of a stream at `path`.
pub fn stream(path: &str) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    // POST and http, then names by their number in HPACK's table, or as texts.
    let headers = [
        vec![0x83, 0x86, 0x04],
        text(path),
        vec![0x01],
        text("coordinator"),
        vec![0x0f, 0x10],
        text("application/grpc"),
        vec![0x00],
        text("te"),
        text("trailers"),
    ]
    .concat();
    [PREFACE, &frame(1, 4, &headers)].concat()
}

/// Bytes of that stream's messages, in frames.
pub fn data(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(FRAME_BYTES).flat_map(|chunk| frame(0, 0, chunk)).collect()
}

fn frame(kind: u8, flags: u8, content: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (content.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, 1][..], content].concat()
}

/// What announces a message of so many bytes.
pub fn announced(bytes: u32) -> Vec<u8> {
    [&[0][..], &bytes.to_be_bytes()].concat()
}

/// The beginning of a stream at `path` with a message of so many bytes, which are `element` again and again; as much of it as
/// may be sent before the other side has said anything.
pub fn long_message(path: &str, bytes: u32, element: [u8; 2]) -> Vec<u8> {
    let sent = (bytes as usize).min(FIRST_WINDOW - 5) / element.len();
    let message = [announced(bytes), element.repeat(sent)].concat();
    [stream(path), data(&message)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_what_follows() {
        let greeting = client_hello();
        assert_eq!(usize::from(u16::from_be_bytes([greeting[3], greeting[4]])), greeting.len() - 5);
        assert_eq!(usize::from(u16::from_be_bytes([greeting[7], greeting[8]])), greeting.len() - 9);
        let begun = stream(JOIN);
        let headers = &begun[PREFACE.len()..];
        assert_eq!(usize::from(headers[2]), headers.len() - 9);
        let message = data(&[1; 20_000]);
        assert_eq!(message.len(), 20_000 + 2 * 9);
        assert_eq!(message[..3], [0, 0x40, 0]);
        let long = long_message(JOIN, 40 << 20, [0x22, 0]);
        assert!(long.len() <= begun.len() + FIRST_WINDOW + 4 * 9, "{}", long.len());
        assert_eq!(long[begun.len() + 9..][..7], [0, 2, 0x80, 0, 0, 0x22, 0]);
    }
}
