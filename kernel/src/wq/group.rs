//! Groups: a set of items that are cancelled or waited for together.
//!
//! A service that ends must be sure that none of its items runs any more. One by one that is hard to get
//! right: an item that was cancelled is queued again by one that was not yet. A group first disables all
//! its members, then waits for all, then enables them again.
//!
//! # Membership
//!
//! A group has places for so many members, made with it, so joining allocates nothing. A member is known
//! by a weak count on its `Arc`: being in a group keeps no item alive, and one that is freed has left it;
//! its memory is given back when its place is used again, or with the group. Joining and leaving take
//! time in proportion to the number of members, with interrupts masked.
//!
//! Handlers may join and leave while somebody goes through the members. Until that is over a member that
//! leaves is only marked, so that places keep their numbers; and while a cancel is going on nobody joins,
//! so that nobody escapes it.
//!
//! Locks: the group's (`Rank::WaitQueue`) is let go before a member is touched.
#![expect(unsafe_code, reason = "members are known by weak counts")]

mod place;

use alloc::vec::Vec;
use core::fmt;

use sync::{Rank, SpinLock};

use self::place::Place;
use super::errors::WaitError;
use super::header::{Header, Hold, WeakOp};
use super::item::sealed;
use super::{await_item, ops};
use crate::mem::{AllocError, try_vec_with_capacity};

use crate::mutex::{LockError, Mutex, Poisoned};
use crate::thread::ThreadCx;

/// Why an item did not join a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinError {
    /// Every place is taken by an item that is alive.
    Full,
    /// It is a member.
    Already,
    /// The group's members are being cancelled: whoever joined now would escape.
    Cancelling,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the group is full",
            Self::Already => "the item is a member already",
            Self::Cancelling => "the group's members are being cancelled",
        })
    }
}

impl core::error::Error for JoinError {}

/// What a [`Group::cancel_all_sync`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cancelled {
    /// Members that were pending: their submissions were taken out.
    pub pending: usize,
    /// Members whose handlers have panicked.
    pub poisoned: usize,
    /// Members whose disable count is full (B9): they were cancelled, but may have been queued again by
    /// others meanwhile.
    pub too_deep: usize,
}

/// What may be a member of a group: `&Arc<Work>`, `&Arc<DelayedWork>`, the `&'static` ones, and the
/// `&Run` of a handler.
pub trait Member: sealed::Submit {}
impl<S: sealed::Submit> Member for S {}

struct Inner {
    /// Never grows beyond its capacity.
    places: Vec<Place>,
    /// Somebody goes through them: so many.
    walkers: usize,
    cancelling: bool,
}

impl Inner {
    /// Empties the places of members that left or were freed, unless somebody goes through them.
    fn sweep(&mut self) {
        if self.walkers == 0 {
            self.places.retain(|p| !p.left && p.is_alive());
        }
    }
}

/// A set of items, of any types and queues, that are cancelled or waited for together.
///
/// Dropping a group cancels nothing: its members are members no more.
pub struct Group {
    inner: SpinLock<Inner>,
    /// Whoever cancels has it.
    one_at_a_time: Mutex<()>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let g = self.inner.lock();
        f.debug_struct("Group")
            .field("members", &g.places.len())
            .field("cancelling", &g.cancelling)
            .finish_non_exhaustive()
    }
}

impl Group {
    /// An empty group with room for `n` members.
    ///
    /// # Errors
    ///
    /// Without memory for the places.
    pub fn with_capacity(n: usize) -> Result<Self, AllocError> {
        let inner = Inner {
            places: try_vec_with_capacity(n)?,
            walkers: 0,
            cancelling: false,
        };
        Ok(Self {
            inner: SpinLock::new(Rank::WaitQueue, "work group", inner),
            one_at_a_time: Mutex::new(()),
        })
    }

    /// The item is a member from now on, until it leaves or is freed. An item may be in several groups.
    /// Any context. Never allocates.
    ///
    /// # Errors
    ///
    /// [`JoinError`].
    pub fn join(&self, item: impl Member) -> Result<(), JoinError> {
        let h = item.header();
        let mut g = self.inner.lock();
        if g.cancelling {
            return Err(JoinError::Cancelling);
        }
        if g.places.iter().any(|p| p.is(h)) {
            return Err(JoinError::Already);
        }
        if g.places.len() == g.places.capacity() {
            g.sweep();
        }
        if g.places.len() == g.places.capacity() {
            return Err(JoinError::Full);
        }
        let counted = item.counts().then_some(h.vtable);
        if let Some(v) = counted {
            item.retain();
            // SAFETY: `retain` has taken a strong count.
            unsafe { (v.weak)(h, WeakOp::Take) };
        }
        g.places.push(Place {
            item: h,
            counted,
            left: false,
            held: false,
            disabled: false,
        });
        drop(g);
        if counted.is_some() {
            // SAFETY: the count that `retain` has taken. The caller has another one.
            drop(unsafe { Hold::adopt(h) });
        }
        Ok(())
    }

    /// The item is no member any more; false if it was none. A cancel or flush that is going on may wait
    /// for it all the same. Any context.
    pub fn leave(&self, item: impl Member) -> bool {
        let h = item.header();
        let mut g = self.inner.lock();
        let Some(n) = g.places.iter().position(|p| p.is(h)) else {
            return false;
        };
        if g.walkers > 0 {
            g.places[n].left = true;
        } else {
            // The caller keeps the item, so its memory is not given back here.
            g.places.swap_remove(n);
        }
        true
    }

    /// How many members are alive.
    pub fn len(&self) -> usize {
        let g = self.inner.lock();
        let counts = |p: &&Place| !p.left && p.is_alive();
        g.places.iter().filter(counts).count()
    }

    /// No member is alive.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cancels all members, also those whose timer is armed, and waits until none of them runs. They
    /// refuse submissions meanwhile, and the group refuses to be joined: when this returns no member is
    /// pending or running, unless somebody has queued it since. They stay members.
    ///
    /// # Errors
    ///
    /// [`WaitError::SelfWait`] from the handler of a member; nothing was cancelled then.
    /// [`WaitError::Deadlock`] when a member's run waits for the caller, or somebody who cancels the
    /// group already does; in the first case all were cancelled, and that run goes on.
    pub fn cancel_all_sync(&self, cx: &ThreadCx<'_>) -> Result<Cancelled, WaitError> {
        // Before anything is waited for: whoever cancels already may wait for the caller.
        let members = self.begin(false);
        let own = self.refuse_own_run(members);
        self.end(false);
        own?;
        let mine = match self.one_at_a_time.lock(cx) {
            Ok(guard) | Err(LockError::Poisoned(Poisoned(guard))) => guard,
            Err(LockError::Deadlock(d)) => return Err(WaitError::Deadlock(d)),
        };
        let members = self.begin(true);
        let found = self.cancel(cx, members);
        self.end(true);
        drop(mine);
        found
    }

    fn cancel(&self, cx: &ThreadCx<'_>, members: usize) -> Result<Cancelled, WaitError> {
        let mut found = Cancelled::default();
        let mut refused = None;
        // All are disabled before the first is waited for: none queues another one any more.
        for n in 0..members {
            let Some((h, hold)) = self.member(n) else {
                continue;
            };
            let disabled = ops::disable(h);
            found.too_deep += usize::from(disabled.is_err());
            found.pending += usize::from(ops::was_pending(disabled));
            let mut g = self.inner.lock();
            g.places[n].disabled = disabled.is_ok();
            g.places[n].held = true;
            // Given up below.
            core::mem::forget(hold);
        }
        for n in 0..members {
            let Some(h) = self.held(n) else { continue };
            // What runs is on its way: no memory is needed for it (H6).
            match await_item::wait_for(cx, h, None) {
                Ok(_) => {}
                Err(WaitError::Poisoned) => found.poisoned += 1,
                Err(e) => refused = Some(e),
            }
        }
        for n in 0..members {
            let Some(h) = self.held(n) else { continue };
            let mut g = self.inner.lock();
            let place = &mut g.places[n];
            place.held = false;
            let disabled = core::mem::take(&mut place.disabled);
            let counted = place.counted.is_some();
            drop(g);
            if disabled {
                // Of a member that was not waited for nobody can say so.
                if refused.is_none() {
                    ops::over(h);
                }
                ops::enable(h);
            }
            if counted {
                // SAFETY: the count that was kept above.
                drop(unsafe { Hold::adopt(h) });
            }
        }
        refused.map_or(Ok(found), Err)
    }

    /// Waits until the last submission before this call of each member is over (I5). Timers that are
    /// armed stay armed: what they will queue is not waited for (I1).
    ///
    /// # Errors
    ///
    /// [`WaitError::SelfWait`] from the handler of a member; [`WaitError::Poisoned`] when a member's
    /// handler has panicked, after all others were waited for; [`WaitError::NoProgress`] (H6) and
    /// [`WaitError::Deadlock`], at once: the members after that one are not waited for.
    pub fn flush(&self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        let members = self.begin(false);
        let result = self.wait_for_each(cx, members);
        self.end(false);
        result
    }

    fn wait_for_each(&self, cx: &ThreadCx<'_>, members: usize) -> Result<(), WaitError> {
        self.refuse_own_run(members)?;
        let mut result = Ok(());
        for n in 0..members {
            let Some((h, _hold)) = self.member(n) else {
                continue;
            };
            // An item whose timer is armed was not queued.
            match await_item::flush(cx, h) {
                Ok(_) => {}
                Err(WaitError::Poisoned) => result = Err(WaitError::Poisoned),
                Err(e) => return Err(e),
            }
        }
        result
    }

    /// The caller is not the handler of one of the first `members`.
    fn refuse_own_run(&self, members: usize) -> Result<(), WaitError> {
        if !super::in_work_item() {
            return Ok(());
        }
        let own = |n| self.member(n).is_some_and(|(h, _hold)| ops::is_own_run(h));
        if (0..members).any(own) {
            return Err(WaitError::SelfWait);
        }
        Ok(())
    }

    /// Somebody goes through the members: places keep their numbers. How many there are.
    fn begin(&self, cancel: bool) -> usize {
        let mut g = self.inner.lock();
        g.sweep();
        g.walkers += 1;
        g.cancelling |= cancel;
        g.places.len()
    }

    fn end(&self, cancel: bool) {
        let mut g = self.inner.lock();
        g.walkers -= 1;
        g.cancelling &= !cancel;
        g.sweep();
    }

    /// The member at place `n`, kept by the hold; `None` if it left or is being freed.
    fn member(&self, n: usize) -> Option<(&'static Header, Hold)> {
        let g = self.inner.lock();
        let place = &g.places[n];
        if place.left { None } else { place.hold() }
    }

    /// The member at place `n`, if the cancel that is going on has a count on it.
    fn held(&self, n: usize) -> Option<&'static Header> {
        let g = self.inner.lock();
        let place = &g.places[n];
        // SAFETY: that count keeps it, or it lives for ever.
        place.held.then(|| unsafe { &*place.item })
    }
}
