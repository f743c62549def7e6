//! Waiting for a whole queue: flush, drain, destroy (I1, I2, I9, I10).
//!
//! The colours are [`workqueue::Flush`]'s business. Lock order: the queue's flush lock, then one
//! pool's lock at a time. The last pwq to finish a colour completes the first flusher under its
//! pool's lock; that thread then takes the flush lock and releases all others it can.

use core::cell::UnsafeCell;

use links::{Direct, Handle};
use machine::CpuMask;
use sync::atomic::{AtomicBool, Ordering};
use sync::{Rank, SpinLock};
use workqueue::{Attrs, Cascade, Colour, Flush, FlushStart, Flusher};

use super::errors::WaitError;
use super::handles::{flush_of, flushers, queue_name};
use super::queue::Queue;
use super::rescuer::{no_progress, promised, promises};
use super::share::Share;
use super::shares::Shares;
use super::waiting::QueueWait;
use super::worker::{Worker, current_worker};
use crate::completion::Completion;
use crate::thread::{self, ThreadCx};
use crate::trace::{Head, Kind, emit_unmasked};
use crate::waits::{SleepsIn, Wait, sleeps_in};

/// What a queue's flush lock protects.
#[derive(Debug)]
pub(super) struct FlushState {
    policy: Flush,
    arena: Direct<Flusher>,
    /// Drains under way, and one for ever once the queue is destroyed.
    draining: u32,
    /// The queue has left its pools for good (I10).
    destroyed: bool,
    /// Where the queue is, and was.
    pub(super) shares: Shares,
    /// What an unbound or ordered queue asked for last.
    pub(super) attrs: Attrs,
    /// The cores it got for that.
    pub(super) effective: CpuMask,
}

impl FlushState {
    pub(super) const fn lock(attrs: Attrs) -> SpinLock<Self> {
        let state = Self {
            policy: Flush::new(),
            arena: flushers(),
            draining: 0,
            destroyed: false,
            shares: Shares::new(),
            attrs,
            effective: CpuMask::ALL,
        };
        SpinLock::new(Rank::Workqueue, "workqueue flush", state)
    }

    /// What a share that joins must know: the colour of new items, and whether there may be any.
    pub(super) const fn colour(&self) -> Colour {
        self.policy.work_colour()
    }

    /// Whether `f`, which waits, waits for items of colour `c`.
    pub(super) fn covers(&self, f: &FlushNode, c: Colour) -> bool {
        self.policy.covers(&self.arena, f.handle(), c)
    }

    pub(super) const fn refuses(&self) -> bool {
        self.draining > 0
    }

    /// Nothing will ever be queued any more: it needs no pools.
    pub(super) const fn is_destroyed(&self) -> bool {
        self.destroyed
    }
}

/// One waiting flush; lives on the waiting thread's stack.
#[derive(Debug)]
pub(super) struct FlushNode {
    pub(super) node: UnsafeCell<Flusher>,
    done: Completion,
    /// It armed the pwqs, so it must release the others when it is resumed.
    is_first: AtomicBool,
}

#[expect(unsafe_code, reason = "the node belongs to the flush lock")]
// SAFETY: `node` is reached through the arena, under the flush lock.
unsafe impl Sync for FlushNode {}

impl FlushNode {
    const fn new() -> Self {
        Self {
            node: UnsafeCell::new(Flusher::new()),
            done: Completion::new(),
            is_first: AtomicBool::new(false),
        }
    }

    /// What it waits for is over.
    pub(super) fn is_done(&self) -> bool {
        self.done.is_done()
    }

    fn handle(&self) -> Handle<Flusher> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.node.get())
    }
}

impl Queue {
    /// Waits until everything queued before the call is over (I1).
    #[inline(always)]
    pub(super) fn flush(&self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        self.may_wait()?;
        // The simulator wants to see it begin, too.
        if !machine::OBSERVED && self.is_clear() {
            emit_unmasked(Kind::FlushIdle, Head::of(0), 0, queue_name(self));
            return Ok(());
        }
        self.flush_told(cx)
    }

    #[inline(never)]
    fn flush_told(&self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        emit_unmasked(Kind::FlushStart, Head::of(0), 0, queue_name(self));
        if !self.is_clear() && !self.is_at_rest() {
            self.wait_for_all(cx)?;
        }
        emit_unmasked(Kind::FlushEnd, Head::of(0), 0, queue_name(self));
        Ok(())
    }

    /// Nothing that was queued before the call is in flight, as far as can be seen without a lock: the shares stay where they
    /// are, and each one's items are over at the moment it is looked at. False says nothing.
    #[inline(always)]
    fn is_clear(&self) -> bool {
        let shares = self.routes.for_ever();
        !shares.is_empty() && shares.iter().all(Share::is_clear)
    }

    /// Nothing that was queued before the call is in flight: no share has anything of the only colour there
    /// is, at the moment it is looked at. False also while another flush is under way.
    fn is_at_rest(&self) -> bool {
        let g = self.flush.lock();
        let none_of = |c| {
            g.shares.iter().all(|share| {
                let (_, g) = share.lock();
                // Who was cancelled has passed, too.
                share.tell_passed(&g);
                share.pwq(&g).is_empty_of(c)
            })
        };
        g.policy.only_colour().is_some_and(none_of)
    }

    /// Whether the running thread may wait for the queue's items (I4, H6).
    #[inline(always)]
    fn may_wait(&self) -> Result<(), WaitError> {
        match current_worker() {
            None => Ok(()),
            Some(w) => self.may_be_awaited_by(w),
        }
    }

    fn may_be_awaited_by(&self, w: &Worker) -> Result<(), WaitError> {
        if w.works_for(self) {
            return Err(WaitError::SelfWait);
        }
        match promised().filter(|_| !promises(self)) {
            Some(waits) => Err(no_progress(waits, &self.attributes.name)),
            None => Ok(()),
        }
    }

    fn wait_for_all(&self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        let me = FlushNode::new();
        let what = QueueWait::new(self, &me);
        let wait = Wait::of_current(&what);
        let start = match &wait {
            None => self.start_flush(&me),
            Some(wait) => wait.begin(|| {
                what.started();
                self.start_flush(&me)
            })?,
        };
        if start != FlushStart::Done {
            let _said = sleeps_in(SleepsIn::Queue);
            me.done.wait(cx);
            if me.is_first.load(Ordering::Relaxed) {
                self.cascade();
            }
        }
        Ok(())
    }

    fn start_flush(&self, me: &FlushNode) -> FlushStart {
        let mut g = self.flush.lock();
        let FlushState {
            policy,
            arena,
            shares,
            ..
        } = &mut *g;
        policy.start(arena, me.handle(), |wait_for, colour| {
            if wait_for.is_some() {
                self.set_first(me);
            }
            self.pass(shares, wait_for, colour)
        })
    }

    fn set_first(&self, f: &FlushNode) {
        f.is_first.store(true, Ordering::Relaxed);
        self.first
            .store(core::ptr::from_ref(f).cast_mut(), Ordering::Release);
    }

    /// The first flusher's colour is over: lets everybody go whose colour is over too.
    fn cascade(&self) {
        let mut g = self.flush.lock();
        let FlushState {
            policy,
            arena,
            shares,
            ..
        } = &mut *g;
        policy.cascade(
            arena,
            |wait_for, colour| self.pass(shares, wait_for, colour),
            |f, fate| {
                let f = flush_of(f);
                match fate {
                    Cascade::First => self.set_first(f),
                    Cascade::Complete => {
                        f.is_first.store(false, Ordering::Relaxed);
                        // It may be gone when this returns.
                        f.done.complete_all();
                    }
                }
            },
        );
    }

    /// Visits every pwq: opens `colour` for new items, and arms those with items of `wait_for` in
    /// flight. True if some are still to finish.
    fn pass(&self, shares: &Shares, wait_for: Option<Colour>, colour: Option<Colour>) -> bool {
        // One too many, so that a pwq which finishes during the pass does not end the flush.
        if wait_for.is_some() {
            self.to_flush.start();
        }
        for share in shares.iter() {
            let (_, mut g) = share.lock();
            if share.pwq_mut(&mut g).flush(wait_for, colour) {
                self.to_flush.add();
            }
        }
        wait_for.is_some() && self.to_flush.armed()
    }

    /// A pwq finished the flushed colour; under its pool's lock.
    #[expect(unsafe_code, reason = "the first flusher waits on its own stack")]
    pub(super) fn flush_step(&self) {
        if self.to_flush.finish() {
            let first = self.first.load(Ordering::Acquire);
            // SAFETY: the first flusher waits until this completes it.
            unsafe { &*first }.done.complete_all();
        }
    }

    fn set_refuse(shares: &Shares, on: bool) {
        for share in shares.iter() {
            let (_, mut g) = share.lock();
            share.pwq_mut(&mut g).set_refuse(on);
        }
    }

    /// Nothing is in flight, and nobody is on the way with a slot or with a share that moves. The
    /// queue refuses submissions from outside, so what comes is what its own items queue.
    ///
    /// Shares are looked at one after the other, and an item in one may queue another in a share
    /// that was looked at before. So each is looked at twice: when nothing came into any of them
    /// between the two looks, all were empty at the moment between the rounds.
    fn is_empty(&self) -> bool {
        let g = self.flush.lock();
        let look = || {
            g.shares.iter().try_fold(0, |passed, share| {
                let (_, g) = share.lock();
                let pwq = share.pwq(&g);
                let quiet = pwq.is_empty() && !pwq.is_moving();
                quiet.then(|| passed + pwq.passed())
            })
        };
        let before = look();
        // Without active items, who has a slot is on the way with it.
        before.is_some()
            && before == look()
            && self.nodes.iter().all(|n| n.lock().policy.taken() == 0)
    }

    /// Refuses submissions from outside and waits until the queue is empty; items may go on
    /// queueing each other meanwhile (I9). With `destroy` it refuses for ever. After an error the
    /// queue is as it was.
    pub(super) fn drain(&self, cx: &ThreadCx<'_>, destroy: bool) -> Result<(), WaitError> {
        self.may_wait()?;
        let mut g = self.flush.lock();
        g.draining += 1;
        Self::set_refuse(&g.shares, true);
        drop(g);
        let emptied = self.wait_until_empty(cx);
        let mut g = self.flush.lock();
        if destroy && emptied.is_ok() {
            g.destroyed = true;
            // The pools need not wait until the last handle is dropped.
            self.leave_pools(&g.shares);
        } else {
            Self::drained(&mut g);
        }
        emptied
    }

    fn wait_until_empty(&self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        loop {
            self.flush(cx)?;
            if self.is_empty() {
                return Ok(());
            }
            thread::yield_now(cx);
        }
    }

    /// One drain is over, or was given up.
    fn drained(g: &mut FlushState) {
        g.draining -= 1;
        if g.draining == 0 {
            Self::set_refuse(&g.shares, false);
        }
    }
}
