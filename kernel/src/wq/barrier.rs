//! The flush barrier: an item without a function that lets a waiter go when its turn comes (I6, I7).
#![expect(unsafe_code, reason = "barriers are reached by their handles")]

use core::cell::UnsafeCell;

use links::Handle;
use workqueue::Item;

use crate::completion::Completion;

/// A flush barrier: lives in the waiting thread, queued behind what it waits for (I6).
#[repr(C)]
pub(super) struct Barrier {
    node: UnsafeCell<Item>,
    pub(super) done: Completion,
}

// SAFETY: the node is touched only under the lock of the pool it is queued on.
unsafe impl Sync for Barrier {}

impl Barrier {
    pub(super) const fn new() -> Self {
        Self {
            node: UnsafeCell::new(Item::barrier()),
            done: Completion::new(),
        }
    }

    pub(super) fn handle(&self) -> Handle<Item> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.node.get())
    }

    /// Lets the waiter go; the barrier may be gone when this returns. Under the pool's lock.
    ///
    /// # Safety
    ///
    /// The handle was made by [`Self::handle`] of a barrier that has not been completed.
    pub(super) unsafe fn complete(h: Handle<Item>) {
        let p = core::ptr::with_exposed_provenance::<Self>(h.raw());
        // SAFETY: promised by the caller; the waiter waits until `complete` is over.
        unsafe { &*p }.done.complete_all();
    }
}
