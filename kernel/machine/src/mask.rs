//! Sets of cores.

use core::fmt;
use core::str::FromStr;

use crate::{CpuId, MAX_CPUS};

/// A set of cores.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuMask(pub u64);

impl CpuMask {
    /// Every core an image supports.
    pub const ALL: Self = Self(u64::MAX);
    /// No core.
    pub const NONE: Self = Self(0);

    /// Just core `id`.
    #[must_use]
    pub const fn single(id: CpuId) -> Self {
        Self(1 << id.index())
    }

    /// The first `n` cores.
    #[must_use]
    pub const fn first_n(n: usize) -> Self {
        Self(if n >= MAX_CPUS {
            u64::MAX
        } else {
            (1 << n) - 1
        })
    }

    /// True when core `id` belongs to the set.
    #[must_use]
    pub const fn contains(self, id: CpuId) -> bool {
        self.0 >> id.index() & 1 != 0
    }

    /// The set with core `id`.
    #[must_use]
    pub const fn with(self, id: CpuId) -> Self {
        Self(self.0 | 1 << id.index())
    }

    /// The cores in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True when no core belongs to the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many cores belong to the set.
    #[must_use]
    pub const fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The lowest core of the set.
    #[must_use]
    pub fn lowest(self) -> Option<CpuId> {
        (self.0 != 0).then(|| CpuId::new(self.0.trailing_zeros() as usize))
    }

    /// The cores of the set, lowest first.
    pub fn iter(self) -> impl Iterator<Item = CpuId> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let id = Self(rest).lowest()?;
            rest &= rest - 1;
            Some(id)
        })
    }
}

/// A list of cores and ranges such as `0-3,6`; empty for no core. [`CpuMask::from_str`] reads it.
impl fmt::Display for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut between) = (self.0, "");
        while rest != 0 {
            let first = rest.trailing_zeros();
            let len = (rest >> first).trailing_ones();
            let last = first + len - 1;
            rest &= u64::MAX.checked_shl(last + 1).unwrap_or(0);
            match len {
                1 => write!(f, "{between}{first}")?,
                _ => write!(f, "{between}{first}-{last}")?,
            }
            between = ",";
        }
        Ok(())
    }
}

/// The text is not a list of cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAMask;

impl FromStr for CpuMask {
    type Err = NotAMask;

    /// Reads a list of cores and ranges such as `0-3,6`.
    fn from_str(list: &str) -> Result<Self, NotAMask> {
        let number = |text: &str| text.parse::<usize>().ok().filter(|&n| n < MAX_CPUS);
        let mut mask = Self::NONE;
        for part in list.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = number(first).zip(number(last)).ok_or(NotAMask)?;
            if first > last {
                return Err(NotAMask);
            }
            mask.0 |= Self::first_n(last + 1).0 & !Self::first_n(first).0;
        }
        Ok(mask)
    }
}

impl fmt::Debug for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn g7_lists_of_cores_are_written_as_they_are_read() {
        for (list, mask) in [
            ("0", 1),
            ("0-3,6", 0b100_1111),
            ("1,3-4", 0b1_1010),
            ("63", 1 << 63),
            ("0-63", u64::MAX),
        ] {
            assert_eq!(list.parse(), Ok(CpuMask(mask)));
            assert_eq!(CpuMask(mask).to_string(), list);
        }
        assert_eq!("2,0-1,1".parse(), Ok(CpuMask(0b111)));
        assert_eq!(CpuMask::NONE.to_string(), "");
        for bad in ["", ",", "3-1", "64", "0-64", "a", "-1", "1-", " 1"] {
            assert_eq!(bad.parse::<CpuMask>(), Err(NotAMask), "{bad:?}");
        }
    }
}
