//! What a thread that waits lends to whoever it waits for: its nice value and its slice.
//!
//! Lending only the weight would give the helper its share of the core, but in long requests; with
//! the slice it also comes to its turn as soon as the waiter would have (V8). Loans do not add up: of
//! several waiters the strongest counts, since they wait for the same end and one of them running
//! would not make the others run.

use machine::Duration;

use crate::entity::clamp_slice;
use crate::weight::Nice;

/// A nice value and the length of a request, as far as they are lent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loan {
    nice: Nice,
    slice_ns: u32,
}

impl Loan {
    /// Nothing is lent: no stronger than anybody.
    pub const NONE: Self = Self {
        nice: Nice::MAX,
        slice_ns: u32::MAX,
    };

    /// What a thread of this nice value, which asked for slices of this length, has to lend: as its own
    /// requests ([`crate::Entity::new`]), they are clamped to [`crate::MIN_SLICE`]..=[`crate::MAX_SLICE`].
    #[must_use]
    pub const fn new(nice: Nice, slice: Duration) -> Self {
        let slice_ns = clamp_slice(slice);
        Self { nice, slice_ns }
    }

    /// The nice value.
    #[must_use]
    pub const fn nice(self) -> Nice {
        self.nice
    }

    /// The length of a request.
    #[must_use]
    pub const fn slice(self) -> Duration {
        Duration::from_nanos(self.slice_ns as u64)
    }

    pub(crate) const fn slice_ns(self) -> u32 {
        self.slice_ns
    }

    /// The stronger of the two in each respect: the lower nice value and the shorter slice.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self {
            nice: if other.nice.get() < self.nice.get() {
                other.nice
            } else {
                self.nice
            },
            slice_ns: if other.slice_ns < self.slice_ns {
                other.slice_ns
            } else {
                self.slice_ns
            },
        }
    }

    /// Whether `other` adds nothing to it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.with(other) == self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entity, MAX_SLICE, MIN_SLICE};

    #[test]
    fn the_stronger_counts_in_each_respect() {
        let (nice, ms) = (
            |n| Nice::new(n).expect("a nice value"),
            Duration::from_millis,
        );
        let (a, b) = (Loan::new(nice(-5), ms(9)), Loan::new(nice(3), ms(2)));
        assert_eq!(a.with(b), Loan::new(nice(-5), ms(2)));
        assert_eq!(a.with(b), b.with(a));
        assert_eq!(a.with(Loan::NONE), a);
        assert!(a.with(b).covers(a) && !a.covers(b) && a.covers(Loan::NONE));
    }

    #[test]
    fn nobody_lends_another_slice_than_he_gets_himself() {
        for ns in [
            0,
            1,
            99_999,
            100_000,
            7_000_000,
            100_000_000,
            100_000_001,
            1 << 40,
        ] {
            let asked = Duration::from_nanos(ns);
            let own = Entity::new(Nice::ZERO, Some(asked)).slice();
            assert_eq!(Loan::new(Nice::ZERO, asked).slice(), own, "{ns}");
        }
        assert_eq!(Loan::new(Nice::ZERO, Duration::ZERO).slice(), MIN_SLICE);
        assert_eq!(Loan::new(Nice::ZERO, Duration::MAX).slice(), MAX_SLICE);
    }
}
