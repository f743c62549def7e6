//! Waiting, as the models do it.

use loom::sync::Notify;
use model_tests::Rank;
use model_tests::shipped::spin_lock::{IrqOff, SpinLock};

/// A core's pending interrupt, or a thread's turn on its core. Ringing twice before somebody waits
/// is one ring. If nobody rings any more, loom reports a deadlock.
///
/// It is never weakened: the interrupt controller delivers what was raised.
pub(crate) struct Bell(Notify);

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bell")
    }
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self(Notify::new())
    }

    /// Ends the present or the next wait.
    pub(crate) fn ring(&self) {
        self.0.notify();
    }

    /// Waits; may return without a ring.
    pub(crate) fn wait(&self) {
        self.0.wait();
    }
}

/// The shipped lock around `value`. (Not loom's mutex: that orders more than a real one.)
pub(crate) fn locked<T: std::fmt::Debug>(value: T) -> SpinLock<T, IrqOff> {
    let lock = SpinLock::new(Rank::Leaf, "model", value);
    assert!(!lock.is_locked());
    lock
}
