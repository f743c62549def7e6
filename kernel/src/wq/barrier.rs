//! The flush barrier: an item without a function that lets a waiter go when its turn comes (I6, I7).
#![expect(unsafe_code, reason = "barriers are reached by their handles")]

use core::cell::UnsafeCell;

use links::Handle;
use workqueue::Item;

use crate::completion::Completion;
use crate::lend;
use crate::thread::{Thread, current};

/// A flush barrier: lives in the waiting thread, queued behind what it waits for (I6).
#[repr(C)]
pub(super) struct Barrier {
    node: UnsafeCell<Item>,
    pub(super) done: Completion,
    waiter: &'static Thread,
}

// SAFETY: the node is touched only under the lock of the pool it is queued on; threads are `Sync`.
unsafe impl Sync for Barrier {}

impl Barrier {
    /// A barrier of the running thread.
    pub(super) fn new() -> Self {
        Self {
            node: UnsafeCell::new(Item::barrier()),
            done: Completion::new(),
            waiter: current(),
        }
    }

    pub(super) fn handle(&self) -> Handle<Item> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.node.get())
    }

    /// Who waits for barrier `h`, which was queued and is not completed.
    pub(super) fn waiter<'a>(h: Handle<Item>) -> &'a Thread {
        let p = core::ptr::with_exposed_provenance::<Self>(h.raw());
        // SAFETY: only barriers that were queued are asked for, and their waiters wait until they are
        // completed.
        unsafe { &*p }.waiter
    }

    /// Takes back what the waiter lends, and lets it go; the barrier may be gone when this returns. Under the pool's lock.
    ///
    /// # Safety
    ///
    /// The handle was made by [`Self::handle`] of a barrier that has not been completed.
    pub(super) unsafe fn complete(h: Handle<Item>) {
        let p = core::ptr::with_exposed_provenance::<Self>(h.raw());
        // SAFETY: promised by the caller; the waiter waits until `complete` is over.
        let barrier = unsafe { &*p };
        lend::end(&barrier.waiter.party);
        barrier.done.complete_all();
    }
}
