//! What holds a scope together: the count that its end waits for, and the list of a thread's scopes.
#![expect(unsafe_code, reason = "scopes are on the stacks of who waits in them")]

use core::sync::atomic::AtomicUsize;

use sync::handshake::Countdown;

use crate::completion::Completion;
use crate::thread::{Thread, ThreadCx};
use crate::trace::{Head, Kind, emit_unmasked};
use crate::waits::{SleepsIn, sleeps_in};

/// What the spawner and the spawned of one scope share.
pub(super) struct Joint {
    /// Submissions that are not over, and one for the spawner.
    pub(super) left: Countdown,
    pub(super) panicked: AtomicUsize,
    /// The last submission is over.
    done: Completion,
}

impl Joint {
    pub(super) fn new() -> Self {
        let left = Countdown::new();
        left.start();
        Self {
            left,
            panicked: AtomicUsize::new(0),
            done: Completion::new(),
        }
    }

    /// A submission is over. The scope may be gone when this returns.
    ///
    /// # Safety
    ///
    /// The caller gives up a count that was added for it.
    pub(super) unsafe fn finish(this: *const Self) {
        // SAFETY: the scope waits for this count.
        let joint = unsafe { &*this };
        if joint.left.finish() {
            joint.done.complete();
        }
    }

    /// The spawner gives up its count, and waits for all others.
    pub(super) fn wait(&self, cx: &ThreadCx<'_>) {
        if self.left.armed() {
            let _said = sleeps_in(SleepsIn::Scope);
            self.done.wait(cx);
        }
        emit_unmasked(Kind::ScopeEnd, Head::of(0), 0, self.name());
    }

    pub(super) fn name(&self) -> u64 {
        core::ptr::from_ref(self).addr() as u64
    }
}

/// A scope that its thread has not left; on that thread's stack.
pub(crate) struct Open {
    pub(super) joint: *const Joint,
    pub(super) outer: *const Self,
}

/// The running thread, `me`, dies of a panic: waits until nothing runs that it spawned in a scope.
pub(crate) fn wait_for_open(me: &Thread) {
    let mut open = me.scopes.replace(core::ptr::null());
    // SAFETY: the frames of a dying thread stay as they are, and these scopes have not returned.
    while let Some(scope) = unsafe { open.as_ref() } {
        // SAFETY: as above.
        let joint = unsafe { &*scope.joint };
        joint.wait(&ThreadCx::mint());
        open = scope.outer;
    }
}
