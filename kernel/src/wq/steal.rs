//! Taking an item away from whoever has it, which cancelling begins with (J7).
//!
//! Cancelling must own the item first. It may be idle (claim it), on a list (take the lock of the
//! pool that the word names, look again, unlink it), or in the hands of somebody who has masked
//! interrupts and is about to queue it (try again). A delayed item's armed timer is disarmed. Who wants
//! it off its list and no more does all of it under that lock ([`withdraw`]).

use alloc::sync::Arc;

use links::Arena;
use sync::{IrqGuard, SpinGuard};
use workqueue::{Eyes, Item, Removed};
use workword::{Place, Seize};

use super::alarm::Alarm;
use super::handles::{item_name, pool_at, pool_of_core_at};
use super::header::{Header, Hold};
use super::pool::{Inner, Pool};
use super::queue::Queue;
use super::rest::Rest;
use super::urge;
use crate::trace::{Head, Kind, Told, emit};

/// An item taken away from whoever had it. Dropped in this order: first the section in which the
/// item stays owned ends, then what may run destructors is given up.
pub(super) struct Stolen {
    _owned: IrqGuard,
    /// It was pending.
    pub(super) was: bool,
    /// The count its submission held.
    _hold: Hold,
    /// The queue its timer would have put it on.
    _to: Option<Arc<Queue>>,
}

impl Stolen {
    const fn new(owned: IrqGuard, was: bool, hold: Hold, to: Option<Arc<Queue>>) -> Self {
        Self {
            _owned: owned,
            was,
            _hold: hold,
            _to: to,
        }
    }
}

/// Owns item `h`, taking it off its list or timer if it was pending (J7).
pub(super) fn steal(h: &Header) -> Stolen {
    loop {
        let irq = IrqGuard::new();
        match h.word.seize() {
            Seize::Idle(_) => return Stolen::new(irq, false, Hold::NONE, None),
            Seize::Queued(place) => {
                let pool = pool_at(place);
                let mut g = pool.lock();
                let s = h.word.state();
                if s.queued && s.place == place {
                    let rest = unlink(h, pool, &mut g, || h.word.unqueue());
                    drop(g);
                    if !rest.is_none() {
                        rest.carry_out();
                    }
                    return Stolen::new(irq, true, h.take_hold(), None);
                }
            }
            Seize::Busy => {
                let to = h.alarm().and_then(Alarm::disarm);
                if to.is_some() {
                    return Stolen::new(irq, true, h.take_hold(), to);
                }
            }
        }
        drop(irq);
        machine::relax();
    }
}

/// As [`steal`], of an item that is pending and on no list, in the usual case: it is a delayed one, whose timer is
/// armed. `None`: nothing happened.
#[inline(always)]
pub(super) fn steal_from_timer(h: &Header) -> Option<Stolen> {
    let alarm = h.alarm()?;
    let irq = IrqGuard::new();
    let to = alarm.disarm()?;
    Some(Stolen::new(irq, true, h.take_hold(), Some(to)))
}

/// Takes `h` off its list in `pool`, under its lock, and changes its word by `change`; what is left to do.
#[inline(always)]
fn unlink(h: &Header, pool: &'static Pool, g: &mut Inner, change: impl FnOnce()) -> Rest {
    let Inner { policy, store, .. } = g;
    emit(Kind::CancelWork, pool.head(), item_name(h.handle()), 0);
    let removed = policy.remove(store, h.handle());
    change();
    urge::look_again(pool, g);
    match removed {
        None => Rest::NONE,
        Some(r) => removal(pool, g, &r),
    }
}

/// What follows from the removal of an item, as far as it concerns `pool`, whose lock is `g`.
#[inline(never)]
fn removal(pool: &'static Pool, g: &mut Inner, r: &Removed) -> Rest {
    pool.wake(r.wake);
    pool.flushed(r.flushed);
    pool.conclude(g, r.hand, r.gone)
}

/// What [`withdraw_plain`] did.
pub(super) enum Plainly {
    /// The item is out.
    Done,
    /// Nothing: it was not on the list of a core's pool, or somebody else had the lock.
    NotSeen,
    /// Nothing: under this lock, of the pool where it was queued a moment ago, [`withdraw_locked`] says more.
    Locked(&'static Pool, SpinGuard<'static, Inner>),
}

/// J1, J2 in the most usual case: as [`withdraw`], of an item on the list of a core's pool that [`workqueue::Pool::remove_plain`]
/// takes out, for one submission, where nobody else has the lock.
#[inline(always)]
pub(super) fn withdraw_plain(h: &Header, at_rest: bool) -> Plainly {
    // Whoever made the word so knew the pool.
    let seen = h.word.look_back();
    // The simulator wants to know of everything.
    if machine::OBSERVED || !seen.is_queued() {
        return Plainly::NotSeen;
    }
    let Some(pool) = pool_of_core_at(seen.place()) else {
        return Plainly::NotSeen;
    };
    let Some(mut g) = pool.try_lock() else {
        return Plainly::NotSeen;
    };
    // Where somebody lends to the pool, who is next may change.
    let usual = h.word.is_marked(pool.mark()) && g.store.lent.get() == 0;
    let Inner { policy, store, .. } = &mut *g;
    if !usual {
        return Plainly::Locked(pool, g);
    }
    if !policy.remove_plain::<_, { Eyes::NONE }>(store, h.handle(), at_rest) {
        if !policy.remove_plain::<_, { Eyes::EVENTS }>(store, h.handle(), at_rest) {
            return Plainly::Locked(pool, g);
        }
        tell_withdrawn(h, pool, at_rest);
    }
    let (_, hold) = h.take();
    g.release_quietly();
    if hold.is_some() {
        give_up(hold);
    }
    Plainly::Done
}

/// Tells that `h` went off its list, for a synchronous cancel if it is `at_rest`.
#[inline(always)]
fn tell_withdrawn(h: &Header, pool: &Pool, at_rest: bool) {
    let told = Told::of(Kind::CancelWork);
    let now = told.now();
    told.emit(now, || (pool.head(), item_name(h.handle()), 0));
    if at_rest {
        let told = Told::of(Kind::CancelSync);
        told.emit(now, || {
            let head = Head::of(0).flags(Kind::AT_REST);
            (head, item_name(h.handle()), 0)
        });
    }
}

/// Apart, so that who has none to give up does not save registers for it.
#[inline(never)]
fn give_up(hold: Hold) {
    drop(hold);
}

/// J1 in the usual case: the item is on a list, that of `place` as its word said a moment ago, and goes off it and
/// out of anybody's hands under one lock. `None`: it is not, or no more; or an earlier submission is being executed,
/// and `at_rest` asks that none is.
#[inline(always)]
pub(super) fn withdraw(h: &Header, place: Place, at_rest: bool) -> Option<Hold> {
    let pool = pool_at(place);
    withdraw_locked(h, (pool, pool.lock()), at_rest)
}

/// As [`withdraw`], under the lock of the pool where it was a moment ago.
#[inline(always)]
pub(super) fn withdraw_locked(
    h: &Header,
    (pool, mut g): (&'static Pool, SpinGuard<'_, Inner>),
    at_rest: bool,
) -> Option<Hold> {
    let now = h.word.state();
    // Its run may have panicked since the first look.
    if !now.queued || now.poisoned || now.place != pool.place() {
        return None;
    }
    if at_rest && Arena::<Item>::get(&g.store, h.handle()).runner().is_some() {
        return None;
    }
    let mut hold = Hold::NONE;
    let rest = unlink(h, pool, &mut g, || (_, hold) = h.take());
    if at_rest {
        let head = Head::of(0).flags(Kind::AT_REST);
        emit(Kind::CancelSync, head, item_name(h.handle()), 0);
    }
    drop(g);
    if !rest.is_none() {
        rest.carry_out();
    }
    Some(hold)
}
