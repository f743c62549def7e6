//! A JSON writer that may run out of memory and says so.
//!
//! Commas and nesting are its business, names and values the caller's. After a failed allocation it
//! writes nothing more and [`Json::is_whole`] is false; the service then answers 503.

use alloc::vec::Vec;
use core::fmt::{self, Write};

/// Writes one JSON value into a buffer.
#[derive(Debug)]
pub(crate) struct Json<'a> {
    out: &'a mut Vec<u8>,
    whole: bool,
    comma: bool,
}

impl<'a> Json<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        out.clear();
        Self {
            out,
            whole: true,
            comma: false,
        }
    }

    /// True when everything was written.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Bytes behind the value that are no JSON.
    pub(crate) fn trailer(&mut self, bytes: &[u8]) {
        self.put(bytes);
    }

    /// Notes that memory ran out in the caller.
    pub(crate) fn give_up(&mut self) {
        self.whole = false;
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.whole && self.out.try_reserve(bytes.len()).is_ok() {
            self.out.extend_from_slice(bytes);
        } else {
            self.whole = false;
        }
    }

    fn separate(&mut self) {
        if core::mem::replace(&mut self.comma, true) {
            self.put(b",");
        }
    }

    fn name(&mut self, name: &str) {
        self.separate();
        if !name.is_empty() {
            self.quoted(name);
            self.put(b":");
        }
    }

    fn quoted(&mut self, text: &str) {
        self.put(b"\"");
        for c in text.chars() {
            match c {
                '"' => self.put(b"\\\""),
                '\\' => self.put(b"\\\\"),
                c if (c as u32) < 0x20 => {
                    // The only failure is of memory, which `put` notes.
                    let _ = write!(self, "\\u{:04x}", c as u32);
                }
                c => self.put(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        self.put(b"\"");
    }

    fn nest(&mut self, name: &str, open: &[u8], close: &[u8], f: impl FnOnce(&mut Self)) {
        self.name(name);
        self.put(open);
        self.comma = false;
        f(self);
        self.put(close);
        self.comma = true;
    }

    /// An object; the name is empty inside an array and at the top.
    pub(crate) fn object(&mut self, name: &str, f: impl FnOnce(&mut Self)) {
        self.nest(name, b"{", b"}", f);
    }

    /// An array.
    pub(crate) fn array(&mut self, name: &str, f: impl FnOnce(&mut Self)) {
        self.nest(name, b"[", b"]", f);
    }

    /// A number.
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        // The only failure is of memory, which `put` notes.
        let _ = write!(self, "{value}");
    }

    /// A number that may be negative.
    pub(crate) fn signed(&mut self, name: &str, value: i64) {
        self.name(name);
        // As above.
        let _ = write!(self, "{value}");
    }

    /// True or false.
    pub(crate) fn boolean(&mut self, name: &str, value: bool) {
        self.name(name);
        self.put(if value { b"true" } else { b"false" });
    }

    /// A string.
    pub(crate) fn string(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    /// A string of something printable that needs no escapes.
    pub(crate) fn display(&mut self, name: &str, value: impl fmt::Display) {
        self.name(name);
        self.put(b"\"");
        // As above.
        let _ = write!(self, "{value}");
        self.put(b"\"");
    }

    /// Nothing.
    pub(crate) fn null(&mut self, name: &str) {
        self.name(name);
        self.put(b"null");
    }
}

impl Write for Json<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.put(s.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nests_and_separates() {
        let mut out = Vec::new();
        let mut j = Json::new(&mut out);
        j.object("", |j| {
            j.number("a", 1);
            j.array("b", |j| {
                j.object("", |j| j.string("c", "x\"\\\n"));
                j.number("", 2);
                j.boolean("", true);
            });
            j.array("d", |_| {});
            j.null("e");
        });
        assert!(j.is_whole());
        assert_eq!(
            core::str::from_utf8(&out),
            Ok(r#"{"a":1,"b":[{"c":"x\"\\\u000a"},2,true],"d":[],"e":null}"#)
        );
    }
}
