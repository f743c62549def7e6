//! Whether anybody wants to know of what items do: one bit of every share, so that the paths of all items ask one question.
//!
//! The rings of the cores and the anatomy's switch say what exactly is wanted, and are asked where the bit is set. It follows them:
//! whoever changes one of them tells all shares, and a share that is made or attached meanwhile asks. What is executed
//! at that moment is told in part, or not at all.

use core::sync::atomic::Ordering;

use super::anatomy;
use super::pool::Inner;
use super::registry::each_queue_locked;
use super::shares::Shares;
use crate::kernel;
use crate::trace::{self, Kind};

/// Somebody wants to know.
pub(super) fn is_on() -> bool {
    kernel().wq.observed.load(Ordering::Relaxed)
}

/// What is wanted has changed, on all cores. With no spin lock held; in O(shares of all queues, and what waits there), with interrupts masked.
pub(crate) fn changed() {
    // While there are no queues yet.
    note();
    // Under the lock of the list: of several who come at a time the last one says what is true.
    each_queue_locked(|_, shares| {
        note();
        tell(shares);
    });
}

fn note() {
    let wanted = trace::wanted();
    let on = anatomy::anatomy() || wanted.meets(Kind::ExecuteStart.category());
    let all = wanted.meets(Kind::LatencyTotal.category());
    kernel().wq.anatomy.note_gap(all);
    kernel().wq.observed.store(on, Ordering::Relaxed);
}

/// Tells `shares`, whose queue is locked.
pub(super) fn tell(shares: &Shares) {
    for share in shares.iter() {
        let (_, mut g) = share.lock();
        let Inner { policy, store, .. } = &mut *g;
        policy.observe(store, share.handle(), is_on());
        share.books(&mut g).begin();
    }
}
