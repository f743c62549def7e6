//! What is to be done at a place where something happens: one look for events and for what is done beside them.

use crate::Categories;

/// The bits of [`crate::Ring::set_aside`]; no category has one of them. Each category's own is sixteen bits above it, so
/// that AArch64 has the two as one operand (Arm ARM C3.4.2, logical immediates).
pub(crate) const ASIDE: u32 = 0xffff_0000;
const _: () = assert!(Categories::ALL.0 & ASIDE == 0);

/// What is to be done at a place where something happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    wanted: u32,
    categories: u32,
}

impl Asked {
    #[inline(always)]
    pub(crate) const fn of(wanted: u32, categories: Categories) -> Self {
        Self {
            wanted,
            categories: categories.0 & !ASIDE,
        }
    }

    /// Nothing is to be done.
    pub const NOTHING: Self = Self {
        wanted: 0,
        categories: 0,
    };

    /// What [`crate::Ring::set_aside`] is for.
    #[inline(always)]
    #[must_use]
    pub const fn aside(self) -> bool {
        self.wanted & self.categories << 16 != 0
    }

    /// Either.
    #[inline(always)]
    #[must_use]
    pub const fn any(self) -> bool {
        self.wanted & (self.categories | self.categories << 16) != 0
    }

    /// An event is to be written.
    #[inline(always)]
    #[must_use]
    pub const fn event(self) -> bool {
        self.wanted & self.categories != 0
    }

    /// An event of one of these categories is to be written, too: by the same look.
    #[inline(always)]
    #[must_use]
    pub const fn also(self, categories: Categories) -> bool {
        self.wanted & categories.0 & !ASIDE != 0
    }
}
