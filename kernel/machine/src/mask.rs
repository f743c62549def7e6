//! Sets of cores.

use core::fmt;

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

impl fmt::Debug for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
