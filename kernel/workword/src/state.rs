//! Layout of the word: what an item's state is made of, packed and unpacked (B1, B2).

use core::fmt;

/// Number of the pool whose lock protects a queued item, or where an idle item ran last.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place(u16);

impl Place {
    /// No pool: the item was never queued.
    pub const NONE: Self = Self(u16::MAX);

    /// The place with this number.
    ///
    /// # Panics
    ///
    /// If `n` is the number that means "none".
    #[must_use]
    #[inline]
    pub const fn new(n: u16) -> Self {
        assert!(n != u16::MAX, "this number means no place");
        Self(n)
    }

    /// The number, as an index into the pool table.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// False for a never queued item.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != u16::MAX
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_some() {
            write!(f, "pool{}", self.0)
        } else {
            f.write_str("nowhere")
        }
    }
}

/// The word, unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// Somebody owns the item, or it is queued.
    pub pending: bool,
    /// It is on a list under the lock of `place`.
    pub queued: bool,
    /// It was last queued on a BH pool.
    pub bh: bool,
    /// Its handler panicked; it cannot be queued until the mark is cleared.
    pub poisoned: bool,
    /// The pending submission keeps the item by a count, which whoever ends it takes over.
    pub held: bool,
    /// Where it is queued, or ran last.
    pub place: Place,
    /// How many disables are not yet undone; it cannot be queued unless 0 (B9).
    pub depth: u16,
    /// Submissions merged into the pending execution, the first one included; saturates.
    pub submissions: u32,
}

pub(crate) const PENDING: u64 = 1;
pub(crate) const QUEUED: u64 = 1 << 1;
// Those that end with the pending state lie together: then the mask is part of the instruction.
pub(crate) const HELD: u64 = 1 << 2;
pub(crate) const BH: u64 = 1 << 3;
pub(crate) const POISONED: u64 = 1 << 4;
const PLACE_SHIFT: u32 = 8;
const DEPTH_SHIFT: u32 = 24;
const COUNT_SHIFT: u32 = 40;
pub(crate) const PLACE: u64 = 0xffff << PLACE_SHIFT;
pub(crate) const DEPTH: u64 = 0xffff << DEPTH_SHIFT;
pub(crate) const DEPTH_ONE: u64 = 1 << DEPTH_SHIFT;
pub(crate) const COUNT: u64 = 0xff_ffff << COUNT_SHIFT;
pub(crate) const COUNT_ONE: u64 = 1 << COUNT_SHIFT;

const _: () = {
    assert!(PENDING | QUEUED | BH | POISONED | HELD == 0x1f);
    assert!(PLACE & DEPTH == 0 && DEPTH & COUNT == 0 && PLACE & 0xff == 0);
    assert!(PLACE | DEPTH | COUNT | 0xff == u64::MAX);
};

/// A fresh item: idle, never queued, enabled.
pub(crate) const IDLE: u64 = PLACE;

#[inline(always)]
pub(crate) const fn place_bits(place: Place) -> u64 {
    (place.0 as u64) << PLACE_SHIFT
}

#[inline(always)]
pub(crate) const fn place_of(word: u64) -> Place {
    Place((word >> PLACE_SHIFT) as u16)
}

#[inline(always)]
pub(crate) const fn depth_of(word: u64) -> u16 {
    (word >> DEPTH_SHIFT) as u16
}

#[inline(always)]
pub(crate) const fn count_of(word: u64) -> u32 {
    (word >> COUNT_SHIFT) as u32
}

/// `word` with one more submission, unless the counter is full.
#[inline(always)]
pub(crate) const fn one_more(word: u64) -> u64 {
    if word & COUNT == COUNT {
        word
    } else {
        word + COUNT_ONE
    }
}

impl State {
    /// Unpacks a word.
    #[must_use]
    pub const fn unpack(word: u64) -> Self {
        Self {
            pending: word & PENDING != 0,
            queued: word & QUEUED != 0,
            bh: word & BH != 0,
            poisoned: word & POISONED != 0,
            held: word & HELD != 0,
            place: place_of(word),
            depth: depth_of(word),
            submissions: count_of(word),
        }
    }

    /// Packs into a word; `submissions` above the counter's range saturates.
    #[must_use]
    pub const fn pack(self) -> u64 {
        let max = (COUNT >> COUNT_SHIFT) as u32;
        let count = if self.submissions > max {
            max
        } else {
            self.submissions
        };
        ((self.pending as u64) * PENDING)
            | ((self.queued as u64) * QUEUED)
            | ((self.bh as u64) * BH)
            | ((self.poisoned as u64) * POISONED)
            | ((self.held as u64) * HELD)
            | place_bits(self.place)
            | ((self.depth as u64) << DEPTH_SHIFT)
            | ((count as u64) << COUNT_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn states() -> impl Strategy<Value = State> {
        (
            any::<[bool; 5]>(),
            any::<u16>(),
            any::<u16>(),
            0u32..0x100_0000,
        )
            .prop_map(
                |([pending, queued, bh, poisoned, held], place, depth, submissions)| State {
                    pending,
                    queued,
                    bh,
                    poisoned,
                    held,
                    place: Place(place),
                    depth,
                    submissions,
                },
            )
    }

    proptest! {
        #[test]
        fn b1_b2_every_state_survives_the_word(s in states()) {
            prop_assert_eq!(State::unpack(s.pack()), s);
        }

        #[test]
        fn b1_b2_fields_do_not_overlap(a in states(), b in states()) {
            // Mixing fields of two states must equal mixing their masks.
            let mixed = State { depth: b.depth, place: b.place, ..a };
            let word = (a.pack() & !(DEPTH | PLACE)) | (b.pack() & (DEPTH | PLACE));
            prop_assert_eq!(mixed.pack(), word);
        }
    }

    #[test]
    fn submissions_saturate() {
        let full = State {
            submissions: u32::MAX,
            ..State::unpack(IDLE)
        }
        .pack();
        assert_eq!(count_of(full), 0xff_ffff);
        assert_eq!(one_more(full), full);
        assert_eq!(count_of(one_more(IDLE)), 1);
    }

    #[test]
    fn a_fresh_word_is_idle_and_nowhere() {
        let s = State::unpack(IDLE);
        assert!(!s.pending && !s.queued && !s.bh && !s.poisoned && !s.held);
        assert!(!s.place.is_some());
        assert_eq!((s.depth, s.submissions), (0, 0));
    }
}
