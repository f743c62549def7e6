//! The last step of a submission: a published item comes on a list, and whom that needs is woken.

use sync::SpinGuard;

use super::anatomy;
use super::handles::{item_name, limited, queue_name};
use super::header::Header;
use super::pool::{Inner, Pool};
use super::queue::Class;
use super::share::Share;
use crate::trace::{Kind, Told};

/// (1), (2) of the item's life: puts a published item on a list, wakes whom that needs, and releases the lock `g`. The share
/// was told that it comes.
#[inline(always)]
pub(super) fn link(
    mut g: SpinGuard<'_, Inner>,
    (pool, share, h): (&'static Pool, &Share, &Header),
) {
    let Inner { policy, store, .. } = &mut *g;
    let (p, item) = (share.handle(), h.handle());
    let q = policy.queue(store, p, item);
    let told = Told::of(Kind::QueueWork);
    let now = told.now();
    told.emit(now, || {
        let head = limited(pool.head(), p, store);
        let head = head.flags(head.flags | (u8::from(q.active) * Kind::ACTIVE));
        (head, item_name(item), queue_name(share.queue_ptr()))
    });
    if told.anatomy() {
        anatomy::queued(now, h);
    }
    if q.wake.is_none() {
        return g.release_quietly();
    }
    pool.wake(q.wake);
}

/// As [`link`], where [`workqueue::Pwq::takes_plainly`]: only the simulator wants to know. With the item so many came, ever;
/// `class` is the queue's, where a type says it.
#[inline(always)]
pub(super) fn link_plain(
    mut g: SpinGuard<'_, Inner>,
    (pool, share, h): (&'static Pool, &Share, &Header),
    class: Option<Class>,
    entered: u64,
) {
    if machine::OBSERVED {
        return link(g, (pool, share, h));
    }
    let Inner { policy, store, .. } = &mut *g;
    let (p, item) = (share.handle(), h.handle());
    if class.map_or_else(|| pool.is_bh(), |c| c == Class::Bh) {
        return match policy.queue_turn(store, p, item, entered) {
            false => g.release_quietly(),
            true => pool.raise(),
        };
    }
    match policy.queue_plain(store, p, item, entered).wake {
        None => g.release_quietly(),
        Some(w) => pool.wake_thread(w),
    }
}

/// As [`link_plain`], where [`workqueue::Pwq::takes_of_node`].
#[inline(always)]
pub(super) fn link_of_node(
    mut g: SpinGuard<'_, Inner>,
    (pool, share, h): (&'static Pool, &Share, &Header),
    entered: u64,
) {
    if machine::OBSERVED {
        return link(g, (pool, share, h));
    }
    let Inner { policy, store, .. } = &mut *g;
    let q = policy.queue_of_node(store, share.handle(), h.handle(), entered);
    match q.wake {
        None => g.release_quietly(),
        Some(w) => pool.wake_thread(w),
    }
}
