//! The timer of a delayed item: where the item goes when it fires, and what if nobody wants it.
//!
//! The owner of a pending item whose timer is armed is the timer. Whoever disarms it inherits the
//! item, and takes the destination out, so that an idle item keeps no queue alive.
//!
//! # A refused item
//!
//! The queue may have been destroyed when the timer fires (I10). The submission's count on the item
//! may then be the last, and the item's destructor is somebody else's code: it must not run in the
//! timer's softirq with interrupts masked. The count goes to a list, and a work item on the system's
//! unbound queue gives it up there, in thread context. The list is threaded through the alarms, so
//! refusing allocates nothing.
#![expect(
    unsafe_code,
    reason = "an alarm is inside the item its submission keeps alive"
)]

use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};

use machine::Duration;
use sync::{Rank, SpinLock};

use super::header::{Header, Hold};
use super::item::{Run, Work};
use super::queue::{Queue, Target};
use super::submitted::Submitted;
use crate::kernel;
use crate::thread::ThreadCx;
use crate::timer::Timer;

/// How long a due item that still runs for another queue waits before it asks again.
const RETRY: Duration = Duration::from_millis(1);

/// The part of a delayed item that does not depend on its type.
#[repr(C)]
pub(super) struct Alarm {
    timer: Timer,
    /// From the item's header to here.
    offset: usize,
    /// Where the item goes when the timer fires; dropping it may free the queue. Like `target` touched by the
    /// owner of `PENDING` only, or, while that is the timer, under the lock of its base.
    to: UnsafeCell<Option<Arc<Queue>>>,
    target: Cell<Target>,
    /// `[L]` of the list of refused items.
    refused: Cell<bool>,
    /// `[L]` of the list of refused items: the next one.
    next: Cell<*const Self>,
}

impl Alarm {
    /// An alarm that is not set, `offset` bytes behind the header of its item.
    pub(super) const fn new(offset: usize) -> Self {
        Self {
            timer: Timer::masked(fire),
            offset,
            to: UnsafeCell::new(None),
            target: Cell::new(Target::Here),
            refused: Cell::new(false),
            next: Cell::new(core::ptr::null()),
        }
    }

    fn header(&self) -> &Header {
        let p = core::ptr::from_ref(self).cast::<u8>();
        // SAFETY: `offset` was made for the type that begins with the header and contains this.
        unsafe { &*p.wrapping_sub(self.offset).cast::<Header>() }
    }

    /// The owner of the item gives it to the timer; it must have disarmed it. Interrupts are masked.
    #[inline(always)]
    pub(super) fn set(&self, queue: Arc<Queue>, target: Target, delay: Duration) {
        let to = self.to.get();
        // SAFETY: the caller owns `PENDING`.
        debug_assert!(unsafe { (*to).is_none() }, "two owners of one item");
        // SAFETY: as above; whoever owned it before has taken the queue out.
        unsafe { to.write(Some(queue)) };
        self.target.set(target);
        // SAFETY: the submission's count (or 'static) keeps the timer alive until it has fired or
        // was cancelled.
        unsafe { self.timer.arm_masked(machine::now() + delay) };
    }

    /// Sets an armed timer anew, for the same queue, without taking the item back. False: nothing happened; it
    /// is not armed, or on another core, or for another queue. Interrupts are masked.
    #[inline(always)]
    pub(super) fn put_off(&self, queue: &Arc<Queue>, target: Target, delay: Duration) -> bool {
        self.timer.put_off(machine::now() + delay, || {
            // SAFETY: the timer owns `PENDING`, and its base's lock is held: nobody takes the item from it.
            let to = unsafe { &*self.to.get() };
            let same = to.as_ref().is_some_and(|to| Arc::ptr_eq(to, queue));
            if same {
                self.target.set(target);
            }
            same
        })
    }

    /// Takes the item back from the timer, with interrupts masked: the caller owns it then, and the count
    /// on the queue it would have gone to. `None` if the timer is not armed.
    #[inline(always)]
    pub(super) fn disarm(&self) -> Option<Arc<Queue>> {
        if self.timer.cancel_masked() {
            // SAFETY: the caller inherited the item from the timer.
            unsafe { (*self.to.get()).take() }
        } else {
            None
        }
    }

    /// Whether the timer is armed; a hint.
    pub(super) fn is_set(&self) -> bool {
        self.timer.is_armed()
    }

    /// The owner queues the item at `to`, for the core it was delayed for. Interrupts are masked; the item may be gone when this
    /// returns, unless the caller keeps it. True: put off.
    pub(super) fn forward(&self, to: Arc<Queue>) -> bool {
        let h = self.header();
        let target = self.target.get();
        match to.submit_owned(target, h) {
            Submitted::Queued => false,
            // It still runs for another queue, beside which it may not run (C5). The submission was
            // accepted, so it is not lost: the timer tries again.
            Submitted::Elsewhere => {
                self.set(to, target, RETRY);
                true
            }
            // The queue drains or is gone, and the submission is lost (I10).
            _ => {
                let hold = h.take_hold();
                h.word.release();
                if hold.is_some() {
                    self.refuse(hold);
                }
                false
            }
        }
    }

    /// Has `hold`, a count on this item, given up in thread context.
    #[cold]
    fn refuse(&self, hold: Hold) {
        let mut list = kernel().wq.refused.list.lock();
        if self.refused.replace(true) {
            // The list has a count on it already, so this is not the last.
            drop(hold);
            return;
        }
        self.next.set(list.0);
        list.0 = self;
        // The list has it now.
        core::mem::forget(hold);
        drop(list);
        // Pending already is as good: that run comes after this.
        let _ = super::unbound().queue(&kernel().wq.refused.give_up);
    }
}

/// Timer callback: the timer owned the item, now this does (J8). The item goes to the core that was
/// asked for, or to the one the timer fired on. Interrupts are masked since the timer was taken off
/// its base (B3): a handler that cancels the item would wait for its owner, which it interrupted.
fn fire(timer: &Timer) {
    // SAFETY: only alarms have this callback, the timer comes first in them (`repr(C)`), and the
    // submission keeps the item alive until it is queued or refused below.
    let alarm = unsafe { &*core::ptr::from_ref(timer).cast::<Alarm>() };
    // SAFETY: the timer owned `PENDING`.
    if let Some(to) = unsafe { (*alarm.to.get()).take() } {
        let _ = alarm.forward(to);
    }
}

/// Refused items, one count on each.
#[derive(Debug)]
pub(super) struct Refused {
    list: SpinLock<Head>,
    give_up: Work<()>,
}

#[derive(Debug)]
struct Head(*const Alarm);

// SAFETY: the alarms are alive, by the counts in the list, and reached under its lock.
unsafe impl Send for Head {}

impl Refused {
    pub(super) const fn new() -> Self {
        Self {
            list: SpinLock::new(Rank::Leaf, "refused items", Head(core::ptr::null())),
            give_up: <Work<()>>::new((), give_up),
        }
    }

    /// Takes one item off the list, with its count.
    fn pop(&self) -> Option<Hold> {
        let mut list = self.list.lock();
        // SAFETY: a listed alarm is inside an item that the list has a count on.
        let alarm = unsafe { list.0.as_ref() }?;
        list.0 = alarm.next.get();
        alarm.refused.set(false);
        // SAFETY: the count that `refuse` left.
        Some(unsafe { Hold::adopt(alarm.header()) })
    }
}

/// Gives up the counts on refused items; their destructors may do what threads may do.
fn give_up(_: &ThreadCx<'_>, _: &Run<'_, ()>) {
    while let Some(hold) = kernel().wq.refused.pop() {
        drop(hold);
    }
}
