//! Request targets as people write them: `curl 'http://…/t?select=data->>a&name=in.("x,y")'`.
//!
//! RFC 3986 wants some characters percent-encoded that curl and others send as they are. Most servers take them, and
//! PostgREST's documentation is full of them; hyper answers 400. So request lines are encoded before hyper reads them.

use tokio::io::ReadBuf;

/// Whether a byte of a request line is passed on percent-encoded.
pub(super) fn wants_encoding(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`')
}

/// Bytes that have been read and encoded, and that the reader's buffer had no room for.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    bytes: Vec<u8>,
    passed_on: usize,
}

impl Encoded {
    /// Whether everything has been passed on.
    pub(super) fn is_empty(&self) -> bool {
        self.passed_on == self.bytes.len()
    }

    /// Passes on what fits.
    pub(super) fn pass_on(&mut self, buffer: &mut ReadBuf<'_>) {
        let left = &self.bytes[self.passed_on..];
        let fitting = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..fitting]);
        self.passed_on += fitting;
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Encodes what a read has added to the buffer behind `before`, at `places` counted from there.
    pub(super) fn encode(&mut self, buffer: &mut ReadBuf<'_>, before: usize, places: &[usize]) {
        let read = &buffer.filled()[before..];
        let mut bytes = Vec::with_capacity(read.len() + 2 * places.len());
        let mut copied = 0;
        for &at in places {
            bytes.extend_from_slice(&read[copied..at]);
            bytes.extend_from_slice(format!("%{:02X}", read[at]).as_bytes());
            copied = at + 1;
        }
        bytes.extend_from_slice(&read[copied..]);
        buffer.set_filled(before);
        *self = Self { bytes, passed_on: 0 };
        self.pass_on(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_comes_with_the_next_read() {
        let mut storage = [0; 8];
        let mut buffer = ReadBuf::new(&mut storage);
        buffer.put_slice(b"__a\"b>c");
        let mut encoded = Encoded::default();
        encoded.encode(&mut buffer, 2, &[1, 3]);
        assert_eq!(buffer.filled(), b"__a%22b%");
        assert!(!encoded.is_empty());
        buffer.clear();
        encoded.pass_on(&mut buffer);
        assert_eq!(buffer.filled(), b"3Ec");
        assert!(encoded.is_empty());
    }
}
