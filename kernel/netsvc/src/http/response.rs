//! Status lines and reply heads, written straight into the caller's buffer.

macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal,)*) => {
        /// A reply's status.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[expect(missing_docs, reason = "RFC 9110 section 15 defines them")]
        pub enum Status {
            $($name,)*
        }

        impl Status {
            /// Code and reason phrase.
            #[must_use]
            pub const fn line(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($code, " ", $reason),)*
                }
            }

            /// The code alone.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// What every reply with a body of known length begins with, up to that length.
            const fn begin(self) -> &'static str {
                match self {
                    $(Self::$name => concat!(
                        "HTTP/1.1 ", $code, " ", $reason,
                        "\r\nServer: roundtable\r\nContent-Length: "
                    ),)*
                }
            }
        }
    };
}

statuses! {
    Ok 200 "OK",
    NoContent 204 "No Content",
    BadRequest 400 "Bad Request",
    Forbidden 403 "Forbidden",
    NotFound 404 "Not Found",
    MethodNotAllowed 405 "Method Not Allowed",
    RequestTimeout 408 "Request Timeout",
    ContentTooLarge 413 "Content Too Large",
    UriTooLong 414 "URI Too Long",
    HeaderFieldsTooLarge 431 "Request Header Fields Too Large",
    InternalError 500 "Internal Server Error",
    NotImplemented 501 "Not Implemented",
    Unavailable 503 "Service Unavailable",
    VersionNotSupported 505 "HTTP Version Not Supported",
}

/// The interim reply to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Head of one reply.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Status.
    pub status: Status,
    /// Media type of the body.
    pub content_type: &'a str,
    /// Bytes in the body, also for a reply to HEAD.
    pub length: usize,
    /// Value of the `Allow` field, for 405.
    pub allow: &'a str,
    /// Value of the `Retry-After` field, for 503: seconds.
    pub retry_after: &'a str,
    /// Value of the `Connection` field: `close`, `keep-alive` (to HTTP/1.0), or nothing.
    pub connection: &'a str,
}

impl Reply<'_> {
    /// Longest head this module writes, for callers that size a buffer.
    pub const MAX_HEAD: usize = 256;

    /// Writes the head with its final empty line; the number of bytes, or `None` when `out` is too
    /// small.
    #[must_use]
    pub fn write_head(&self, out: &mut [u8]) -> Option<usize> {
        let mut w = Writer { out, at: 0 };
        w.put(self.status.begin())?;
        w.number(self.length)?;
        if !self.content_type.is_empty() {
            w.put("\r\nContent-Type: ")?;
            w.put(self.content_type)?;
        }
        if !self.allow.is_empty() {
            w.put("\r\nAllow: ")?;
            w.put(self.allow)?;
        }
        if !self.retry_after.is_empty() {
            w.put("\r\nRetry-After: ")?;
            w.put(self.retry_after)?;
        }
        if !self.connection.is_empty() {
            w.put("\r\nConnection: ")?;
            w.put(self.connection)?;
        }
        w.put("\r\n\r\n")?;
        Some(w.at)
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    #[inline]
    fn put(&mut self, s: &str) -> Option<()> {
        self.out
            .get_mut(self.at..self.at + s.len())?
            .copy_from_slice(s.as_bytes());
        self.at += s.len();
        Some(())
    }

    fn number(&mut self, mut n: usize) -> Option<()> {
        let mut digits = [0; 20];
        let mut i = digits.len();
        loop {
            i -= 1;
            digits[i] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        // A few bytes, which a call to copy would cost more than.
        for digit in digits.get(i..)? {
            *self.out.get_mut(self.at)? = *digit;
            self.at += 1;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_a_whole_head_or_nothing() {
        let reply = Reply {
            status: Status::MethodNotAllowed,
            content_type: "text/plain",
            length: 1_234,
            allow: "GET, HEAD",
            retry_after: "1",
            connection: "close",
        };
        let mut out = [0; Reply::MAX_HEAD];
        let n = reply.write_head(&mut out).unwrap();
        assert_eq!(
            core::str::from_utf8(&out[..n]).unwrap(),
            "HTTP/1.1 405 Method Not Allowed\r\nServer: roundtable\r\nContent-Length: 1234\r\n\
             Content-Type: text/plain\r\nAllow: GET, HEAD\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
        );
        for short in 0..n {
            assert_eq!(reply.write_head(&mut out[..short]), None);
        }
    }
}
