//! What must not happen in atomic context is caught, with names. Each of these must die.

use kernel::thread::{Builder, ThreadCx, sleep};
use machine::Duration;
use sync::{Rank, SpinLock};

/// Must die: a sleep with a spin lock held names the lock.
pub(crate) fn sleep_under_spin_lock(cx: &ThreadCx<'_>) {
    let lock: SpinLock<(), sync::PreemptOff> = SpinLock::new(Rank::Leaf, "held over a sleep", ());
    let _g = lock.lock();
    sleep(cx, Duration::from_millis(1));
}

/// Must die: two locks in the wrong order name both.
pub(crate) fn rank_inversion(_: &ThreadCx<'_>) {
    let outer: SpinLock<()> = SpinLock::new(Rank::Pool, "the outer one", ());
    let inner: SpinLock<()> = SpinLock::new(Rank::Leaf, "the inner one", ());
    let _i = inner.lock();
    let _o = outer.lock();
}

/// Must die: a panic outside any work item is fatal and names its thread.
pub(crate) fn thread_panic_is_fatal(cx: &ThreadCx<'_>) {
    Builder::new("doomed").spawn(|_| panic!("as intended")).expect("memory").join(cx);
}
