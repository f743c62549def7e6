//! One connection's request machine.
//!
//! Life of a request: bytes go into [`Machine::space`], [`Machine::filled`] counts them, and
//! [`Machine::poll`] says what they are. A head stays in the buffer while its body passes through
//! the space behind it, so the request is handed out when it is complete, with its target in place.
//!
//! Invariant: events depend on the byte stream only, not on how it was split. Therefore every limit
//! is tested by position, and the first violation in stream order wins. The search for a head's end
//! looks at each byte once, however slowly a client sends. Most heads come in one piece: the first bytes are tried as
//! one before that search, and what comes of it counts only if it is a request within all limits.

use alloc::vec::Vec;

use super::body::Body;
use super::request::{Framing, HEAD_LIMIT, Head, LINE_LIMIT};
use super::response::Status;
use super::syntax::is_token_byte;
use crate::buffer::try_zeroed;

/// Room behind a head of full size, for its body to pass through.
const SPARE: usize = 1024;
const BUFFER: usize = HEAD_LIMIT + SPARE;

/// What the machine found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Event<'a> {
    /// Nothing more without more bytes: what they will be.
    NeedMore(Awaits),
    /// Send the interim reply: the client waits for it.
    Continue,
    /// A complete request, its body read and discarded: head, path, query.
    Request(Head, &'a [u8], &'a str),
    /// The stream is not HTTP any more: reply and close. Every later poll says the same.
    Error(Status),
}

/// What a machine waits for.
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
    #[inline]
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
    #[inline]
    pub fn space(&mut self) -> &mut [u8] {
        if self.end == BUFFER {
            self.compact();
        }
        &mut self.buffer[self.end..]
    }

    /// Says that `n` bytes were put into [`Self::space`].
    #[inline]
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
        match self.state {
            State::Served { head_len } => {
                self.start += head_len;
                if self.start == self.end {
                    self.start = 0;
                    self.end = 0;
                }
                self.state = START;
            }
            State::Failed(status) => return Event::Error(status),
            State::Head { .. } | State::Body { .. } => {}
        }
        if matches!(self.state, State::Head { .. }) {
            match self.head() {
                Ok(None) if self.start == self.end => return Event::NeedMore(Awaits::Request),
                Ok(None) => return Event::NeedMore(Awaits::Head),
                Ok(Some((head, head_len))) if head.framing == Framing::Length(0) => {
                    return self.request(&head, head_len);
                }
                Ok(Some((head, head_len))) => {
                    self.state = State::Body {
                        head,
                        head_len,
                        body: Body::new(head.framing),
                        asked: !head.expects_continue,
                    };
                }
                Err(status) => {
                    self.state = State::Failed(status);
                    return Event::Error(status);
                }
            }
        }
        if let State::Body {
            head_len, asked, ..
        } = &mut self.state
            && !core::mem::replace(asked, true)
            // A client that sent some of the body already does not wait.
            && self.start + *head_len == self.end
        {
            return Event::Continue;
        }
        self.poll_body()
    }

    /// The head at the start of the buffer and its length, once its end has arrived.
    #[inline]
    fn head(&mut self) -> Result<Option<(Head, usize)>, Status> {
        let bytes = &self.buffer[self.start..self.end];
        if bytes.is_empty() {
            return Ok(None);
        }
        // No limit is smaller than that of a line.
        let first = &bytes[..bytes.len().min(LINE_LIMIT)];
        if self.state == START
            && let Ok(head) = Head::parse(first)
        {
            return Ok(Some(head));
        }
        match self.find_head()? {
            Some(len) => Head::parse(&self.buffer[self.start..self.start + len]).map(Some),
            None => Ok(None),
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
            return Event::NeedMore(self.awaits());
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
            return Event::NeedMore(Awaits::Body);
        }
        self.request(&head, head_len)
    }

    /// Hands out a request that is complete.
    #[inline]
    fn request(&mut self, head: &Head, head_len: usize) -> Event<'_> {
        self.state = State::Served { head_len };
        let (a, b) = (usize::from(head.target.0), usize::from(head.target.1));
        let target = &self.buffer[self.start + a..self.start + b];
        let (path, query) = target.split_at(usize::from(head.query) - a);
        let query = match query {
            [] => "",
            // UTF-8, since the target is.
            [_mark, query @ ..] => core::str::from_utf8(query).unwrap_or_default(),
        };
        // The absolute form may have no path (RFC 9112 3.2.1).
        Event::Request(*head, if path.is_empty() { b"/" } else { path }, query)
    }

    /// Length of the head at the start of the buffer, looked for.
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
