//! Group `sync`: locks.

use sync::{IrqOff, Rank, SpinLock};

use crate::kit::{Kit, count};

/// Runs all rows of the group.
pub(crate) fn run(kit: &mut Kit) {
    let lock = SpinLock::<u32, IrqOff>::new(Rank::Leaf, "bench", 0);
    kit.samples("sync", "spin-irq-off", || {
        let begin = count();
        drop(lock.lock());
        count().wrapping_sub(begin)
    });
}
