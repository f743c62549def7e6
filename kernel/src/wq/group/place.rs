//! A member's place: a weak count on it, which becomes a strong one for as long as a cancel needs it.
#![expect(unsafe_code, reason = "weak counts of members, type-erased")]

use super::super::header::{Header, Hold, Vtable, WeakOp};

/// A place that is taken.
pub(super) struct Place {
    pub(super) item: *const Header,
    /// The item's table; `None` for an item that lives for ever. (An item that is freed cannot be asked.)
    pub(super) counted: Option<&'static Vtable>,
    /// It left while somebody goes through the members.
    pub(super) left: bool,
    /// The cancel that is going on has a strong count on it, if it needs one.
    pub(super) held: bool,
    /// That cancel has disabled it.
    pub(super) disabled: bool,
}

// SAFETY: a place is a weak count, which any thread may give up; items are `Send` and `Sync`.
unsafe impl Send for Place {}

impl Place {
    pub(super) fn is(&self, h: &Header) -> bool {
        !self.left && core::ptr::eq(self.item, h)
    }

    pub(super) fn is_alive(&self) -> bool {
        let alive = |v: &Vtable| {
            // SAFETY: the place has a weak count.
            unsafe { (v.weak)(self.item, WeakOp::IsAlive) }
        };
        self.counted.is_none_or(alive)
    }

    /// A strong count on the item; `None` if it is being freed.
    pub(super) fn hold(&self) -> Option<(&'static Header, Hold)> {
        let hold = match self.counted {
            None => Hold::NONE,
            Some(v) => {
                // SAFETY: the place has a weak count.
                if !unsafe { (v.weak)(self.item, WeakOp::Upgrade) } {
                    return None;
                }
                // SAFETY: the count that was just added.
                unsafe { Hold::adopt(self.item) }
            }
        };
        // SAFETY: alive as long as the hold, which goes with it.
        Some((unsafe { &*self.item }, hold))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(v) = self.counted {
            // SAFETY: the weak count of this place.
            unsafe { (v.weak)(self.item, WeakOp::Drop) };
        }
    }
}
