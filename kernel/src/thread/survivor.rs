//! Who is told when a thread dies of a panic.
//!
//! There is no unwinding: a thread that panics runs no destructors, and whoever counts on what it would
//! have done waits for ever. So a thread may name a [`Survivor`] for the time of a call. If the call
//! panics, the survivor is told, on the dying thread, before the work item is declared over: who waits
//! for the item finds what the survivor did.
//!
//! A named survivor also makes the panic of a plain thread survivable: somebody says that he can do
//! without that thread. Without one only a worker may die (`panic.rs`).
//!
//! The naive alternative, a thread that watches the others, learns it late and costs a thread.
#![expect(unsafe_code, reason = "the survivor is borrowed from the dead frames")]

use core::cell::Cell;

use super::{ThreadCx, current};

/// Somebody who lives on when a handler dies.
pub trait Survivor: Sync {
    /// The thread that called [`with_survivor`] died of a panic inside. Thread context of the dying
    /// thread, without spin locks. The sleeping mutexes it held are poisoned and free already, so it
    /// takes none here; a panic here ends the machine.
    fn bereaved(&self);
}

#[derive(Clone, Copy)]
struct Named {
    who: *const (),
    tell: unsafe fn(*const ()),
}

/// A thread's survivor. `[P]` private to the thread.
pub(crate) struct Survivors {
    named: Cell<Option<Named>>,
    told: Cell<bool>,
}

impl Survivors {
    pub(super) const fn new() -> Self {
        Self {
            named: Cell::new(None),
            told: Cell::new(false),
        }
    }

    /// Whether there is one.
    pub(crate) fn is_named(&self) -> bool {
        self.named.get().is_some()
    }

    /// Whether the thread is dying: it must not panic again.
    pub(crate) fn is_told(&self) -> bool {
        self.told.get()
    }

    /// The running thread dies: tells the survivor, if one is named.
    pub(crate) fn tell(&self) {
        self.told.set(true);
        if let Some(Named { who, tell }) = self.named.take() {
            // SAFETY: the call that named it has not returned, so its borrow is alive; its frames stay
            // as they are, since there is no unwinding and the stack is never used again.
            unsafe { tell(who) }
        }
    }
}

/// Calls [`Survivor::bereaved`].
///
/// # Safety
///
/// `who` is a live `T`.
unsafe fn tell<T: Survivor>(who: *const ()) {
    // SAFETY: promised by the caller.
    let who = unsafe { &*who.cast::<T>() };
    who.bereaved();
}

/// Calls `f`; should it panic, the thread dies and `survivor` is told. Takes the place of a survivor
/// named outside, until `f` returns.
pub fn with_survivor<T: Survivor, R>(_cx: &ThreadCx<'_>, survivor: &T, f: impl FnOnce() -> R) -> R {
    let mine = &current().survivors;
    let named = Named {
        who: core::ptr::from_ref(survivor).cast(),
        tell: tell::<T>,
    };
    let outer = mine.named.replace(Some(named));
    let result = f();
    mine.named.set(outer);
    result
}
