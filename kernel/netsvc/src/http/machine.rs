//! One connection's request machine.
//!
//! Life of a request: bytes go into [`Machine::space`], [`Machine::filled`] counts them, and
//! [`Machine::poll`] says what they are. A head stays in the buffer while its body passes through
//! the space behind it, so the request is handed out when it is complete, with its target in place.
//!
//! Invariant: events depend on the byte stream only, not on how it was split. Therefore every limit
//! is tested by position, and the first violation in stream order wins. The search for a head's end
//! looks at each byte once, however slowly a client sends.

use alloc::vec::Vec;

use super::body::Body;
use super::request::{HEAD_LIMIT, Head, LINE_LIMIT, is_token_byte};
use super::response::Status;
use crate::buffer::try_zeroed;

/// Room behind a head of full size, for its body to pass through.
const SPARE: usize = 1024;
const BUFFER: usize = HEAD_LIMIT + SPARE;

/// What the machine found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Event<'a> {
    /// Nothing more without more bytes.
    NeedMore,
    /// Send the interim reply: the client waits for it.
    Continue,
    /// A complete request, its body read and discarded: head, path, query.
    Request(Head, &'a str, &'a str),
    /// The stream is not HTTP any more: reply and close. Every later poll says the same.
    Error(Status),
}

/// What a machine waits for after [`Event::NeedMore`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Awaits {
    /// A request's first byte.
    Request,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Looking for the end of a head; `line` is where the current line starts, `first` says it is
    /// the request line. Positions count from the head's start.
    Head {
        scanned: usize,
        line: usize,
        first: bool,
    },
    /// A head of this length was parsed; its body is being read.
    Body {
        head: Head,
        head_len: usize,
        body: Body,
        asked: bool,
    },
    /// The request was handed out; its head's bytes go at the next poll.
    Served {
        head_len: usize,
    },
    Failed(Status),
}

const START: State = State::Head {
    scanned: 0,
    line: 0,
    first: true,
};

/// Parses the requests of one connection.
#[derive(Debug)]
pub struct Machine {
    buffer: Vec<u8>,
    /// Where the current request starts.
    start: usize,
    /// Where the bytes end.
    end: usize,
    state: State,
}

impl Machine {
    /// A machine before the first byte of a connection, or `None` when memory is out.
    #[must_use]
    pub fn new() -> Option<Self> {
        Some(Self {
            buffer: try_zeroed(BUFFER)?,
            start: 0,
            end: 0,
            state: START,
        })
    }

    /// Forgets everything, for the next connection.
    pub fn reset(&mut self) {
        self.start = 0;
        self.end = 0;
        self.state = START;
    }

    /// What the next bytes will be; for a caller that gives each its own patience.
    #[must_use]
    pub fn awaits(&self) -> Awaits {
        let consumed = match self.state {
            State::Body { .. } => return Awaits::Body,
            State::Served { head_len } => head_len,
            State::Head { .. } | State::Failed(_) => 0,
        };
        match self.start + consumed == self.end {
            true => Awaits::Request,
            false => Awaits::Head,
        }
    }

    /// Where the next bytes go; never empty after [`Event::NeedMore`].
    pub fn space(&mut self) -> &mut [u8] {
        if self.end == BUFFER {
            self.compact();
        }
        &mut self.buffer[self.end..]
    }

    /// Says that `n` bytes were put into [`Self::space`].
    pub fn filled(&mut self, n: usize) {
        self.end = (self.end + n).min(BUFFER);
    }

    fn compact(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }

    /// Looks at the bytes that are there.
    pub fn poll(&mut self) -> Event<'_> {
        if let State::Served { head_len } = self.state {
            self.start += head_len;
            if self.start == self.end {
                self.start = 0;
                self.end = 0;
            }
            self.state = START;
        }
        if matches!(self.state, State::Head { .. }) {
            match self.find_head() {
                Ok(None) => return Event::NeedMore,
                Ok(Some(head_len)) => {
                    match Head::parse(&self.buffer[self.start..self.start + head_len]) {
                        Ok(head) => {
                            let body = Body::new(head.framing);
                            let asked = !head.expects_continue || body == Body::Done;
                            self.state = State::Body {
                                head,
                                head_len,
                                body,
                                asked,
                            };
                        }
                        Err(status) => self.state = State::Failed(status),
                    }
                }
                Err(status) => self.state = State::Failed(status),
            }
        }
        match self.state {
            State::Failed(status) => Event::Error(status),
            State::Body {
                head,
                head_len,
                body,
                asked: false,
            } => {
                // A client that sent some of the body already does not wait.
                let waits = self.start + head_len == self.end;
                self.state = State::Body {
                    head,
                    head_len,
                    body,
                    asked: true,
                };
                if waits {
                    Event::Continue
                } else {
                    self.poll_body()
                }
            }
            _ => self.poll_body(),
        }
    }

    fn poll_body(&mut self) -> Event<'_> {
        let State::Body {
            head,
            head_len,
            mut body,
            asked,
        } = self.state
        else {
            return Event::NeedMore;
        };
        let from = self.start + head_len;
        match body.advance(&self.buffer[from..self.end]) {
            Err(status) => {
                self.state = State::Failed(status);
                return Event::Error(status);
            }
            Ok(0) => {}
            Ok(n) => {
                self.buffer.copy_within(from + n..self.end, from);
                self.end -= n;
            }
        }
        if body != Body::Done {
            self.state = State::Body {
                head,
                head_len,
                body,
                asked,
            };
            return Event::NeedMore;
        }
        self.state = State::Served { head_len };
        let (a, b) = (usize::from(head.target.0), usize::from(head.target.1));
        let target = core::str::from_utf8(&self.buffer[self.start + a..self.start + b]);
        let (path, query) = match target {
            Ok(t) => t.split_once('?').unwrap_or((t, "")),
            Err(_) => ("", ""),
        };
        // The absolute form may have no path (RFC 9112 3.2.1).
        Event::Request(head, if path.is_empty() { "/" } else { path }, query)
    }

    /// Length of the head at the start of the buffer, once its end has arrived.
    fn find_head(&mut self) -> Result<Option<usize>, Status> {
        let State::Head {
            mut scanned,
            mut line,
            mut first,
        } = self.state
        else {
            return Ok(None);
        };
        loop {
            let bytes = &self.buffer[self.start..self.end];
            if line == 0 && scanned == 0 {
                match bytes.first() {
                    None => break,
                    // Empty lines before a request are skipped (RFC 9112 2.2), and do not count.
                    Some(b'\r') if bytes.len() == 1 => break,
                    Some(b'\r') if bytes[1] == b'\n' => {
                        self.start += 2;
                        continue;
                    }
                    Some(&b) if is_token_byte(b) => {}
                    Some(_) => return Err(Status::BadRequest),
                }
            }
            let limit = if first { LINE_LIMIT } else { HEAD_LIMIT };
            let window = &bytes[scanned..bytes.len().min(limit)];
            let Some(i) = find_newline(window) else {
                scanned += window.len();
                if scanned < limit {
                    break;
                }
                let status = if first {
                    self.long_line()
                } else {
                    Status::HeaderFieldsTooLarge
                };
                return Err(status);
            };
            let newline = scanned + i;
            if newline == 0 || bytes[newline - 1] != b'\r' {
                return Err(Status::BadRequest);
            }
            scanned = newline + 1;
            if newline - 1 == line {
                return Ok(Some(scanned));
            }
            line = scanned;
            first = false;
        }
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == BUFFER && self.start > 0 {
            self.compact();
        }
        self.state = State::Head {
            scanned,
            line,
            first,
        };
        Ok(None)
    }

    /// Which error a request line without end deserves.
    fn long_line(&self) -> Status {
        let bytes = &self.buffer[self.start..self.end];
        let method = bytes.iter().position(|&b| !is_token_byte(b));
        match method {
            Some(n) if bytes[n] == b' ' && n <= 32 => Status::UriTooLong,
            _ => Status::BadRequest,
        }
    }
}

/// Position of the first line feed, eight bytes at a time.
#[inline]
fn find_newline(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, w) in words.iter().enumerate() {
        let x = u64::from_le_bytes(*w) ^ (ONES * b'\n' as u64);
        // Sets the high bit of every zero byte; bits above the first are not exact, and not used.
        let zero = x.wrapping_sub(ONES) & !x & HIGHS;
        if zero != 0 {
            return Some(i * 8 + zero.trailing_zeros() as usize / 8);
        }
    }
    tail.iter()
        .position(|&b| b == b'\n')
        .map(|i| words.len() * 8 + i)
}
