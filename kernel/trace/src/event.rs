//! One event, and how it fits into four words.
//!
//! ```text
//! word 0   counter of the machine's clock
//! word 1   kind (8) | flags (8) | small (16) | arg (32)
//! word 2   a
//! word 3   b
//! ```
//!
//! What `flags`, `small`, `arg`, `a` and `b` mean is said at each [`Kind`].

use crate::Kind;

/// The numbers of an event that share a word with its kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Head {
    /// Bits that belong to the kind.
    pub flags: u8,
    /// A small number that belongs to the kind.
    pub small: u16,
    /// A number that belongs to the kind.
    pub arg: u32,
}

impl Head {
    /// Just `arg`.
    #[inline(always)]
    #[must_use]
    pub const fn of(arg: u32) -> Self {
        Self {
            flags: 0,
            small: 0,
            arg,
        }
    }

    /// `arg` with a small number beside it.
    #[inline(always)]
    #[must_use]
    pub const fn with(arg: u32, small: u16) -> Self {
        Self {
            flags: 0,
            small,
            arg,
        }
    }

    /// The same with `flags`.
    #[inline(always)]
    #[must_use]
    pub const fn flags(self, flags: u8) -> Self {
        Self { flags, ..self }
    }

    /// As an event has it, without its kind.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        (self.flags as u64) << 8 | (self.small as u64) << 16 | (self.arg as u64) << 32
    }

    /// What [`Self::function`] adds to [`Self::bits`] of one without flags and small number, for a function on a multiple of
    /// four, as all AArch64 code is.
    #[inline(always)]
    #[must_use]
    pub const fn function_bits(function: usize) -> u64 {
        // Shifted as 32 bits, so that no mask is needed.
        ((function as u32) << 6) as u64
    }

    /// The same with the code address `function` in `flags` and `small`: bits 2 to 25 of it.
    #[inline(always)]
    #[must_use]
    pub const fn function(self, function: usize) -> Self {
        Self {
            flags: (function >> 2) as u8,
            small: (function >> 10) as u16,
            ..self
        }
    }

    /// The address that [`Self::function`] was given, which is nearer to `anchor` than 32 MiB; `None` if
    /// it was given none.
    #[must_use]
    pub const fn function_near(self, anchor: u64) -> Option<u64> {
        const WINDOW: u64 = 1 << 26;
        let code = (self.flags as u64) << 2 | (self.small as u64) << 10;
        if code == 0 {
            return None;
        }
        let ahead = code.wrapping_sub(anchor) & (WINDOW - 1);
        let at = anchor.wrapping_add(ahead);
        Some(if ahead < WINDOW / 2 {
            at
        } else {
            at.wrapping_sub(WINDOW)
        })
    }
}

/// One event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// Counter of the machine's clock (`machine::stamp_time` says when that was).
    pub stamp: u64,
    /// What happened.
    pub kind: Kind,
    /// Its small numbers.
    pub head: Head,
    /// Its first long number.
    pub a: u64,
    /// Its second long number.
    pub b: u64,
}

impl Event {
    /// The words of an event.
    #[inline(always)]
    #[must_use]
    pub const fn pack(stamp: u64, kind: Kind, head: Head, a: u64, b: u64) -> [u64; 4] {
        Self::pack_bits(stamp, kind, head.bits(), a, b)
    }

    /// As [`Self::pack`], with [`Head::bits`].
    #[inline(always)]
    #[must_use]
    pub const fn pack_bits(stamp: u64, kind: Kind, head: u64, a: u64, b: u64) -> [u64; 4] {
        // The kind's bits are none of the head's: a sum takes it as part of the instruction.
        [stamp, head.wrapping_add(kind as u64), a, b]
    }

    /// The event in `words`; `None` if they name no kind.
    #[must_use]
    pub fn unpack(words: &[u64; 4]) -> Option<Self> {
        let [stamp, meta, a, b] = *words;
        Some(Self {
            stamp,
            kind: Kind::from_code(meta as u8)?,
            head: Head {
                flags: (meta >> 8) as u8,
                small: (meta >> 16) as u16,
                arg: (meta >> 32) as u32,
            },
            a,
            b,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_survives_the_words() {
        let head = Head::with(0xdead_beef, 0x1234).flags(0xa5);
        for &kind in Kind::ALL {
            let words = Event::pack(7, kind, head, u64::MAX, 1 << 63);
            let event = Event::unpack(&words).expect("a known kind");
            assert_eq!(
                event,
                Event {
                    stamp: 7,
                    kind,
                    head,
                    a: u64::MAX,
                    b: 1 << 63
                }
            );
        }
    }

    #[test]
    fn a_function_is_found_again_from_nearby() {
        let anchor = 0x4120_0000;
        for at in [0x4008_0004, 0x41f0_0000, 0x4311_1110, anchor, 0x3f80_0008] {
            let head = Head::of(7).function(at as usize);
            assert_eq!(head.function_near(anchor), Some(at), "{at:#x}");
            assert_eq!(head.arg, 7);
        }
        assert_eq!(Head::of(7).function_near(anchor), None);
    }

    #[test]
    fn zeroed_memory_is_no_event() {
        assert_eq!(Event::unpack(&[0; 4]), None);
        assert_eq!(Event::unpack(&[0, 0xff, 0, 0]), None);
    }

    #[test]
    fn bits_of_a_function_are_those_of_its_head() {
        for function in [0, 4, 0x4028_5964, 0xffff_fffc] {
            let head = Head::of(7);
            let bits = head.bits() | Head::function_bits(function);
            assert_eq!(bits, head.function(function).bits(), "{function:#x}");
        }
    }
}
