//! As much of HTTP/2 as whoever sends bytes to a gRPC peer needs: frames, and headers in HPACK's literals.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::pieces::pieces;

/// What whoever dials says first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER_BYTES: usize = 9;
/// Most bytes of a frame's content, unless a peer says otherwise.
const MOST_BYTES: usize = 16 << 10;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame.
fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = (content.len() as u32).to_be_bytes();
    [&[high, middle, low, kind, flags, 0, 0, 0, stream][..], content].concat()
}

/// Settings that say nothing.
pub(crate) fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// A field whose name is the one of this number in HPACK's table. The value is cut to 126 bytes.
fn field(name: u8, value: &[u8]) -> Vec<u8> {
    let value = &value[..value.len().min(126)];
    let number = if name < 15 { vec![name] } else { vec![15, name - 15] };
    [&number[..], &[value.len() as u8], value].concat()
}

/// A request for this path on the first stream.
pub(crate) fn request(path: &str) -> Vec<u8> {
    // POST over http, to a name, of gRPC; te: trailers.
    let fields = [
        &[0x83, 0x86][..],
        &field(4, path.as_bytes()),
        &field(1, b"coordinator"),
        &field(31, b"application/grpc"),
        b"\x00\x02te\x08trailers",
    ];
    frame(HEADERS, END_HEADERS, 1, &fields.concat())
}

/// The beginning of an answer on the first stream.
pub(crate) fn answer() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &[&[0x88][..], &field(31, b"application/grpc")].concat())
}

/// An answer on the first stream that there is no such method, with this date.
pub(crate) fn refusal(date: &[u8]) -> Vec<u8> {
    let fields =
        [&[0x88][..], &field(31, b"application/grpc"), &field(33, date), b"\x00\x0bgrpc-status\x0212"];
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields.concat())
}

/// The messages that pieces are, in frames of `cut` bytes. A piece that begins with an odd byte is a message behind gRPC's
/// header; any other stands as it is, without its first byte.
pub(crate) fn messages(cut: u8, bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    for piece in pieces(bytes) {
        let Some((kind, piece)) = piece.split_first() else { continue };
        if kind % 2 == 1 {
            content.push(0);
            content.extend((piece.len() as u32).to_be_bytes());
        }
        content.extend(piece);
    }
    let most = if cut == 0 { MOST_BYTES } else { usize::from(cut) };
    content.chunks(most).flat_map(|content| frame(DATA, 0, 1, content)).collect()
}

/// Reads frames until one of headers has come, or the other side has ended. The first `skipped` bytes are no frames.
pub(crate) async fn until_headers(stream: &mut TcpStream, skipped: usize) {
    let (mut came, mut part, mut at) = (Vec::new(), [0; 4096], skipped);
    loop {
        while let Some([high, middle, low, kind, ..]) = came.get(at..at + HEADER_BYTES) {
            if *kind == HEADERS {
                return;
            }
            at += HEADER_BYTES + u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        }
        match stream.read(&mut part).await {
            Ok(count @ 1..) => came.extend_from_slice(&part[..count]),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pieces::piece;

    #[test]
    fn messages_are_framed_and_cut() {
        let bytes = [piece(&[1, 7, 8]), piece(&[0, 9])].concat();
        // A flag and a length in four bytes, two bytes, and one as it stands.
        assert_eq!(messages(0, &bytes), frame(DATA, 0, 1, &[0, 0, 0, 0, 2, 7, 8, 9]));
        let cut = [frame(DATA, 0, 1, &[0, 0, 0, 0, 2]), frame(DATA, 0, 1, &[7, 8, 9])].concat();
        assert_eq!(messages(5, &bytes), cut);
    }

    #[test]
    fn fields_are_literals() {
        assert_eq!(field(4, b"/a"), [4, 2, b'/', b'a']);
        assert_eq!(field(31, b"b"), [15, 16, 1, b'b']);
        assert_eq!(field(33, &[7; 200]).len(), 3 + 126);
    }
}
