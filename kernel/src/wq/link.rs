//! The last step of a submission: a published item comes on a list, and whom that needs is woken.

use links::Arena;
use sync::SpinGuard;
use workqueue::Eyes;

use super::anatomy;
use super::handles::{Store, item_name, limited, queue_name};
use super::header::Header;
use super::pool::{Inner, Pool};
use super::queue::Class;
use super::share::Share;
use crate::trace::{Head, Kind, Told};

/// (1), (2) of the item's life: puts a published item on a list, wakes whom that needs, and releases the lock `g`. The share
/// was told that it comes.
#[inline(never)]
pub(super) fn link(
    mut g: SpinGuard<'_, Inner>,
    (pool, share, h): (&'static Pool, &Share, &Header),
) {
    let Inner { policy, store, .. } = &mut *g;
    let (p, item) = (share.handle(), h.handle());
    let q = policy.queue(store, p, item);
    let told = Told::of(Kind::QueueWork);
    let now = told.now();
    tell(told, now, (share, h), store, q.active);
    if told.anatomy() {
        let due = anatomy::is_due(now, share, &mut g);
        if due {
            anatomy::follow(now, share, &mut g);
            g.store.get_mut(h.handle()).add_eyes(Eyes::ALL);
        }
        anatomy::queued(now, h, due);
    }
    if q.wake.is_none() {
        return g.release_quietly();
    }
    pool.wake(q.wake);
}

/// As [`link`], where [`workqueue::Pwq::takes_plainly`] or, if it is `SEEN`, [`workqueue::Pwq::takes_seen`]. With the item so many
/// came, ever; `class` is the queue's, where a type says it.
#[inline(always)]
pub(super) fn link_plain<const SEEN: bool>(
    mut g: SpinGuard<'_, Inner>,
    (pool, share, h): (&'static Pool, &Share, &Header),
    class: Option<Class>,
    entered: u64,
) {
    if machine::OBSERVED {
        return link(g, (pool, share, h));
    }
    let (told, now) = see::<SEEN>(&mut g, share, h);
    let Inner { policy, store, .. } = &mut *g;
    let (p, item) = (share.handle(), h.handle());
    if class.map_or_else(|| pool.is_bh(), |c| c == Class::Bh) {
        let called = policy.queue_turn(store, p, item, entered);
        tell(told, now, (share, h), store, true);
        return match called {
            false => g.release_quietly(),
            true => pool.raise(),
        };
    }
    let q = policy.queue_plain(store, p, item, entered);
    tell(told, now, (share, h), store, q.active);
    match q.wake {
        None => g.release_quietly(),
        Some(w) => pool.wake_thread(w),
    }
}

/// As [`link_plain`], where [`workqueue::Pwq::takes_of_node`] or [`workqueue::Pwq::takes_of_node_seen`].
#[inline(always)]
pub(super) fn link_of_node<const SEEN: bool>(
    mut g: SpinGuard<'_, Inner>,
    (pool, share, h): (&'static Pool, &Share, &Header),
    entered: u64,
) {
    if machine::OBSERVED {
        return link(g, (pool, share, h));
    }
    let (told, now) = see::<SEEN>(&mut g, share, h);
    let Inner { policy, store, .. } = &mut *g;
    let q = policy.queue_of_node(store, share.handle(), h.handle(), entered);
    tell(told, now, (share, h), store, q.active);
    match q.wake {
        None => g.release_quietly(),
        Some(w) => pool.wake_thread(w),
    }
}

/// Item `h` is about to be queued, and events will tell of it, if it is `SEEN`; or its time is followed. What is to be told
/// of its queueing, and when that was.
#[inline(always)]
fn see<'a, const SEEN: bool>(g: &mut Inner, share: &Share, h: &Header) -> (Told<'a>, u64) {
    let told = Told::unless(!SEEN, Kind::QueueWork);
    let now = told.now();
    if SEEN {
        g.store.get_mut(h.handle()).set_eyes(Eyes::EVENTS);
        anatomy::queued(now, h, false);
        if anatomy::is_due(now, share, g) {
            follow(now, share, h, g);
        }
    }
    (told, now)
}

/// Tells that an item came, `active` or not.
#[inline(always)]
fn tell(told: Told<'_>, now: u64, (share, h): (&Share, &Header), store: &Store, active: bool) {
    told.emit_bits(now, || {
        let active = Head::of(0).flags(u8::from(active) * Kind::ACTIVE);
        // None of them has the flag yet.
        let head = limited(share.handle(), store).wrapping_add(active.bits());
        (head, item_name(h.handle()), queue_name(share.queue_ptr()))
    });
}

/// Item `h`, which is about to be queued at `now`, is followed. Also while the anatomy is off: it is asked once more for nothing.
#[cold]
fn follow(now: u64, share: &Share, h: &Header, g: &mut Inner) {
    anatomy::follow(now, share, g);
    g.store.get_mut(h.handle()).set_eyes(Eyes::ALL);
    anatomy::queued(now, h, true);
}
