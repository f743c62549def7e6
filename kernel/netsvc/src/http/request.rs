//! The head of one request: what it asks for, and how its body ends.

use core::mem::MaybeUninit;

use super::response::Status;

/// Most bytes in a head, from the method to the empty line.
pub const HEAD_LIMIT: usize = 8 * 1024;
/// Most bytes in a request target.
pub const TARGET_LIMIT: usize = 2 * 1024;
/// Most bytes in a body.
pub const BODY_LIMIT: u64 = 1024 * 1024;
/// Longest request line: method, target, version, two spaces.
pub(crate) const LINE_LIMIT: usize = TARGET_LIMIT + 32;
const MAX_FIELDS: usize = 64;

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
    fn parse(s: &str) -> Option<Self> {
        Some(match s {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "TRACE" => Self::Trace,
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
    /// Path and query within the head.
    pub(crate) target: (u16, u16),
}

fn is_token(value: &[u8], token: &str) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
}

fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|&b| b == b',').any(|t| is_token(t, token))
}

/// True for the characters of a method (RFC 9110 5.6.2).
pub(crate) fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Says which error a head deserves that `httparse` refuses: only a wrong version is not a plain 400.
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
    fn add(&mut self, name: &str, value: &'a [u8]) -> Result<(), Status> {
        // Most fields of a browser are none of these lengths.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                self.hosts += 1;
                self.host = value.trim_ascii();
            }
            6 if name.eq_ignore_ascii_case("origin") => {
                // Two of them are of no origin at all.
                let first = self.origin.is_none();
                self.origin = Some(if first { value.trim_ascii() } else { b"" });
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expects_continue |= is_token(value, "100-continue");
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                self.close |= has_token(value, "close");
                self.keep_alive |= has_token(value, "keep-alive");
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                let value = value.trim_ascii();
                if self.length.is_some()
                    || value.is_empty()
                    || !value.iter().all(u8::is_ascii_digit)
                {
                    return Err(Status::BadRequest);
                }
                let add = |n: u64, d: &u8| n.saturating_mul(10).saturating_add(u64::from(d - b'0'));
                self.length = Some(value.iter().fold(0, add));
            }
            14 if name.eq_ignore_ascii_case("sec-fetch-site") => {
                self.cross_site |= !is_token(value, "same-origin") && !is_token(value, "none");
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if self.coding.is_some() {
                    return Err(Status::BadRequest);
                }
                let last = value.rsplit(|&b| b == b',').next().unwrap_or_default();
                if !is_token(last, "chunked") {
                    return Err(Status::BadRequest);
                }
                self.coding = Some(is_token(value, "chunked"));
            }
            _ => {}
        }
        Ok(())
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
        let scheme = b"http://";
        origin
            .split_at_checked(scheme.len())
            .is_some_and(|(s, host)| {
                s.eq_ignore_ascii_case(scheme) && host.eq_ignore_ascii_case(self.host)
            })
    }
}

impl Head {
    /// Parses a complete head, `head` ending with its empty line.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, Status> {
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(head, &mut fields) {
            Ok(httparse::Status::Complete(n)) if n == head.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(Status::HeaderFieldsTooLarge),
            Ok(_) => return Err(Status::BadRequest),
            Err(_) => return Err(diagnose(head)),
        }
        let (Some(method), Some(target), Some(version)) =
            (request.method, request.path, request.version)
        else {
            return Err(Status::BadRequest);
        };
        if target.len() > TARGET_LIMIT {
            return Err(Status::UriTooLong);
        }
        let mut f = Fields::default();
        for field in request.headers.iter() {
            f.add(field.name, field.value)?;
        }
        let http10 = version == 0;
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
        let method = Method::parse(method).ok_or(Status::NotImplemented)?;
        if matches!(framing, Framing::Length(n) if n > BODY_LIMIT) {
            return Err(Status::ContentTooLarge);
        }
        let start = target.as_ptr().addr() - head.as_ptr().addr();
        let skip = origin_form(target).ok_or(Status::BadRequest)?;
        Ok(Self {
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
            target: ((start + skip) as u16, (start + target.len()) as u16),
        })
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
fn origin_form(target: &str) -> Option<usize> {
    if target.starts_with('/') || target == "*" {
        return Some(0);
    }
    let scheme = target
        .get(..7)
        .filter(|s| s.eq_ignore_ascii_case("http://"))?
        .len();
    let authority = target.get(scheme..)?;
    let end = authority.find(['/', '?']).unwrap_or(authority.len());
    if end == 0 { None } else { Some(scheme + end) }
}
