//! Delayed work: an item and the timer that queues it (J8-J10).
//!
//! While the timer is armed the item is pending and the timer owns it. Whoever disarms the timer
//! inherits the item: cancel, modify, or the timer's own callback, which queues it ([`Alarm`]). Modifying
//! an item whose timer is armed on the running core, for the same queue, moves the timer, and the item stays its.
#![expect(
    unsafe_code,
    reason = "the timer is inside what its submission keeps alive"
)]

use alloc::sync::Arc;
use core::fmt;
use core::mem::offset_of;
use core::ops::Deref;

use machine::{CpuId, Duration};
use sync::IrqGuard;
use workword::Claim;

use super::alarm::Alarm;
use super::errors::WaitError;
use super::header::{Header, Vtable};
use super::item::{Context, Handler, Inside, Run, Work, sealed, vtable_of};
use super::queue::{Queue, Target};
use super::submitted::{Submitted, joined, refused};
use super::typed::{Kind, Workqueue};
use super::{await_item, ops, steal};
use crate::thread::ThreadCx;

/// A work item that is queued after a delay.
#[repr(C)]
pub struct DelayedWork<T, C: Context = super::Threaded> {
    work: Work<T, C>,
    alarm: Alarm,
}

// SAFETY: the alarm's parts belong to whoever owns the item or holds their lock; the rest is `Sync`
// by itself.
unsafe impl<T: Send + Sync, C: Context> Sync for DelayedWork<T, C> {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl<T: Send + Sync, C: Context> Send for DelayedWork<T, C> {}

// SAFETY: `repr(C)`, the item first, the table made for this type.
unsafe impl<T: Send + Sync + 'static, C: Context> Inside<Work<T, C>> for DelayedWork<T, C> {
    const VTABLE: Vtable = vtable_of::<T, Self>(offset_of!(Self, alarm));
}

impl<T, C: Context> fmt::Debug for DelayedWork<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayedWork")
            .field("work", &self.work)
            .finish_non_exhaustive()
    }
}

impl<T, C: Context> Deref for DelayedWork<T, C> {
    type Target = Work<T, C>;
    fn deref(&self) -> &Work<T, C> {
        &self.work
    }
}

// SAFETY: the borrowed `Arc` keeps the item alive, and then the added count.
unsafe impl<T, C: Context> sealed::Submit for &Arc<DelayedWork<T, C>> {
    #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
    fn header(&self) -> &Header {
        self.work.header()
    }
    fn counts(&self) -> bool {
        true
    }
    fn retain(&self) {
        core::mem::forget(Arc::clone(self));
    }
}

// SAFETY: the item lives for ever.
unsafe impl<T, C: Context> sealed::Submit for &'static DelayedWork<T, C> {
    #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
    fn header(&self) -> &Header {
        self.work.header()
    }
    fn counts(&self) -> bool {
        false
    }
    fn retain(&self) {}
}

/// The handle of a delayed item that its own handler gets: to set its timer again ([`Run::delayed`]).
pub struct DelayedRun<'a, T, C: Context>(&'a Run<'a, T, C>);

impl<T, C: Context> Clone for DelayedRun<'_, T, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, C: Context> Copy for DelayedRun<'_, T, C> {}

impl<T, C: Context> fmt::Debug for DelayedRun<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T, C: Context> Run<'_, T, C> {
    /// The run as one of a delayed item, which may be queued with a delay again; `None` if it is none.
    pub fn delayed(&self) -> Option<DelayedRun<'_, T, C>> {
        let is_delayed = self.work().header().alarm().is_some();
        is_delayed.then_some(DelayedRun(self))
    }
}

// SAFETY: as for the run inside.
unsafe impl<T, C: Context> sealed::Submit for DelayedRun<'_, T, C> {
    #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
    fn header(&self) -> &Header {
        self.0.work().header()
    }
    fn counts(&self) -> bool {
        sealed::Submit::counts(&self.0)
    }
    fn retain(&self) {
        sealed::Submit::retain(&self.0);
    }
}

impl<T: Send + Sync + 'static, C: Context> SubmitDelayed<T, C> for DelayedRun<'_, T, C> {
    fn delayed(&self) -> &DelayedWork<T, C> {
        let work = core::ptr::from_ref(self.0.work());
        // SAFETY: an item that has an alarm is the first field of a delayed item of its type.
        unsafe { &*work.cast::<DelayedWork<T, C>>() }
    }
}

/// A way to hand a delayed item to a queue: `&Arc<DelayedWork>`, `&'static DelayedWork`, or what
/// [`Run::delayed`] gives its handler.
pub trait SubmitDelayed<T, C: Context>: sealed::Submit {
    /// The item.
    #[doc(hidden)]
    fn delayed(&self) -> &DelayedWork<T, C>;
}

impl<T: Send + Sync + 'static, C: Context> SubmitDelayed<T, C> for &Arc<DelayedWork<T, C>> {
    fn delayed(&self) -> &DelayedWork<T, C> {
        self
    }
}

impl<T: Send + Sync + 'static, C: Context> SubmitDelayed<T, C> for &'static DelayedWork<T, C> {
    fn delayed(&self) -> &DelayedWork<T, C> {
        self
    }
}

impl<T: Send + Sync + 'static, C: Context> DelayedWork<T, C> {
    /// An idle item.
    #[must_use]
    pub const fn new(data: T, handler: Handler<T, C>) -> Self {
        Self {
            work: Work::inside::<Self>(data, handler),
            alarm: Alarm::new(offset_of!(Self, alarm)),
        }
    }

    /// As [`Work::flush`], but an item whose timer is armed is queued now (I8). True also if it was
    /// over before there was anything to wait for.
    ///
    /// # Errors
    ///
    /// As [`Work::cancel_sync`].
    pub fn flush(&self, cx: &ThreadCx<'_>) -> Result<bool, WaitError> {
        let h = self.work.header();
        // Before anything is queued: a handler's own timer stays armed.
        if ops::is_own_run(h) {
            return Err(WaitError::SelfWait);
        }
        let mut waited = false;
        loop {
            let irq = IrqGuard::new();
            let to = self.alarm.disarm();
            let early = to.is_some();
            let put_off = to.is_some_and(|to| self.alarm.forward(to));
            drop(irq);
            let s = h.word.state();
            if !early && s.pending && !s.queued {
                // The timer's callback or another flush has it, and may put it off itself.
                machine::relax();
                continue;
            }
            waited |= await_item::flush(cx, h)? || early;
            // Put off: what was over now is the run that was in its way.
            if !put_off {
                return Ok(waited);
            }
        }
    }

    /// The owner queues the item: now, or when the timer fires. On refusal it is given up.
    fn start(&self, queue: &Arc<Queue>, target: Target, delay: Duration) -> Submitted {
        if delay == Duration::ZERO {
            let h = self.work.header();
            return give_up_unless_queued(h, queue.submit_owned(target, h));
        }
        self.start_later(queue, target, delay)
    }

    /// The owner queues the item when the timer fires.
    #[inline(always)]
    fn start_later(&self, queue: &Arc<Queue>, target: Target, delay: Duration) -> Submitted {
        self.alarm.set(Arc::clone(queue), target, delay);
        Submitted::Queued
    }
}

/// A refused item is idle again; its count goes.
fn give_up_unless_queued(h: &Header, result: Submitted) -> Submitted {
    if result != Submitted::Queued {
        let hold = h.take_hold();
        h.word.release();
        drop(hold);
    }
    result
}

impl<K: Kind> Workqueue<K> {
    /// Queues an item after `delay`; 0 is at once, without a timer (J8).
    pub fn queue_delayed<T>(
        &self,
        item: impl SubmitDelayed<T, K::Context>,
        delay: Duration,
    ) -> Submitted
    where
        T: Send + Sync + 'static,
    {
        self.delay(Target::Here, item, delay)
    }

    /// As [`Self::queue_delayed`], on core `cpu`.
    pub fn queue_delayed_on<T>(
        &self,
        cpu: CpuId,
        item: impl SubmitDelayed<T, K::Context>,
        delay: Duration,
    ) -> Submitted
    where
        T: Send + Sync + 'static,
    {
        self.delay(Target::On(cpu), item, delay)
    }

    fn delay<T: Send + Sync + 'static>(
        &self,
        target: Target,
        item: impl SubmitDelayed<T, K::Context>,
        delay: Duration,
    ) -> Submitted {
        let h = item.header();
        if delay == Duration::ZERO {
            return self.submit(target, item);
        }
        let irq = IrqGuard::new();
        if !h.word.claim_idle(h.word.look(), item.counts()) {
            drop(irq);
            return self.delay_unless_idle(target, item, delay);
        }
        item.retain();
        item.delayed().start_later(&self.queue, target, delay)
    }

    /// As [`Self::delay`] without delay.
    #[inline(never)]
    fn submit<T>(&self, target: Target, item: impl SubmitDelayed<T, K::Context>) -> Submitted {
        self.queue
            .submit(target, item.header(), None, item.counts(), || item.retain())
    }

    /// As [`Self::delay`], of an item that was not idle a moment ago.
    #[inline(never)]
    fn delay_unless_idle<T: Send + Sync + 'static>(
        &self,
        target: Target,
        item: impl SubmitDelayed<T, K::Context>,
        delay: Duration,
    ) -> Submitted {
        let h = item.header();
        if let Some(n) = h.word.join() {
            return joined(n);
        }
        let _irq = IrqGuard::new();
        match h.word.claim() {
            Claim::Claimed(_) => {
                h.hold(item.counts(), || item.retain());
                item.delayed().start_later(&self.queue, target, delay)
            }
            Claim::Pending(n) => joined(n),
            Claim::Disabled => refused(h),
            Claim::Poisoned => Submitted::Poisoned,
            Claim::Elsewhere(_) => Submitted::Elsewhere,
        }
    }

    /// Makes the item run `delay` from now, whether it is idle, waiting for its timer, or queued
    /// already (J9): `AlreadyPending` in the latter cases. Any context.
    pub fn mod_delayed<T: Send + Sync + 'static>(
        &self,
        item: impl SubmitDelayed<T, K::Context>,
        delay: Duration,
    ) -> Submitted {
        self.move_to(Target::Here, item, delay)
    }

    /// As [`Self::mod_delayed`], on core `cpu`.
    pub fn mod_delayed_on<T: Send + Sync + 'static>(
        &self,
        cpu: CpuId,
        item: impl SubmitDelayed<T, K::Context>,
        delay: Duration,
    ) -> Submitted {
        self.move_to(Target::On(cpu), item, delay)
    }

    fn move_to<T: Send + Sync + 'static>(
        &self,
        target: Target,
        item: impl SubmitDelayed<T, K::Context>,
        delay: Duration,
    ) -> Submitted {
        let (h, d) = (item.header(), item.delayed());
        if delay != Duration::ZERO && !h.word.state().poisoned {
            let _irq = IrqGuard::new();
            if d.alarm.put_off(&self.queue, target, delay) {
                return Submitted::AlreadyPending(1);
            }
        }
        self.take_and_start(target, item, delay)
    }

    /// Takes the item away from whoever has it, and starts it anew.
    #[inline(never)]
    fn take_and_start<T: Send + Sync + 'static>(
        &self,
        target: Target,
        item: impl SubmitDelayed<T, K::Context>,
        delay: Duration,
    ) -> Submitted {
        let (h, d) = (item.header(), item.delayed());
        let stolen = steal::steal(h);
        let mut others = stolen.was;
        let s = h.word.state();
        let result = if s.depth > 0 || s.poisoned {
            h.word.release();
            if s.poisoned {
                Submitted::Poisoned
            } else {
                refused(h)
            }
        } else {
            h.hold(item.counts(), || item.retain());
            // Of an idle item this is the first submission, unless one joined in this instant.
            others = others || h.word.join().is_some_and(|n| n > 1);
            d.start(&self.queue, target, delay)
        };
        drop(stolen);
        if others && result == Submitted::Queued {
            Submitted::AlreadyPending(1)
        } else {
            result
        }
    }
}
