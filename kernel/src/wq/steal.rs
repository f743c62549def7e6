//! Taking an item away from whoever has it, which cancelling begins with (J7).
//!
//! Cancelling must own the item first. It may be idle (claim it), on a list (take the lock of the
//! pool that the word names, look again, unlink it), or in the hands of somebody who has masked
//! interrupts and is about to queue it (try again). A delayed item's armed timer is disarmed. Who wants
//! it off its list and no more does all of it under that lock ([`withdraw`]).

use links::Arena;
use sync::IrqGuard;
use workqueue::{Item, Removed};
use workword::Seize;

use super::alarm::{Alarm, Destination};
use super::handles::{item_name, pool_at};
use super::header::{Header, Hold};
use super::pool::{Inner, Pool};
use super::rest::Rest;
use super::urge;
use crate::trace::{Head, Kind, emit};

/// An item taken away from whoever had it. Dropped in this order: first the section in which the
/// item stays owned ends, then what may run destructors is given up.
pub(super) struct Stolen {
    _owned: IrqGuard,
    /// It was pending.
    pub(super) was: bool,
    /// The count its submission held.
    _hold: Hold,
    /// The queue its timer would have put it on.
    _to: Option<Destination>,
}

impl Stolen {
    const fn new(owned: IrqGuard, was: bool, hold: Hold, to: Option<Destination>) -> Self {
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

/// J1 in the usual case: the item is on a list, and goes off it and out of anybody's hands under one lock. `None`: it
/// is not, or no more; or an earlier submission is being executed, and `at_rest` asks that none is.
#[inline(always)]
pub(super) fn withdraw(h: &Header, at_rest: bool) -> Option<Hold> {
    let s = h.word.state();
    if !s.queued || s.poisoned {
        return None;
    }
    let pool = pool_at(s.place);
    let mut g = pool.lock();
    let now = h.word.state();
    if !now.queued || now.place != s.place {
        return None;
    }
    if at_rest && Arena::<Item>::get(&g.store, h.handle()).runner().is_some() {
        return None;
    }
    // The hold first: once the word is given up, whoever claims the item next may set it.
    let hold = h.take_hold();
    let rest = unlink(h, pool, &mut g, || {
        h.word.take();
    });
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
