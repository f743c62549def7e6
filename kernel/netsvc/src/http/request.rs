//! The head of one request: what it asks for, and how its body ends.

use super::response::Status;
use super::syntax::{self, Fault};

/// Most bytes in a head, from the method to the empty line.
pub const HEAD_LIMIT: usize = 8 * 1024;
/// Most bytes in a request target.
pub const TARGET_LIMIT: usize = 2 * 1024;
/// Most bytes in a body.
pub const BODY_LIMIT: u64 = 1024 * 1024;
/// Longest request line: method, target, version, two spaces.
pub(crate) const LINE_LIMIT: usize = TARGET_LIMIT + 32;

/// A request's method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "RFC 9110 section 9 and RFC 5789 define them")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Trace,
}

impl Method {
    pub(super) fn parse(s: &[u8]) -> Option<Self> {
        Some(match s {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"TRACE" => Self::Trace,
            _ => return None,
        })
    }
}

/// How a request's body ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// What the machine keeps of a head; the target is a range of its buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Method.
    pub method: Method,
    /// The client keeps the connection open.
    pub keep_alive: bool,
    /// The client speaks HTTP/1.0.
    pub http10: bool,
    /// The client waits for an interim reply before it sends the body.
    pub(crate) expects_continue: bool,
    pub(crate) framing: Framing,
    /// The request names no origin, or that of the host it goes to.
    pub same_origin: bool,
    /// Path and query within the head: where they begin and end.
    pub(crate) target: (u16, u16),
    /// Where the question mark between them is, or their end.
    pub(crate) query: u16,
}

/// Whether a name is that of the field which every request has.
#[inline]
fn is_host(name: &[u8]) -> bool {
    // The bit in which letters of both cases differ.
    const LOWER: u32 = u32::from_ne_bytes([0x20; 4]);
    let name = name.first_chunk().map(|n| u32::from_ne_bytes(*n) | LOWER);
    name == Some(u32::from_ne_bytes(*b"host"))
}

fn is_token(value: &[u8], token: &str) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
}

fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|&b| b == b',').any(|t| is_token(t, token))
}

/// Says which error a head deserves that is none: only a wrong version is not a plain 400.
#[cold]
fn diagnose(head: &[u8]) -> Status {
    let line = head.split(|&b| b == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|&b| b == b' ').next().unwrap_or_default();
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            if matches!((major, minor), (b'1', b'0' | b'1')) {
                Status::BadRequest
            } else {
                Status::VersionNotSupported
            }
        }
        _ => Status::BadRequest,
    }
}

#[derive(Default)]
struct Fields<'a> {
    /// What the first field that cannot be served deserves.
    refused: Option<Status>,
    hosts: u32,
    host: &'a [u8],
    origin: Option<&'a [u8]>,
    /// A browser says that another site is behind the request.
    cross_site: bool,
    length: Option<u64>,
    coding: Option<bool>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl<'a> Fields<'a> {
    #[inline]
    fn add(&mut self, name: &[u8], value: &'a [u8]) {
        // Most fields of a browser are none of these lengths.
        match name.len() {
            4 if is_host(name) => {
                self.hosts += 1;
                self.host = value;
            }
            6 if name.eq_ignore_ascii_case(b"origin") => {
                // Two of them are of no origin at all.
                let first = self.origin.is_none();
                self.origin = Some(if first { value.trim_ascii() } else { b"" });
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects_continue |= is_token(value, "100-continue");
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.close |= has_token(value, "close");
                self.keep_alive |= has_token(value, "keep-alive");
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let value = value.trim_ascii();
                if self.length.is_some()
                    || value.is_empty()
                    || !value.iter().all(u8::is_ascii_digit)
                {
                    return self.refuse();
                }
                let add = |n: u64, d: &u8| n.saturating_mul(10).saturating_add(u64::from(d - b'0'));
                self.length = Some(value.iter().fold(0, add));
            }
            14 if name.eq_ignore_ascii_case(b"sec-fetch-site") => {
                self.cross_site |= !is_token(value, "same-origin") && !is_token(value, "none");
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.coding.is_some() {
                    return self.refuse();
                }
                let last = value.rsplit(|&b| b == b',').next().unwrap_or_default();
                if !is_token(last, "chunked") {
                    return self.refuse();
                }
                self.coding = Some(is_token(value, "chunked"));
            }
            _ => {}
        }
    }

    fn refuse(&mut self) {
        self.refused.get_or_insert(Status::BadRequest);
    }

    /// No page of another origin is behind the request (RFC 6454 7): it names none, or its own host,
    /// and its browser, if it says so (Fetch Metadata 2.4), agrees.
    fn same_origin(&self) -> bool {
        if self.cross_site {
            return false;
        }
        let Some(origin) = self.origin else {
            return true;
        };
        origin
            .split_at_checked(SCHEME.len())
            .is_some_and(|(s, host)| {
                s.eq_ignore_ascii_case(SCHEME) && host.eq_ignore_ascii_case(self.host.trim_ascii())
            })
    }
}

impl Head {
    /// Parses the head that `bytes` begin with; also says how long it is. Refuses one whose end is
    /// not there.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, usize), Status> {
        let mut f = Fields::default();
        let read = syntax::read(bytes, |name, value| f.add(name, value));
        let (line, len) = read.map_err(|fault| match fault {
            Fault::Syntax => diagnose(bytes),
            Fault::TooManyFields => Status::HeaderFieldsTooLarge,
        })?;
        let (target, http10) = (line.target, line.http10);
        if target.len() > TARGET_LIMIT {
            return Err(Status::UriTooLong);
        }
        if let Some(status) = f.refused {
            return Err(status);
        }
        if f.hosts > 1 || (f.hosts == 0 && !http10) {
            return Err(Status::BadRequest);
        }
        let framing = match (f.length, f.coding) {
            (Some(_), Some(_)) => return Err(Status::BadRequest),
            (_, Some(_)) if http10 => return Err(Status::BadRequest),
            (None, Some(true)) => Framing::Chunked,
            (None, Some(false)) => return Err(Status::NotImplemented),
            (length, None) => Framing::Length(length.unwrap_or(0)),
        };
        let method = line.method.ok_or(Status::NotImplemented)?;
        if matches!(framing, Framing::Length(n) if n > BODY_LIMIT) {
            return Err(Status::ContentTooLarge);
        }
        let skip = origin_form(target).ok_or(Status::BadRequest)?;
        let within = |at| (line.start + at) as u16;
        let head = Self {
            method,
            keep_alive: if http10 {
                f.keep_alive && !f.close
            } else {
                !f.close
            },
            http10,
            expects_continue: f.expects_continue && !http10,
            framing,
            same_origin: f.same_origin(),
            target: (within(skip), within(target.len())),
            query: within(line.query),
        };
        Ok((head, len))
    }

    /// Value of the reply's `Connection` field, given whether the server keeps the connection.
    #[must_use]
    pub fn connection(&self, keep: bool) -> &'static str {
        match (keep, self.http10) {
            (false, _) => "close",
            (true, true) => "keep-alive",
            (true, false) => "",
        }
    }
}

/// Where path and query begin in a target: at its start, or after `http://host` (RFC 9112 3.2.2).
fn origin_form(target: &[u8]) -> Option<usize> {
    if target.first() == Some(&b'/') || target == b"*" {
        return Some(0);
    }
    let (scheme, authority) = target.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let end = authority.iter().position(|b| matches!(b, b'/' | b'?'));
    let end = end.unwrap_or(authority.len());
    if end == 0 {
        None
    } else {
        Some(scheme.len() + end)
    }
}

const SCHEME: &[u8] = b"http://";
