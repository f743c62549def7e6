//! The syntax of a request's head (RFC 9112 2.1, 3, 5; RFC 9110 5.5, 5.6.2): each byte looked at once, nothing kept.
//!
//! Lines end with CR LF. What is read here is judged elsewhere ([`super::request`]): this file knows what a
//! field is, and not what one means.

use super::request::Method;
use super::words;

/// Most fields of a head.
pub(super) const MAX_FIELDS: usize = 64;

/// Why a head could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// It is none, or its end is not there.
    Syntax,
    /// It has more than [`MAX_FIELDS`].
    TooManyFields,
}

/// What a head begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RequestLine<'a> {
    /// `None` is a method that this server does not know.
    pub(super) method: Option<Method>,
    /// UTF-8, and not empty.
    pub(super) target: &'a [u8],
    /// Where the target begins in the head.
    pub(super) start: usize,
    /// Where in the target the first question mark is, or its length.
    pub(super) query: usize,
    pub(super) http10: bool,
}

/// Bytes of a token, such as a method or a field's name.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        table[b] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.'
            )
            || matches!(byte, b'^' | b'_' | b'`' | b'|' | b'~');
        b += 1;
    }
    table
};

/// True for the characters of a token.
#[inline]
pub(super) fn is_token_byte(b: u8) -> bool {
    TOKEN[usize::from(b)]
}

/// Reads the head that `bytes` begin with, and hands out each field's name and value, which may end with
/// spaces. Also says how long the head is.
#[inline]
pub(super) fn read<'a>(
    bytes: &'a [u8],
    mut field: impl FnMut(&'a [u8], &'a [u8]),
) -> Result<(RequestLine<'a>, usize), Fault> {
    let (line, mut at) = request_line(bytes).ok_or(Fault::Syntax)?;
    for n in 0.. {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.first_chunk() == Some(b"\r\n") {
            return Ok((line, at + 2));
        }
        let (name, value, len) = one_field(rest).ok_or(Fault::Syntax)?;
        if n == MAX_FIELDS {
            return Err(Fault::TooManyFields);
        }
        field(name, value);
        at += len;
    }
    Err(Fault::TooManyFields)
}

/// The request line, and its length.
#[inline]
fn request_line(bytes: &[u8]) -> Option<(RequestLine<'_>, usize)> {
    let (method, start) = match bytes.first_chunk() {
        Some(b"GET ") => (Some(Method::Get), 4),
        _ => {
            let n = bytes.iter().position(|&b| !is_token_byte(b))?;
            if n == 0 || bytes[n] != b' ' {
                return None;
            }
            (Method::parse(&bytes[..n]), n + 1)
        }
    };
    let rest = bytes.get(start..)?;
    // Nearly always a path and nothing else.
    let is_plain = |b: u8| b.is_ascii_graphic() && b != b'?';
    let mut n = words::span(rest, words::plain, is_plain)?;
    let query = n;
    if rest[n] != b' ' {
        n = words::span(rest, words::visible, |b| b > b' ' && b != DELETE)?;
    }
    let (target, rest) = rest.split_at(n);
    let (begin, end) = rest.first_chunk::<VERSION>()?.split_first_chunk::<8>()?;
    let &[minor, cr, lf] = end else { return None };
    if begin != b" HTTP/1." || [cr, lf] != *b"\r\n" || !matches!(minor, b'0' | b'1') {
        return None;
    }
    let http10 = minor == b'0';
    let query = match query == n {
        true => n,
        false => mark(target)?,
    };
    let line = RequestLine {
        method,
        target,
        start,
        query,
        http10,
    };
    (n > 0).then_some((line, start + n + VERSION))
}

/// Where the first question mark of a target is, or its length; `None` unless it is UTF-8.
fn mark(target: &[u8]) -> Option<usize> {
    core::str::from_utf8(target).ok()?;
    let mark = target.iter().position(|&b| b == b'?');
    Some(mark.unwrap_or(target.len()))
}

/// A space, the version, and the line's end.
const VERSION: usize = 11;
const DELETE: u8 = 0x7f;

/// A field's name, its value without the spaces before it, and the length of its line.
#[inline]
fn one_field(line: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let colon = words::span(line, words::letters_and_dashes, is_token_byte)?;
    if colon == 0 || line[colon] != b':' {
        return None;
    }
    let (name, rest) = line.split_at(colon);
    let mut begin = 1;
    while matches!(rest.get(begin), Some(b' ' | b'\t')) {
        begin += 1;
    }
    let value = &rest[begin..];
    let end = begin
        + words::span(value, words::text, |b| {
            b == b'\t' || (b >= b' ' && b != DELETE)
        })?;
    let ended = rest.get(end..).and_then(<[u8]>::first_chunk) == Some(b"\r\n");
    ended.then(|| (name, &rest[begin..end], colon + end + 2))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    type Field<'a> = (&'a [u8], &'a [u8]);

    /// What another parser makes of a whole head: target, version 1.0, fields; or whether there are too many.
    fn theirs(head: &[u8]) -> Result<(&[u8], bool, Vec<Field<'_>>), bool> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(head) {
            Ok(httparse::Status::Complete(n)) if n == head.len() => {}
            result => return Err(result == Err(httparse::Error::TooManyHeaders)),
        }
        let fields = request.headers.iter();
        let fields = fields.map(|f| (f.name.as_bytes(), f.value)).collect();
        let target = request.path.unwrap_or_default().as_bytes();
        Ok((target, request.version == Some(0), fields))
    }

    fn ours(head: &[u8]) -> Result<(&[u8], bool, Vec<Field<'_>>), bool> {
        let mut fields = Vec::new();
        let (line, len) = read(head, |name, value| {
            fields.push((name, value.trim_ascii_end()))
        })
        .map_err(|fault| fault == Fault::TooManyFields)?;
        let mark = line.target.iter().position(|&b| b == b'?');
        assert_eq!(line.query, mark.unwrap_or(line.target.len()));
        assert_eq!(
            line.start,
            head.iter().position(|&b| b == b' ').unwrap() + 1
        );
        if len != head.len() {
            return Err(false);
        }
        Ok((line.target, line.http10, fields))
    }

    /// A head of which some bytes are not what they were.
    fn head() -> impl Strategy<Value = Vec<u8>> {
        let value = proptest::collection::vec(
            prop_oneof![8 => 0x20u8..0x7f, 1 => any::<u8>(), 1 => Just(b'\t')],
            0..40,
        );
        let fields = proptest::collection::vec(("[A-Za-z!~-]{1,12}:[ \t]{0,2}", value), 0..70);
        let line = "(GET|POST|G|get) [!-~é]{0,20} HTTP/1\\.[01]";
        let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
        (line, fields, damage).prop_map(|(line, fields, damage)| {
            let mut head = line.into_bytes();
            head.extend_from_slice(b"\r\n");
            for (name, value) in fields {
                head.extend_from_slice(name.as_bytes());
                head.extend(value.iter().filter(|b| !matches!(b, b'\r' | b'\n')));
                head.extend_from_slice(b"\r\n");
            }
            for (i, byte) in damage {
                let n = head.len();
                head[i.index(n)] = byte;
            }
            head.extend_from_slice(b"\r\n");
            head
        })
    }

    proptest! {
        /// Two parsers that disagree about a head are how requests are smuggled. Bare line feeds are refused
        /// before.
        #[test]
        fn another_parser_reads_the_same(head in head()) {
            let bare = head.iter().enumerate().any(|(i, &b)| {
                b == b'\n' && (i == 0 || head[i - 1] != b'\r')
            });
            let begins = head.first().is_some_and(|&b| is_token_byte(b));
            if !bare && begins {
                prop_assert_eq!(ours(&head), theirs(&head));
            }
        }

        /// Of a part nothing is made.
        #[test]
        fn a_begin_is_no_head(head in head(), end in any::<prop::sample::Index>()) {
            if let Ok((_, len)) = read(&head, |_, _| ()) {
                let part = read(&head[..end.index(len)], |_, _| ());
                prop_assert!(part.is_err());
            }
        }
    }
}
