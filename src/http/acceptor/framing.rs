//! Where one HTTP/1 request ends and the next begins, told from the bytes a client sends.
//!
//! Only what a deadline needs is understood: the lines of a head, the two headers that say how long the
//! body is, and the chunk sizes. Judging a message stays hyper's work: whatever this reading finds odd,
//! hyper refuses and closes, so it never has to fail. Line ends follow hyper's parser (`\r\n` or a bare
//! `\n`). Following the length of the body, rather than waiting for the response to begin, keeps a slow
//! upload apart from the next head even when the answer starts early, and pipelined heads apart from bodies.

use super::target;

/// Bytes of a line that are looked at; the longest line of interest, `Transfer-Encoding`, is far shorter.
const LINE_KEPT: usize = 256;

/// What is left of the HTTP/2 preface after `PRI * HTTP/2.0` and its blank line: `SM\r\n\r\n`.
const PREFACE_REST: u64 = 6;

/// The reading position in one connection's incoming bytes.
#[derive(Debug)]
pub(super) struct Framing {
    phase: Phase,
    /// The beginning of a line that has not ended yet, at most [`LINE_KEPT`] bytes of it.
    line: Vec<u8>,
    /// Where, in the bytes taken last, request lines have what is to be encoded.
    to_encode: Vec<usize>,
}

#[derive(Debug)]
enum Phase {
    /// Between requests: not one byte of the next head has come.
    Idle,
    /// Inside the lines of a head.
    Head(Head),
    /// A head that was the first part of the HTTP/2 preface; the rest of it is due.
    Preface { left: u64 },
    /// Inside a body of known length.
    Body { left: u64 },
    /// At the line that announces a chunk.
    ChunkSize,
    /// Inside a chunk, its closing `\r\n` included.
    Chunk { left: u64 },
    /// After the last chunk, until the blank line.
    Trailers,
    /// HTTP/2 from here on: nothing more to tell.
    Http2,
}

/// What the lines of a head have said so far.
#[derive(Debug, Default)]
struct Head {
    request_line_seen: bool,
    preface: bool,
    content_length: u64,
    chunked: bool,
}

impl Framing {
    /// Starts at the beginning of a connection.
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Idle,
            line: Vec::new(),
            to_encode: Vec::new(),
        }
    }

    /// Takes the next bytes; true when at least one head was completed by them.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        let mut head_completed = false;
        self.to_encode.clear();
        let all = bytes.len();
        while let Some(&first) = bytes.first() {
            match &mut self.phase {
                Phase::Http2 => break,
                Phase::Idle if matches!(first, b'\r' | b'\n') => bytes = &bytes[1..],
                Phase::Idle => self.phase = Phase::Head(Head::default()),
                Phase::Preface { left } | Phase::Body { left } | Phase::Chunk { left } => {
                    let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= taken as u64;
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        head_completed |= self.counted_out();
                    }
                }
                Phase::Head(_) | Phase::ChunkSize | Phase::Trailers => {
                    let (piece, rest, ended) = split_line(bytes);
                    if matches!(&self.phase, Phase::Head(head) if !head.request_line_seen) {
                        let start = all - bytes.len();
                        let places = piece
                            .iter()
                            .enumerate()
                            .filter(|(_, byte)| target::wants_encoding(**byte));
                        self.to_encode.extend(places.map(|(at, _)| start + at));
                    }
                    bytes = rest;
                    let room = LINE_KEPT.saturating_sub(self.line.len());
                    self.line.extend_from_slice(&piece[..piece.len().min(room)]);
                    if ended {
                        head_completed |= self.line_ended();
                    }
                }
            }
        }
        head_completed
    }

    /// Where, in the bytes taken last, request lines have what [`target`] encodes.
    pub(super) fn to_encode(&self) -> &[usize] {
        &self.to_encode
    }

    /// True from the first byte of a head until it is complete.
    pub(super) fn in_head(&self) -> bool {
        matches!(self.phase, Phase::Head(_) | Phase::Preface { .. })
    }

    /// Moves on when a counted stretch is over; true when that completes a head.
    fn counted_out(&mut self) -> bool {
        let (next, head_completed) = match self.phase {
            Phase::Preface { .. } => (Phase::Http2, true),
            Phase::Chunk { .. } => (Phase::ChunkSize, false),
            _ => (Phase::Idle, false),
        };
        self.phase = next;
        head_completed
    }

    /// Reads the line that has just ended; true when it was the blank one after a head.
    fn line_ended(&mut self) -> bool {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        let next = match &mut self.phase {
            Phase::Head(head) if line.is_empty() => Some(head.next()),
            Phase::Head(head) => {
                head.read(line);
                None
            }
            Phase::ChunkSize => Some(match chunk_size(line) {
                0 => Phase::Trailers,
                size => Phase::Chunk {
                    left: size.saturating_add(2),
                },
            }),
            Phase::Trailers if line.is_empty() => Some(Phase::Idle),
            _ => None,
        };
        self.line.clear();
        let Some(next) = next else { return false };
        let head_completed = matches!(self.phase, Phase::Head(_)) && !matches!(next, Phase::Preface { .. });
        self.phase = next;
        head_completed
    }
}

impl Head {
    /// Notes what a line of the head says.
    fn read(&mut self, line: &[u8]) {
        if !self.request_line_seen {
            self.request_line_seen = true;
            self.preface = line == b"PRI * HTTP/2.0";
        } else if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                self.content_length = digits(value, 10);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
        }
    }

    /// What follows this head. `Transfer-Encoding` wins over `Content-Length`, as in hyper.
    fn next(&self) -> Phase {
        match (self.preface, self.chunked, self.content_length) {
            (true, _, _) => Phase::Preface { left: PREFACE_REST },
            (false, true, _) => Phase::ChunkSize,
            (false, false, 0) => Phase::Idle,
            (false, false, left) => Phase::Body { left },
        }
    }
}

/// Splits off the bytes up to the next line feed; the flag says whether there was one.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8], bool) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..], true),
        None => (bytes, &[], false),
    }
}

/// The size in a chunk line such as `1a;name=value`.
fn chunk_size(line: &[u8]) -> u64 {
    let end = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    digits(&line[..end], 16)
}

/// An unsigned number, 0 for what is none: hyper refuses such a message anyway.
fn digits(text: &[u8], radix: u32) -> u64 {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| u64::from_str_radix(text, radix).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in pieces of `size` bytes; returns the completed heads and the position reached.
    fn read_in_pieces(stream: &[u8], size: usize) -> (usize, Framing) {
        let mut framing = Framing::new();
        let completed = stream.chunks(size).filter(|piece| framing.feed(piece)).count();
        (completed, framing)
    }

    #[test]
    fn a_stream_of_whole_requests_ends_between_requests_however_it_is_cut() {
        let streams: [&[u8]; 9] = [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\na\r\n\r\nGET ",
            b"POST / HTTP/1.1\r\ncontent-length:   0  \r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n6\r\n\r\n\r\nab\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n1;x=\"0\"\r\na\r\n0\r\nT: v\r\n\r\n",
            b"GET / HTTP/1.1\r\nCookie: 0000000000000000000000000000000000000000000000000000000000000000000000000000\
              0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
              0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
              \r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n\r\n\r\n",
        ];
        for stream in streams {
            for size in 1..=stream.len() {
                let (completed, framing) = read_in_pieces(stream, size);
                let text = String::from_utf8_lossy(stream);
                assert!(completed >= 1, "{text} in pieces of {size}");
                assert!(
                    matches!(framing.phase, Phase::Idle),
                    "{text} in pieces of {size}: {framing:?}"
                );
            }
        }
    }

    #[test]
    fn every_byte_of_a_head_but_the_last_leaves_it_open() {
        let head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
        let mut framing = Framing::new();
        assert!(!framing.in_head());
        for byte in &head[..head.len() - 1] {
            assert!(!framing.feed(&[*byte]));
            assert!(framing.in_head());
        }
        assert!(framing.feed(b"\n"));
        assert!(!framing.in_head());
        assert!(matches!(framing.phase, Phase::Body { left: 3 }));
    }

    #[test]
    fn a_pipelined_half_head_is_open_after_the_one_before_it_completed() {
        let mut framing = Framing::new();
        assert!(framing.feed(b"GET / HTTP/1.1\r\n\r\nGET /second"));
        assert!(framing.in_head());
    }

    #[test]
    fn blank_lines_between_requests_do_not_begin_a_head() {
        let mut framing = Framing::new();
        framing.feed(b"GET / HTTP/1.1\r\n\r\n\r\n\r");
        assert!(!framing.in_head());
    }

    #[test]
    fn the_http2_preface_is_open_until_its_last_byte_and_then_left_alone() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for size in 1..=preface.len() {
            let (before, rest) = preface.split_at(preface.len() - 1);
            let (completed, mut framing) = read_in_pieces(before, size);
            assert_eq!(completed, 0);
            assert!(framing.in_head());
            assert!(framing.feed(rest));
            assert!(!framing.feed(b"\x00\x00\x12 GET / HTTP/1.1\r\n\r\n"));
            assert!(matches!(framing.phase, Phase::Http2));
        }
    }

    #[test]
    fn only_request_lines_have_something_to_encode() {
        let stream = b"POST /a?b=\"c\" HTTP/1.1\r\nx: \"<>\"\r\ncontent-length: 4\r\n\r\n\">\r\nGET /> HTTP/1.1\r\n\r\n";
        let mut framing = Framing::new();
        framing.feed(stream);
        let places: Vec<usize> = framing.to_encode().to_vec();
        assert_eq!(places, [10, 12, 63]);
        // However it is cut.
        let mut framing = Framing::new();
        let mut found = Vec::new();
        for (at, byte) in stream.iter().enumerate() {
            framing.feed(&[*byte]);
            found.extend(framing.to_encode().iter().map(|_| at));
        }
        assert_eq!(found, places);
    }

    #[test]
    fn an_absurd_length_neither_overflows_nor_ends_early() {
        let mut framing = Framing::new();
        framing.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc");
        assert!(matches!(framing.phase, Phase::Chunk { left } if left == u64::MAX - 3));
        framing.feed(b"\r\n0\r\n\r\n");
        assert!(matches!(framing.phase, Phase::Chunk { .. }));
    }
}
