//! The flush barrier: an item without a function that lets a waiter go when its turn comes (I6, I7).
#![expect(unsafe_code, reason = "barriers are reached by their handles")]

use core::cell::{Cell, UnsafeCell};

use links::Handle;
use workqueue::Item;

use super::handles::Store;
use crate::completion::Completion;
use crate::lend::{self, Party};
use crate::thread::{Thread, current};

/// To whom the waiter of a barrier lends (`urge`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LendsTo {
    /// The barrier is not queued, or behind an item in softirq context.
    Nobody,
    /// The pool on whose list it is.
    Pool,
    /// The worker on whose own list it is.
    Worker,
}

/// A flush barrier: lives in the waiting thread, queued behind what it waits for (I6).
#[repr(C)]
pub(super) struct Barrier {
    node: UnsafeCell<Item>,
    pub(super) done: Completion,
    waiter: &'static Thread,
    /// Like `node`.
    lends: Cell<LendsTo>,
}

// SAFETY: the node and `lends` are touched only under the lock of the pool it is queued on; threads are `Sync`.
unsafe impl Sync for Barrier {}

impl Barrier {
    /// A barrier of the running thread.
    pub(super) fn new() -> Self {
        Self {
            node: UnsafeCell::new(Item::barrier()),
            done: Completion::new(),
            waiter: current(),
            lends: Cell::new(LendsTo::Nobody),
        }
    }

    pub(super) fn handle(&self) -> Handle<Item> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.node.get())
    }

    /// Barrier `h`, which was queued and is not completed.
    fn of<'a>(h: Handle<Item>) -> &'a Self {
        let p = core::ptr::with_exposed_provenance::<Self>(h.raw());
        // SAFETY: only barriers that were queued are asked for, and their waiters wait until they are
        // completed.
        unsafe { &*p }
    }

    /// Who waits for barrier `h`, which was queued and is not completed.
    pub(super) fn waiter<'a>(h: Handle<Item>) -> &'a Thread {
        Self::of(h).waiter
    }

    /// Notes to whom the waiter of `h` lends from now on, of which `store` keeps count: it is that of the pool whose
    /// lock is held. Whether it lent to somebody before.
    pub(super) fn note(h: Handle<Item>, to: LendsTo, store: &Store) -> bool {
        let before = Self::of(h).lends.replace(to);
        let lent = store.lent.get() - u32::from(before == LendsTo::Pool);
        store.lent.set(lent + u32::from(to == LendsTo::Pool));
        if before == LendsTo::Pool && lent == 0 {
            store.sole.set(None);
        }
        before != LendsTo::Nobody
    }

    /// Whether the waiter of `h` lends to anybody; under the pool's lock.
    pub(super) fn lends(h: Handle<Item>) -> bool {
        Self::of(h).lends.get() != LendsTo::Nobody
    }

    /// The waiter of `h` lends to `helper` from now on.
    pub(super) fn lend(h: Handle<Item>, to: LendsTo, store: &Store, helper: &Party) {
        Self::note(h, to, store);
        lend::lend(Self::waiter(h).party(), helper);
    }

    /// The waiter of `h` lends to nobody from now on.
    pub(super) fn take_back(h: Handle<Item>, store: &Store) {
        if Self::note(h, LendsTo::Nobody, store) {
            lend::end(Self::waiter(h).party());
        }
    }

    /// Takes back what the waiter lends, and lets it go; the barrier may be gone when this returns. Under the pool's
    /// lock, with its `store`.
    ///
    /// # Safety
    ///
    /// The handle was made by [`Self::handle`] of a barrier that has not been completed.
    #[inline(always)]
    pub(super) unsafe fn complete(h: Handle<Item>, store: &Store) {
        Self::take_back(h, store);
        Self::of(h).done.complete_all();
    }
}
