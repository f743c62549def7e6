//! The transitions of the word.
//!
//! ```text
//!            (1) claim           (3) publish            (5) take
//!   idle ───────────────▶ owned ─────────────▶ queued ─────────────▶ idle (handler runs)
//!     ▲ │                  ▲ │ ▲                 │ ▲
//!     │ └─ (6) seize ──────┘ │ └── (7) unqueue ──┘ │
//!     └──── (8) release ─────┘                     │
//!       └───────────────── (2) claim_at ───────────┘
//! ```
//!
//! (4) `join` and a failed `claim` leave the state and add one submission. `release_disabled` is
//! (8) with a disable added. Every arrow is one read-modify-write with acquire and release order,
//! so all of them form one chain: whoever reads the word later has seen what was stored before.

use core::sync::atomic::{AtomicU64, Ordering};

use machine::sync_point;

use crate::mark::{Mark, REFUSE, Seen, Taken};
use crate::state::{
    BH, COUNT, COUNT_ONE, DEPTH, DEPTH_ONE, HELD, IDLE, PENDING, PLACE, POISONED, Place, QUEUED,
    State, count_of, depth_of, one_more, place_bits, place_of,
};

/// The atomic operations the word needs; the model checker supplies its own.
pub trait Word {
    /// Reads.
    fn load(&self, order: Ordering) -> u64;
    /// Replaces `old` by `new`; may fail spuriously.
    ///
    /// # Errors
    ///
    /// The value found.
    fn compare_exchange_weak(
        &self,
        old: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64>;
    /// Clears the bits that are zero in `mask`; the previous value.
    fn fetch_and(&self, mask: u64, order: Ordering) -> u64;
}

/// Every access is an interleaving point of the simulator, and nothing more on the metal.
impl Word for AtomicU64 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        sync_point();
        self.load(order)
    }
    #[inline(always)]
    fn compare_exchange_weak(
        &self,
        old: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        sync_point();
        // The one that does not fail without a reason: of the weak one's answer the compiler makes a value first.
        self.compare_exchange(old, new, success, failure)
    }
    #[inline(always)]
    fn fetch_and(&self, mask: u64, order: Ordering) -> u64 {
        sync_point();
        self.fetch_and(mask, order)
    }
}

/// Answer to an attempt to own an item for queueing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Claim {
    /// The caller owns it; it ran last at this place.
    Claimed(Place),
    /// It was pending already; this submission joined the pending ones, now so many. If it is the first,
    /// the item was idle, and in the hands of somebody who cancels it.
    Pending(u32),
    /// It is disabled: the submission is lost (B9).
    Disabled,
    /// Its handler panicked: the submission is lost.
    Poisoned,
    /// [`WorkWord::claim_at`] only: it ran last at another place; nothing changed.
    Elsewhere(Place),
}

/// Answer to an attempt to own an item for cancelling (J7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Seize {
    /// It was idle and the caller owns it now.
    Idle(State),
    /// It is queued: take that pool's lock and look again.
    Queued(Place),
    /// Its owner is about to queue or release it (or its timer is armed): try again.
    Busy,
}

/// Answer to undoing one disable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Enable {
    /// The item can be queued again.
    Enabled,
    /// So many disables remain.
    Still(u16),
    /// It was not disabled; nothing changed.
    Underflow,
}

/// The data word of one work item.
#[derive(Debug)]
pub struct WorkWord<A = AtomicU64>(A);

impl WorkWord {
    /// The word of a fresh item.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(IDLE))
    }
}

impl Default for WorkWord {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a submission joins another one. A disabled item is pending only in the hands of somebody
/// who disables or cancels it once more: what joins that would be lost, so it is refused.
const fn can_join(word: u64) -> bool {
    word & (PENDING | DEPTH) == PENDING
}

const fn refusal(word: u64) -> Claim {
    if word & POISONED != 0 {
        Claim::Poisoned
    } else {
        Claim::Disabled
    }
}

impl<A: Word> WorkWord<A> {
    /// A word over another kind of atomic, made from the value of a fresh item.
    pub fn with(make: impl FnOnce(u64) -> A) -> Self {
        Self(make(IDLE))
    }

    /// The state now; stable only for the owner, and in part for whoever holds the place's lock.
    #[inline(always)]
    pub fn state(&self) -> State {
        State::unpack(self.0.load(Ordering::Acquire))
    }

    /// Replaces the word by what `f` makes of it, always by a write. `Err` leaves it.
    #[inline(always)]
    fn update<E>(&self, f: impl Fn(u64) -> Result<u64, E>) -> Result<u64, E> {
        self.update_from(self.0.load(Ordering::Relaxed), f)
    }

    /// As [`Self::update`]; `old` was read a moment ago.
    #[inline(always)]
    fn update_from<E>(&self, old: u64, f: impl Fn(u64) -> Result<u64, E>) -> Result<u64, E> {
        let mut old = old;
        loop {
            let new = f(old)?;
            match self
                .0
                .compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return Ok(old),
                Err(now) => old = now,
            }
        }
    }

    /// Reads the word, for [`Self::join_seen`] and [`Self::claim_idle`].
    #[inline(always)]
    pub fn look(&self) -> Seen {
        Seen(self.0.load(Ordering::Relaxed))
    }

    /// Reads the word, for [`Seen::is_at_rest`], or to go to the place that it names: who reads what somebody made of it sees
    /// what was stored before.
    #[inline(always)]
    pub fn look_back(&self) -> Seen {
        Seen(self.0.load(Ordering::Acquire))
    }

    /// (2) As [`Self::claim_at`], in the usual case: the item is idle and ran last at the place of `mark`. False:
    /// nothing changed, [`Self::claim_at`] says why or does it. Call with the lock of that place.
    #[inline(always)]
    #[must_use = "an item that is claimed must be linked"]
    pub fn claim_marked(&self, mark: Mark) -> bool {
        debug_assert!(mark.idle & PENDING == 0, "the mark of no place");
        self.0
            .compare_exchange_weak(mark.idle, mark.queued, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether it is as [`Self::claim_marked`] left it: on a list under the lock of the mark's place, which the caller holds, for
    /// one submission, enabled and not poisoned. More submissions may join at any time.
    #[inline(always)]
    #[must_use]
    pub fn is_marked(&self, mark: Mark) -> bool {
        self.0.load(Ordering::Acquire) & !HELD == mark.queued
    }

    /// (1) As [`Self::claim`], in the usual case: the word is still as it was seen, idle. False: nothing changed,
    /// [`Self::claim`] says why or does it. `held`: the submission keeps the item by a count. Call with interrupts masked.
    #[inline(always)]
    #[must_use = "an item that is claimed must be queued or given up"]
    pub fn claim_idle(&self, seen: Seen, held: bool) -> bool {
        let Seen(old) = seen;
        let mine = PENDING | COUNT_ONE | if held { HELD } else { 0 };
        seen.is_idle()
            && self
                .0
                .compare_exchange_weak(old, old | mine, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// (4) Adds a submission if the item is pending, and says how many there are now. `None`: it
    /// was not pending and nothing changed. Needs no interrupts masked, unlike [`Self::claim`].
    #[inline(always)]
    pub fn join(&self) -> Option<u32> {
        self.join_seen(self.look())
    }

    /// As [`Self::join`], from what was seen on.
    #[inline(always)]
    pub fn join_seen(&self, seen: Seen) -> Option<u32> {
        self.update_from(seen.0, |w| {
            if can_join(w) {
                Ok(one_more(w))
            } else {
                Err(())
            }
        })
        .ok()
        .map(|w| count_of(one_more(w)))
    }

    /// (1) Tries to own the item in order to queue it. Call with interrupts masked.
    #[inline(always)]
    pub fn claim(&self) -> Claim {
        let old = self.update(|w| {
            Ok::<_, ()>(if can_join(w) {
                one_more(w)
            } else if w & REFUSE != 0 {
                w
            } else {
                w | PENDING | COUNT_ONE
            })
        });
        match old {
            Ok(w) if can_join(w) => Claim::Pending(count_of(one_more(w))),
            Ok(w) if w & REFUSE != 0 => refusal(w),
            Ok(w) => Claim::Claimed(place_of(w)),
            Err(()) => Claim::Disabled,
        }
    }

    /// (2) Claims and publishes in one step, when the item ran last at `place` or never. Call with
    /// the lock of `place`; on `Claimed` link the item before releasing it.
    #[inline(always)]
    pub fn claim_at(&self, place: Place, bh: bool) -> Claim {
        let here = place_bits(place);
        let mark = PENDING | QUEUED | COUNT_ONE | here | if bh { BH } else { 0 };
        let old = self.update(|w| {
            if can_join(w) {
                Ok(one_more(w))
            } else if w & REFUSE != 0 {
                Ok(w)
            } else if w & PLACE == here || w & PLACE == PLACE {
                Ok(w & !(PLACE | BH) | mark)
            } else {
                Err(place_of(w))
            }
        });
        match old {
            Ok(w) if can_join(w) => Claim::Pending(count_of(one_more(w))),
            Ok(w) if w & REFUSE != 0 => refusal(w),
            Ok(w) => Claim::Claimed(place_of(w)),
            Err(last) => Claim::Elsewhere(last),
        }
    }

    /// (3) The owner links the item under the lock of `place` and says so.
    #[inline(always)]
    pub fn publish(&self, place: Place, bh: bool) {
        let mark = QUEUED | place_bits(place) | if bh { BH } else { 0 };
        let old = self.update(|w| Ok::<_, ()>(w & !(PLACE | BH) | mark));
        debug_assert!(
            old.is_ok_and(|w| w & (PENDING | QUEUED) == PENDING),
            "publish: not owned"
        );
    }

    /// The owner says whether the submission keeps the item by a count: after a [`Self::claim`], [`Self::claim_at`] or
    /// [`Self::seize`], none of which does.
    #[inline]
    pub fn set_held(&self, held: bool) {
        let old = self.update(|w| Ok::<_, ()>(w & !HELD | if held { HELD } else { 0 }));
        debug_assert!(old.is_ok_and(|w| w & PENDING != 0), "set_held: not owned");
    }

    /// (5) Ends the pending state directly before the handler runs (B5), under the lock of the
    /// place; what the submissions this run serves were.
    #[inline(always)]
    pub fn take(&self) -> Taken {
        let old = self
            .0
            .fetch_and(!(PENDING | QUEUED | HELD | COUNT), Ordering::AcqRel);
        debug_assert!(
            old & (PENDING | QUEUED) == PENDING | QUEUED,
            "take: not queued"
        );
        Taken(old)
    }

    /// (6) Tries to own the item in order to cancel it, whatever its state.
    pub fn seize(&self) -> Seize {
        let old = self.update(|w| match w & (PENDING | QUEUED) {
            0 => Ok(w | PENDING),
            PENDING => Err(Seize::Busy),
            _ => Err(Seize::Queued(place_of(w))),
        });
        match old {
            Ok(w) => Seize::Idle(State::unpack(w)),
            Err(other) => other,
        }
    }

    /// (7) The thief, under the lock of the place, has unlinked the item and owns it now.
    pub fn unqueue(&self) {
        let old = self.0.fetch_and(!QUEUED, Ordering::AcqRel);
        debug_assert!(
            old & (PENDING | QUEUED) == PENDING | QUEUED,
            "unqueue: not queued"
        );
    }

    /// (8) The owner gives the item up, unqueued. Returns how many submissions are given up with it: to
    /// the last moment some may have joined, also an item that was idle when it was seized.
    pub fn release(&self) -> u32 {
        let old = self
            .0
            .fetch_and(!(PENDING | HELD | COUNT), Ordering::AcqRel);
        debug_assert!(old & (PENDING | QUEUED) == PENDING, "release: not owned");
        count_of(old)
    }

    /// (8) The owner gives the item up, as [`Self::release`] does, and disables it once more. The second
    /// is false when the depth is at its limit: it is then given up without.
    #[must_use]
    pub fn release_disabled(&self) -> (u32, bool) {
        let old = self.update(|w| {
            let w = w & !(PENDING | HELD | COUNT);
            Ok::<_, ()>(if w & DEPTH == DEPTH { w } else { w + DEPTH_ONE })
        });
        let (Ok(old) | Err(old)) = old.map_err(|()| 0);
        (count_of(old), old & DEPTH != DEPTH)
    }

    /// Undoes one disable.
    pub fn enable(&self) -> Enable {
        let old = self.update(|w| {
            if w & DEPTH == 0 {
                Err(())
            } else {
                Ok(w - DEPTH_ONE)
            }
        });
        match old.map(depth_of) {
            Ok(1) => Enable::Enabled,
            Ok(n) => Enable::Still(n - 1),
            Err(()) => Enable::Underflow,
        }
    }

    /// Marks the item: its handler panicked. Under the lock of the place.
    pub fn poison(&self) {
        let _ = self.update(|w| Ok::<_, ()>(w | POISONED));
    }

    /// Removes the mark.
    pub fn clear_poison(&self) {
        let _ = self.0.fetch_and(!POISONED, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
