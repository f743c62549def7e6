//! Cancelling, disabling and waiting for one item (I5, J1-J7).
//!
//! Cancelling must own the item first. It may be idle (claim it), on a list (take the lock of the
//! pool that the word names, look again, unlink it), or in the hands of somebody who has masked
//! interrupts and is about to queue it (try again). A delayed item's armed timer is disarmed.

use links::{Arena, Handle};
use machine::PreemptWord;
use sync::IrqGuard;
use workqueue::{Awaited, Item, Worker as WorkerNode};
use workword::{Enable, Seize};

use super::alarm::{Alarm, Destination};
use super::barrier::Barrier;
use super::errors::{TooDeep, WaitError};
use super::handles::{item_name, share_of};
use super::header::{Header, Hold};
use super::item::{Context, Softirq, Work};
use super::pool::{Inner, Pool};
use super::pool_at;
use super::queue::Queue;
use super::rescuer::{no_progress, promised, promises};
use super::urge;
use super::waiting::ItemWait;
use super::worker::current_worker;
use crate::cpu::this_cpu;
use crate::softirq::BhCx;
use crate::thread::ThreadCx;
use crate::trace::{Head, Kind, emit, emit_unmasked};
use crate::waits::{SleepsIn, Wait, sleeps_in};

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
                    let Inner { policy, store, .. } = &mut *g;
                    emit(Kind::CancelWork, pool.head(), item_name(h.handle()), 0);
                    let r = policy.remove(store, h.handle());
                    h.word.unqueue();
                    urge::look_again(pool, &g);
                    pool.wake(r.wake);
                    pool.flushed(r.flushed);
                    let rest = pool.conclude(&mut g, r.hand, r.gone);
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

/// J1: takes the item out if it is pending.
fn cancel(h: &Header) -> bool {
    let stolen = steal(h);
    // What joined an idle item meanwhile is taken out with it.
    let joined = h.word.release();
    stolen.was || joined > 0
}

/// J4: cancels, and refuses submissions until [`enable`].
pub(super) fn disable(h: &Header) -> Result<bool, TooDeep> {
    let stolen = steal(h);
    let (joined, disabled) = h.word.release_disabled();
    let was_pending = stolen.was || joined > 0;
    if disabled {
        emit(Kind::DisableWork, Head::of(0), item_name(h.handle()), 0);
        Ok(was_pending)
    } else {
        Err(TooDeep { was_pending })
    }
}

/// Undoes one [`disable`]. True when submissions are accepted again.
pub(super) fn enable(h: &Header) -> bool {
    let irq = IrqGuard::new();
    let after = h.word.enable();
    let last = after == Enable::Enabled;
    if after != Enable::Underflow {
        let head = Head::of(0).flags(u8::from(last) * Kind::ENABLED);
        emit(Kind::EnableWork, head, item_name(h.handle()), 0);
    }
    drop(irq);
    last
}

/// The worker that executes `h`, and its pool, through `f`; `None` if nobody does. A run stays in
/// the pool the word names; an item that changes pools between the look at the word and the lock
/// would be looked at under the wrong lock.
fn with_runner<R>(h: &Header, f: impl FnOnce(&Pool, Handle<WorkerNode>) -> R) -> Option<R> {
    loop {
        let place = h.word.state().place;
        if !place.is_some() {
            return None;
        }
        let pool = pool_at(place);
        let g = pool.lock();
        if h.word.state().place == place {
            let node: &Item = g.store.get(h.handle());
            return node.runner().map(|w| f(pool, w));
        }
    }
}

/// Whether the running thread is executing `h` now.
pub(super) fn is_own_run(h: &Header) -> bool {
    current_worker().is_some_and(|me| me.executes(h))
}

/// Waits until the last submission so far is over (I5). True if there was something to wait for.
pub(super) fn flush(cx: &ThreadCx<'_>, h: &Header) -> Result<bool, WaitError> {
    wait_for(cx, h, promised())
}

/// As [`flush`]; a caller that was `promised` progress waits only for what is promised it too.
pub(super) fn wait_for(
    cx: &ThreadCx<'_>,
    h: &Header,
    promised: Option<&'static Queue>,
) -> Result<bool, WaitError> {
    if is_own_run(h) {
        return Err(WaitError::SelfWait);
    }
    wait_for_other(cx, h, promised)
}

/// As [`wait_for`], of an item that is not the caller's own.
fn wait_for_other(
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
    let waited = inserted == Inserted::Waits;
    if waited {
        let _said = sleeps_in(SleepsIn::Item);
        barrier.done.wait(cx);
    }
    // Nobody waits for this thread's wait any more when what it names is gone.
    drop(wait);
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
fn insert_barrier(
    h: &Header,
    barrier: &Barrier,
    promised: Option<&'static Queue>,
    look: bool,
) -> Result<Inserted, WaitError> {
    loop {
        // Claimed on another core and not on its list yet: the caller's submission may have been
        // merged into that one, so the item is not idle.
        if h.is_changing_hands() {
            machine::relax();
            continue;
        }
        let place = h.word.state().place;
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
                urge::waits(pool, &g, barrier);
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

/// J2: disables, waits for a running instance, and enables again.
fn cancel_sync(cx: &ThreadCx<'_>, h: &Header) -> Result<bool, WaitError> {
    if is_own_run(h) {
        return Err(WaitError::SelfWait);
    }
    let disabled = disable(h);
    // What runs is on its way: no memory is needed for it (H6).
    let waited = wait_for_other(cx, h, None);
    if disabled.is_ok() {
        if !matches!(waited, Err(WaitError::Deadlock(_))) {
            over(h);
        }
        enable(h);
    }
    waited?;
    Ok(was_pending(disabled))
}

/// What a disable took out, also when it could not be counted.
pub(super) fn was_pending(disabled: Result<bool, TooDeep>) -> bool {
    disabled.unwrap_or_else(|e| e.was_pending)
}

/// `h` is disabled, and a run that was going on is over.
pub(super) fn over(h: &Header) {
    emit_unmasked(Kind::CancelSync, Head::of(0), item_name(h.handle()), 0);
}

/// Whether a run of `h` is going on, and whether on this core.
fn running(h: &Header) -> Option<bool> {
    with_runner(h, |pool, _| pool.server() == Some(this_cpu().id()))
}

impl<T: Send + Sync + 'static, C: Context> Work<T, C> {
    /// Takes the item out if it is pending, off its list or off its timer (J1, J10). True if it was; it may still be running. Any
    /// context.
    pub fn cancel(&self) -> bool {
        cancel(self.header())
    }

    /// Cancels, and waits until no run is going on. Submissions meanwhile are refused, also the
    /// handler's own (J2). True if it was pending.
    ///
    /// # Errors
    ///
    /// [`WaitError::Poisoned`] when its handler has panicked, [`WaitError::SelfWait`] from its own
    /// handler. [`WaitError::Deadlock`] when the run waits for the caller, through others or not: then
    /// it is cancelled if it was pending, and the run goes on.
    pub fn cancel_sync(&self, cx: &ThreadCx<'_>) -> Result<bool, WaitError> {
        cancel_sync(cx, self.header())
    }

    /// Cancels, and refuses submissions until [`Self::enable`] was called as often (B9). True if it
    /// was pending; a run may be going on (J5). Any context.
    ///
    /// # Errors
    ///
    /// [`TooDeep`] when the count is full; the item is then cancelled only, and the error says whether
    /// it was pending.
    pub fn disable(&self) -> Result<bool, TooDeep> {
        disable(self.header())
    }

    /// As [`Self::disable`], and waits until no run is going on.
    ///
    /// # Errors
    ///
    /// As [`Self::cancel_sync`]; with `Poisoned` and `Deadlock` the item is disabled all the same. And
    /// [`WaitError::TooDeep`], as [`Self::disable`].
    pub fn disable_sync(&self, cx: &ThreadCx<'_>) -> Result<bool, WaitError> {
        if is_own_run(self.header()) {
            return Err(WaitError::SelfWait);
        }
        let disabled = self.disable();
        wait_for_other(cx, self.header(), None)?;
        let was = disabled.map_err(WaitError::TooDeep)?;
        over(self.header());
        Ok(was)
    }

    /// Whether it is queued or about to be, and whether a run is going on; advice, stale at once
    /// (J13).
    pub fn busy(&self) -> (bool, bool) {
        let h = self.header();
        (h.word.state().pending, running(h).is_some())
    }

    /// Undoes one [`Self::disable`]. True when submissions are accepted again. Any context.
    pub fn enable(&self) -> bool {
        enable(self.header())
    }

    /// Waits until the last submission before this call is over (I5). True if it had to wait;
    /// false: the item was idle.
    ///
    /// # Errors
    ///
    /// As [`Self::cancel_sync`].
    pub fn flush(&self, cx: &ThreadCx<'_>) -> Result<bool, WaitError> {
        flush(cx, self.header())
    }
}

impl<T: Send + Sync + 'static> Work<T, Softirq> {
    /// [`Work::cancel_sync`] for BH context: waits for a run on another core by spinning (J3, K6).
    ///
    /// # Errors
    ///
    /// [`WaitError::SelfWait`] when the item runs on this core, which is then its own handler.
    pub fn cancel_sync_bh(&self, _cx: &BhCx<'_>) -> Result<bool, WaitError> {
        debug_assert!(
            sync::preempt_word() & PreemptWord::HARDIRQ_MASK == 0,
            "cancel_sync_bh in an interrupt handler (J3)"
        );
        if running(self.header()) == Some(true) {
            return Err(WaitError::SelfWait);
        }
        let disabled = self.disable();
        while running(self.header()).is_some() {
            machine::relax();
        }
        if disabled.is_ok() {
            over(self.header());
            enable(self.header());
        }
        Ok(was_pending(disabled))
    }
}
