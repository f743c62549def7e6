//! Protobuf's wire format, written forwards into a buffer.
//!
//! A message inside another one begins with its length, which is known when it is over: one byte is kept
//! for it, and what follows moves up in the rare case that it needs more. So every length is as
//! short as can be.

use alloc::vec::Vec;

/// Wire types.
const VARINT: u64 = 0;
const LENGTH: u64 = 2;

/// Bytes of protobuf. After a failed allocation it takes no more, and says so ([`Self::is_whole`]).
#[derive(Debug, Default)]
pub(crate) struct Wire {
    bytes: Vec<u8>,
    failed: bool,
}

impl Wire {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_whole(&self) -> bool {
        !self.failed
    }

    /// Forgets what was written and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.failed || self.bytes.try_reserve(bytes.len()).is_err() {
            self.failed = true;
            return;
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut n: u64) {
        let (mut out, mut len) = ([0; 10], 0);
        for byte in &mut out {
            len += 1;
            *byte = n as u8 & 0x7f;
            n >>= 7;
            if n == 0 {
                break;
            }
            *byte |= 0x80;
        }
        self.put(out.get(..len).unwrap_or_default());
    }

    /// A field of any of the integer types but `sint` and `fixed`.
    pub(crate) fn number(&mut self, field: u32, n: u64) {
        self.varint(u64::from(field) << 3 | VARINT);
        self.varint(n);
    }

    pub(crate) fn text(&mut self, field: u32, text: &str) {
        self.raw(field, text.as_bytes());
    }

    /// A field of bytes, or a message that is written already.
    pub(crate) fn raw(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | LENGTH);
        self.varint(bytes.len() as u64);
        self.put(bytes);
    }

    /// Bytes that are fields already.
    pub(crate) fn fields(&mut self, bytes: &[u8]) {
        self.put(bytes);
    }

    /// A message that `f` writes.
    pub(crate) fn message(&mut self, field: u32, f: impl FnOnce(&mut Self)) {
        self.varint(u64::from(field) << 3 | LENGTH);
        self.put(&[0]);
        let begin = self.bytes.len();
        f(self);
        if self.failed {
            return;
        }
        let len = self.bytes.len() - begin;
        let more = (usize::BITS - (len | 1).leading_zeros()).div_ceil(7) as usize - 1;
        if more > 0 {
            self.put(&[0; 10][..more]);
            if self.failed {
                return;
            }
            self.bytes.copy_within(begin..begin + len, begin + more);
        }
        let mut n = len;
        for i in 0..=more {
            let last = i == more;
            if let Some(byte) = self.bytes.get_mut(begin - 1 + i) {
                *byte = n as u8 & 0x7f | if last { 0 } else { 0x80 };
            }
            n >>= 7;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        let mut w = Wire::default();
        w.number(1, 0);
        w.number(2, 300);
        w.number(16, u64::MAX);
        let expected: &[u8] = &[
            0x08, 0, 0x10, 0xac, 2, 0x80, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            1,
        ];
        assert_eq!(w.bytes(), expected);
        assert!(w.is_whole());
    }

    #[test]
    fn messages_of_any_length_begin_with_it() {
        for n in [
            0, 1, 125, 126, 127, 128, 129, 16_000, 16_383, 16_384, 100_000,
        ] {
            let text = "x".repeat(n);
            let mut inner = Wire::default();
            inner.text(3, &text);
            let mut w = Wire::default();
            w.message(2, |w| w.text(3, &text));
            w.number(1, 5);
            let mut expected = Wire::default();
            expected.raw(2, inner.bytes());
            expected.number(1, 5);
            assert!(w.bytes() == expected.bytes(), "{n}");
        }
    }

    #[test]
    fn messages_nest() {
        let mut w = Wire::default();
        w.message(1, |w| w.message(1, |w| w.text(1, &String::from("a"))));
        assert_eq!(w.bytes(), [0x0a, 5, 0x0a, 3, 0x0a, 1, b'a']);
    }
}
