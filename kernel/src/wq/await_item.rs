//! Waiting for the last submission of one item (I5, I6).

use core::sync::atomic::Ordering;

use workqueue::Awaited;

use super::barrier::Barrier;
use super::errors::WaitError;
use super::handles::{item_name, pool_at, pool_of_core_at, share_of};
use super::header::Header;
use super::ops::is_own_run;
use super::pool::Inner;
use super::queue::Queue;
use super::rescuer::{no_progress, promised, promises};
use super::urge;
use super::waiting::ItemWait;
use crate::cpu::this_cpu;
use crate::schedule;
use crate::thread::{ThreadCx, current};
use crate::trace::{Head, Kind, confide, emit, emit_unmasked};
use crate::waits::{SleepsIn, Wait, sleeps_in};

/// Waits until the last submission so far is over (I5). True if there was something to wait for.
#[inline(always)]
pub(super) fn flush(cx: &ThreadCx<'_>, h: &Header) -> Result<bool, WaitError> {
    confide(Kind::FlushStart, Head::of(0), item_name(h.handle()), 0);
    if is_at_rest(h) {
        return Ok(false);
    }
    flush_busy(cx, h)
}

#[inline(never)]
fn flush_busy(cx: &ThreadCx<'_>, h: &Header) -> Result<bool, WaitError> {
    if may_wait_plainly() {
        return wait_plainly(cx, h);
    }
    if is_own_run(h) {
        return Err(WaitError::SelfWait);
    }
    wait_for_other(cx, h, promised())
}

/// As [`flush`]; a caller that was `promised` progress waits only for what is promised it too.
pub(super) fn wait_for(
    cx: &ThreadCx<'_>,
    h: &Header,
    promised: Option<&'static Queue>,
) -> Result<bool, WaitError> {
    confide(Kind::FlushStart, Head::of(0), item_name(h.handle()), 0);
    if is_at_rest(h) {
        return Ok(false);
    }
    if is_own_run(h) {
        return Err(WaitError::SelfWait);
    }
    wait_for_other(cx, h, promised)
}

/// Nothing of `h` is pending or executed; false also where it was poisoned.
#[inline(always)]
pub(super) fn is_at_rest(h: &Header) -> bool {
    let seen = h.word.look_back();
    // The look at the word first: what it says was taken has begun, and is over if it is not executed.
    if !seen.is_at_rest() || h.in_run.is_set() {
        return false;
    }
    // It may have panicked since the first look.
    if h.word.look_back() != seen {
        return false;
    }
    emit_unmasked(Kind::FlushIdle, Head::of(0), item_name(h.handle()), 0);
    true
}

/// As [`wait_for`], of an item that is not the caller's own.
pub(super) fn wait_for_other(
    cx: &ThreadCx<'_>,
    h: &Header,
    promised: Option<&'static Queue>,
) -> Result<bool, WaitError> {
    let barrier = Barrier::new();
    let what = ItemWait::new(h, barrier.handle());
    let wait = Wait::of_current(&what);
    let mut inserted = insert_barrier(h, &barrier, promised, wait.is_some())?;
    if let (Some(wait), Inserted::MustLook) = (&wait, inserted) {
        inserted = wait.begin(|| {
            what.placed();
            insert_barrier(h, &barrier, promised, false)
        })??;
    }
    let waited = sleep_behind(cx, &barrier, inserted);
    // Nobody waits for this thread's wait any more when what it names is gone.
    drop(wait);
    over(h, waited)
}

/// The running thread is no worker, so it executes no item and is promised nothing, and holds no mutex: nobody waits for it.
#[inline(always)]
fn may_wait_plainly() -> bool {
    let me = current();
    me.worker.load(Ordering::Relaxed).is_null() && !me.mutexes.holds_any()
}

/// As [`wait_for_other`], where [`may_wait_plainly`]. The worker that comes to the item may wait for this core, behind the
/// turn of this thread, which is of no use to a thread that waits: mostly the item is over when it is back, and neither of
/// the two had to sleep for that.
#[inline(always)]
fn wait_plainly(cx: &ThreadCx<'_>, h: &Header) -> Result<bool, WaitError> {
    let waived = is_next_here(h);
    if waived {
        schedule::waive_turn();
        if is_at_rest(h) {
            return over(h, true);
        }
    }
    let barrier = Barrier::new();
    let inserted = insert(h, &barrier, None, false)?;
    let waited = sleep_behind(cx, &barrier, inserted);
    over(h, waited || waived)
}

/// `h` is all that a pool of this core has to do, and the only thread that waits for the core is whoever comes to it: nobody
/// else gets this thread's turn, and that one finds nothing more to do with it. Stale at once.
#[inline(always)]
fn is_next_here(h: &Header) -> bool {
    let seen = h.word.look_back();
    if !seen.is_queued() || !schedule::is_beside_one() {
        return false;
    }
    let here = Some(this_cpu().id());
    let Some(pool) = pool_of_core_at(seen.place()).filter(|pool| pool.cpu() == here) else {
        return false;
    };
    let g = pool.lock();
    let next = g.policy.is_alone(&g.store, h.handle());
    g.release_quietly();
    next
}

/// Sleeps until `barrier` is passed, if it was inserted. Whether it was.
#[inline(always)]
fn sleep_behind(cx: &ThreadCx<'_>, barrier: &Barrier, inserted: Inserted) -> bool {
    let waits = inserted == Inserted::Waits;
    if waits {
        let _said = sleeps_in(SleepsIn::Item);
        barrier.done.wait(cx);
    }
    waits
}

/// The wait for `h` is over.
#[inline(always)]
fn over(h: &Header, waited: bool) -> Result<bool, WaitError> {
    if h.word.state().poisoned {
        Err(WaitError::Poisoned)
    } else {
        Ok(waited)
    }
}

/// What became of a barrier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inserted {
    /// It will be reached.
    Waits,
    /// There is nothing to wait for.
    Nothing,
    /// There is, and the wait graph must be asked first.
    MustLook,
}

/// Puts `barrier` behind `h`; with `look` only if there is nothing to wait for.
#[inline(never)]
fn insert_barrier(
    h: &Header,
    barrier: &Barrier,
    promised: Option<&'static Queue>,
    look: bool,
) -> Result<Inserted, WaitError> {
    insert(h, barrier, promised, look)
}

/// As [`insert_barrier`], where time is short.
#[inline(always)]
fn insert(
    h: &Header,
    barrier: &Barrier,
    promised: Option<&'static Queue>,
    look: bool,
) -> Result<Inserted, WaitError> {
    loop {
        // Claimed on another core and not on its list yet: the caller's submission may have been
        // merged into that one, so the item is not idle.
        let seen = h.word.state();
        if h.changes_hands(seen) {
            machine::relax();
            continue;
        }
        let place = seen.place;
        if !place.is_some() {
            return Ok(Inserted::Nothing);
        }
        let pool = pool_at(place);
        let mut g = pool.lock();
        // Published elsewhere meanwhile, or carried there: that pool's lock is the one to hold.
        if h.belongs_to(place) {
            let Inner { policy, store, .. } = &mut *g;
            let (item, barrier) = (h.handle(), barrier.handle());
            if let Some(waits) = promised
                && let Some(p) = policy.pwq_of(store, item)
                && !promises(share_of(p).queue())
            {
                let target = share_of(p).queue().attributes.name.clone();
                drop(g);
                return Err(no_progress(waits, &target));
            }
            if look && policy.awaited(store, item, None) != Awaited::Nothing {
                return Ok(Inserted::MustLook);
            }
            let waits = policy.insert_barrier(store, item, barrier);
            if waits {
                urge::waits(pool, &mut g, barrier);
            }
            let (kind, b) = if waits {
                (Kind::InsertBarrier, item_name(barrier))
            } else {
                (Kind::FlushIdle, 0)
            };
            emit(kind, pool.head(), item_name(item), b);
            return Ok(if waits {
                Inserted::Waits
            } else {
                Inserted::Nothing
            });
        }
    }
}
