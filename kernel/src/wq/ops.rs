//! Cancelling and disabling one item (J1-J7).

use links::{Arena, Handle};
use machine::PreemptWord;
use sync::{IrqGuard, SpinGuard};
use workqueue::{Item, Worker as WorkerNode};
use workword::{Enable, Place, State};

use super::await_item::{flush, is_at_rest, wait_for_other};
use super::errors::{TooDeep, WaitError};
use super::handles::{item_name, pool_at};
use super::header::Header;
use super::item::{Context, Softirq, Work};
use super::pool::{Inner, Pool};
use super::steal::{
    Plainly, Stolen, steal, steal_from_timer, withdraw, withdraw_locked, withdraw_plain,
};
use super::worker::current_worker;
use crate::cpu::this_cpu;
use crate::softirq::BhCx;
use crate::thread::ThreadCx;
use crate::trace::{Head, Kind, confide, emit, emit_unmasked, record_shown, shown};

/// J1: takes the item out if it is pending.
#[inline(always)]
fn cancel(h: &Header) -> bool {
    match withdraw_plain(h, false) {
        Plainly::Done => true,
        Plainly::NotSeen => cancel_seen(h),
        Plainly::Locked(pool, g) => cancel_locked(h, pool, g),
    }
}

/// As [`cancel`], under the lock of the pool where it is queued, or was a moment ago.
#[inline(never)]
fn cancel_locked(h: &Header, pool: &'static Pool, g: SpinGuard<'static, Inner>) -> bool {
    match withdraw_locked(h, (pool, g), false) {
        Some(hold) => {
            drop(hold);
            true
        }
        None => cancel_otherwise(h),
    }
}

/// As [`cancel`]: somebody observes it, or it is not like most.
#[inline(never)]
fn cancel_seen(h: &Header) -> bool {
    let s = h.word.state();
    if is_listed(s)
        && let Some(hold) = withdraw(h, s.place, false)
    {
        drop(hold);
        return true;
    }
    cancel_otherwise(h)
}

/// As [`cancel_seen`]: it is idle, its timer is armed, or somebody has it.
#[inline(never)]
fn cancel_otherwise(h: &Header) -> bool {
    let s = h.word.state();
    if is_off_list(s)
        && let Some(stolen) = steal_from_timer(h)
    {
        h.word.release();
        drop(stolen);
        return true;
    }
    let stolen = steal(h);
    // What joined an idle item meanwhile is taken out with it.
    let joined = h.word.release();
    stolen.was || joined > 0
}

/// J4: cancels, and refuses submissions until [`enable`].
pub(super) fn disable(h: &Header) -> Result<bool, TooDeep> {
    give_up_disabled(h, steal(h))
}

/// The owner of `h` disables it and gives it up.
fn give_up_disabled(h: &Header, stolen: Stolen) -> Result<bool, TooDeep> {
    let (joined, disabled) = h.word.release_disabled();
    let was_pending = stolen.was || joined > 0;
    if disabled {
        emit(Kind::DisableWork, Head::of(0), item_name(h.handle()), 0);
        Ok(was_pending)
    } else {
        Err(TooDeep { was_pending })
    }
}

/// On a list, and not poisoned.
#[inline(always)]
const fn is_listed(s: State) -> bool {
    s.queued && !s.poisoned
}

/// Pending and on no list: its timer is armed, or its owner is about to queue it or to give it up.
#[inline(always)]
const fn is_off_list(s: State) -> bool {
    s.pending && !s.queued
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

/// J2: disables, waits for a running instance, and enables again. An item that waited on a list, or for its timer, and
/// was not executed at the moment it went off is neither pending nor running then, which is all that is asked for.
#[inline(always)]
fn cancel_sync(cx: &ThreadCx<'_>, h: &Header) -> Result<bool, WaitError> {
    match withdraw_plain(h, true) {
        Plainly::Done => return Ok(true),
        Plainly::NotSeen => {}
        Plainly::Locked(pool, g) => return cancel_sync_locked(cx, h, pool, g),
    }
    let s = h.word.state();
    if is_listed(s) {
        cancel_listed(cx, h, s.place)
    } else if is_off_list(s) {
        cancel_off_list(cx, h)
    } else {
        cancel_and_wait(cx, h)
    }
}

/// Under the lock of the pool where it is queued, or was a moment ago.
#[inline(never)]
fn cancel_sync_locked(
    cx: &ThreadCx<'_>,
    h: &Header,
    pool: &'static Pool,
    g: SpinGuard<'static, Inner>,
) -> Result<bool, WaitError> {
    if is_own_run(h) {
        return Err(WaitError::SelfWait);
    }
    match withdraw_locked(h, (pool, g), true) {
        Some(hold) => {
            drop(hold);
            Ok(true)
        }
        None => cancel_and_wait(cx, h),
    }
}

/// It was on a list, that of `place`.
#[inline(never)]
fn cancel_listed(cx: &ThreadCx<'_>, h: &Header, place: Place) -> Result<bool, WaitError> {
    if is_own_run(h) {
        return Err(WaitError::SelfWait);
    }
    match withdraw(h, place, true) {
        Some(hold) => {
            drop(hold);
            Ok(true)
        }
        None => cancel_and_wait(cx, h),
    }
}

/// It is none of both, or no more.
#[inline(never)]
fn cancel_and_wait(cx: &ThreadCx<'_>, h: &Header) -> Result<bool, WaitError> {
    if is_own_run(h) {
        return Err(WaitError::SelfWait);
    }
    wait_disabled(cx, h, disable(h))
}

/// Its timer is armed, or somebody has it.
#[inline(never)]
fn cancel_off_list(cx: &ThreadCx<'_>, h: &Header) -> Result<bool, WaitError> {
    // What never was on a list does not run.
    if h.word.state().place.is_some() && is_own_run(h) {
        return Err(WaitError::SelfWait);
    }
    let Some(stolen) = steal_from_timer(h) else {
        return cancel_and_wait(cx, h);
    };
    // It is owned: no submission comes before it is given up.
    if !is_unrun(h) {
        return wait_disabled(cx, h, give_up_disabled(h, stolen));
    }
    h.word.release();
    if shown(Kind::CancelSync) {
        let head = Head::of(0).flags(Kind::AT_REST);
        record_shown(Kind::CancelSync, head, item_name(h.handle()), 0);
    }
    drop(stolen);
    Ok(true)
}

/// Waits until no run of `h` is going on, which was `disabled`, and enables it again.
#[inline(never)]
fn wait_disabled(
    cx: &ThreadCx<'_>,
    h: &Header,
    disabled: Result<bool, TooDeep>,
) -> Result<bool, WaitError> {
    confide(Kind::FlushStart, Head::of(0), item_name(h.handle()), 0);
    // What runs is on its way: no memory is needed for it (H6).
    let waited = if is_at_rest(h) {
        Ok(false)
    } else {
        wait_for_other(cx, h, None)
    };
    if disabled.is_ok() {
        if !matches!(waited, Err(WaitError::Deadlock(_))) {
            over(h);
        }
        enable(h);
    }
    waited?;
    Ok(was_pending(disabled))
}

/// The item, which the caller owns, is not being executed, nor was it poisoned. Interrupts are masked.
#[inline(always)]
fn is_unrun(h: &Header) -> bool {
    let s = h.word.state();
    if !s.place.is_some() {
        return true;
    }
    let g = pool_at(s.place).lock();
    let node: &Item = g.store.get(h.handle());
    // A run that panics says so in the word under the lock under which it ends.
    node.runner().is_none() && !h.word.state().poisoned
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
