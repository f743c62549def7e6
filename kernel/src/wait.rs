//! Sleeping until something happens: wait lists inside locks, and wait queues for conditions.
//!
//! Every sleeping primitive is a spin lock around some state and a list of waiters. A waiter's node
//! is on its own stack, so waiting allocates nothing; it is linked, granted and unlinked under the
//! primitive's lock only, and a waker wakes while it holds that lock. So when a waiter has taken the
//! lock again and finds itself granted, nobody else can still be looking at its node.
//!
//! No wake-up is lost: a waiter links itself and announces its sleep under the lock, and only then
//! releases it; a waker that comes later finds the node, one that came earlier changed the state
//! the waiter looked at under the lock.
#![expect(unsafe_code, reason = "wait nodes live on their threads' stacks")]

use core::cell::UnsafeCell;
use core::fmt;

use links::{Arena, Direct, Handle, Linked, List, ListLinks};
use machine::{Duration, Instant};
use sync::{Rank, SpinGuard, SpinLock};

use crate::cpu::CpuMask;
use crate::schedule::{cancel_sleep, might_sleep, prepare_to_sleep, prepare_to_sleep_locked};
use crate::schedule::{schedule_blocked, schedule_masked, schedule_until, wake_sleeping};
use crate::thread::{State, Thread, ThreadCx, current};
use crate::trace::{Head, Kind, emit_unmasked, name, wants_unmasked};
use crate::waits::{SleepsIn, sleeps_in};

/// The time given for waiting is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

/// One waiting thread.
pub(crate) struct WaitNode {
    links: ListLinks<Self>,
    thread: *const Thread,
    granted: bool,
}

impl Linked for WaitNode {
    fn list_links(&self) -> &ListLinks<Self> {
        &self.links
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self> {
        &mut self.links
    }
}

/// Waiting threads in order of arrival; lives inside the lock of the primitive it serves.
pub(crate) struct WaitList {
    list: List<WaitNode>,
    arena: Direct<WaitNode>,
}

// SAFETY: nodes are touched only under the lock the list lives in.
unsafe impl Send for WaitList {}

impl fmt::Debug for WaitList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitList")
            .field("is_empty", &self.list.is_empty())
            .finish()
    }
}

impl WaitList {
    pub(crate) const fn new() -> Self {
        // SAFETY: a node is linked only between `wait_in`'s (or `wait_until`'s) link and unlink on
        // the stack frame that owns it, and reached only under the lock around this list.
        let arena = unsafe { Direct::new() };
        Self {
            list: List::new(),
            arena,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Grants the longest waiting thread what it waits for and wakes it. False if none waits.
    pub(crate) fn grant_one(&mut self) -> bool {
        self.grant_next().is_some()
    }

    /// As [`Self::grant_one`]; the thread that was granted.
    pub(crate) fn grant_next(&mut self) -> Option<*const Thread> {
        while let Some(h) = self.list.front() {
            self.list.remove_front(&mut self.arena, h);
            let node = self.arena.get_mut(h);
            node.granted = true;
            // SAFETY: the thread is alive: it cannot leave its wait before it gets the lock we
            // hold; one that died in its condition is kept for ever, with its stack.
            let thread = unsafe { &*node.thread };
            match thread.state() {
                State::Sleeping => _ = wake_sleeping(thread, CpuMask::ALL),
                State::Running => {}
                State::Dead => continue,
            }
            return Some(thread);
        }
        None
    }

    /// Grants every waiting thread. The number granted.
    pub(crate) fn grant_all(&mut self) -> usize {
        let mut n = 0;
        while self.grant_one() {
            n += 1;
        }
        n
    }

    fn link(&mut self, node: &UnsafeCell<WaitNode>) -> Handle<WaitNode> {
        let p = node.get();
        p.expose_provenance();
        let h = Handle::of(p);
        self.list.push_back(&mut self.arena, h);
        h
    }

    fn granted(&self, h: Handle<WaitNode>) -> bool {
        self.arena.get(h).granted
    }
}

fn node(me: &Thread) -> UnsafeCell<WaitNode> {
    UnsafeCell::new(WaitNode {
        links: ListLinks::new(),
        thread: me,
        granted: false,
    })
}

/// How a wait inside a lock ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waited {
    /// Somebody granted this thread what it waits for.
    Granted,
    /// Nobody did, but the state is such that it need not wait.
    Ready,
    /// Nobody did in time.
    TimedOut,
}

/// Sleeps until somebody grants this thread (which is then no longer on the list), until `ready`, if
/// there is such a state, holds, or until `deadline`; in `what`, unless something around has a name. `guard` is `lock`'s; the lock is free while sleeping
/// and held again on return. Whoever makes `ready` true without the lock wakes the thread afterwards.
#[inline]
pub(crate) fn wait_in_or<'a, S>(
    lock: &'a SpinLock<S>,
    mut guard: SpinGuard<'a, S>,
    waiters: fn(&mut S) -> &mut WaitList,
    ready: Option<fn(&S) -> bool>,
    what: SleepsIn,
    cx: &ThreadCx<'_>,
    deadline: Option<Instant>,
) -> (SpinGuard<'a, S>, Waited) {
    let me = current();
    let node = node(me);
    let h = waiters(&mut guard).link(&node);
    let limited = Head::of(u32::from(deadline.is_some()));
    let told = wants_unmasked(Kind::ContentionBegin);
    if told {
        emit_unmasked(Kind::ContentionBegin, limited, name(lock), 0);
    }
    let mut in_time = true;
    if ready.is_none() && deadline.is_none() {
        // Mostly it is woken by whoever grants it what it waits for.
        prepare_to_sleep_locked(me, what);
        let masked = guard.release();
        schedule_masked(me, cx);
        guard = lock.lock_in(masked);
        if waiters(&mut guard).granted(h) {
            if told {
                emit_unmasked(Kind::ContentionEnd, Head::of(0), name(lock), 0);
            }
            return (guard, Waited::Granted);
        }
    }
    loop {
        // Nobody has granted it anything since the lock was taken.
        let is_ready = if let Some(ready) = ready {
            prepare_to_sleep();
            ready(&guard)
        } else {
            prepare_to_sleep_locked(me, what);
            false
        };
        if is_ready || !in_time {
            cancel_sleep();
            let list = waiters(&mut guard);
            list.list.remove(&mut list.arena, h);
            let late = Head::of(u32::from(!is_ready));
            emit_unmasked(Kind::ContentionEnd, late, name(lock), 0);
            let waited = if is_ready {
                Waited::Ready
            } else {
                Waited::TimedOut
            };
            return (guard, waited);
        }
        guard = if let Some(at) = deadline {
            drop(guard);
            in_time = schedule_until(cx, at);
            lock.lock()
        } else {
            let masked = guard.release();
            schedule_masked(me, cx);
            lock.lock_in(masked)
        };
        if waiters(&mut guard).granted(h) {
            emit_unmasked(Kind::ContentionEnd, Head::of(0), name(lock), 0);
            return (guard, Waited::Granted);
        }
    }
}

/// As [`wait_in_or`], without a state in which nobody has to wait.
///
/// # Errors
///
/// [`TimedOut`] when the deadline passed without a grant.
#[inline]
pub(crate) fn wait_in<'a, S>(
    lock: &'a SpinLock<S>,
    guard: SpinGuard<'a, S>,
    waiters: fn(&mut S) -> &mut WaitList,
    what: SleepsIn,
    cx: &ThreadCx<'_>,
    deadline: Option<Instant>,
) -> (SpinGuard<'a, S>, Result<(), TimedOut>) {
    let (guard, waited) = wait_in_or(lock, guard, waiters, None, what, cx, deadline);
    let result = if waited == Waited::Granted {
        Ok(())
    } else {
        Err(TimedOut)
    };
    (guard, result)
}

/// Threads waiting for a condition somebody else makes true.
#[derive(Debug)]
pub struct WaitQueue {
    waiters: SpinLock<WaitList>,
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitQueue {
    /// A queue nobody waits in.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            waiters: SpinLock::new(Rank::WaitQueue, "wait queue", WaitList::new()),
        }
    }

    /// Sleeps until `condition` holds. It is evaluated without any lock of the queue, at least once
    /// after each wake-up; whoever makes it true calls [`Self::wake_one`] or [`Self::wake_all`]
    /// afterwards.
    pub fn wait_until(&self, cx: &ThreadCx<'_>, condition: impl FnMut() -> bool) {
        // Without a deadline it cannot time out.
        let _ = self.wait(cx, None, condition);
    }

    /// As [`Self::wait_until`], for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] when the condition did not hold in time.
    pub fn wait_timeout(
        &self,
        cx: &ThreadCx<'_>,
        timeout: Duration,
        condition: impl FnMut() -> bool,
    ) -> Result<(), TimedOut> {
        self.wait(cx, Some(machine::now() + timeout), condition)
    }

    fn wait(
        &self,
        cx: &ThreadCx<'_>,
        deadline: Option<Instant>,
        mut condition: impl FnMut() -> bool,
    ) -> Result<(), TimedOut> {
        might_sleep("WaitQueue::wait");
        // The condition, too, may sleep: for this queue's sake.
        let _said = sleeps_in(SleepsIn::WaitQueue);
        while !condition() {
            let node = node(current());
            let mut list = self.waiters.lock();
            let h = list.link(&node);
            prepare_to_sleep();
            drop(list);
            let done = condition();
            let mut in_time = true;
            if done {
                cancel_sleep();
            } else {
                let limited = Head::of(u32::from(deadline.is_some()));
                emit_unmasked(Kind::ContentionBegin, limited, name(self), 0);
                match deadline {
                    None => schedule_blocked(cx),
                    Some(at) => in_time = schedule_until(cx, at),
                }
                emit_unmasked(Kind::ContentionEnd, Head::of(0), name(self), 0);
            }
            let mut list = self.waiters.lock();
            if list.granted(h) {
                // A wake-up meant for one waiter must not be swallowed by one that needs it no more.
                if done {
                    list.grant_one();
                    return Ok(());
                }
            } else {
                let list = &mut *list;
                list.list.remove(&mut list.arena, h);
            }
            if done {
                return Ok(());
            }
            if !in_time {
                drop(list);
                return if condition() { Ok(()) } else { Err(TimedOut) };
            }
        }
        Ok(())
    }

    /// Wakes the thread that waits longest. Any context. True if one waited.
    pub fn wake_one(&self) -> bool {
        self.waiters.lock().grant_one()
    }

    /// Wakes every waiting thread. Any context. The number woken.
    pub fn wake_all(&self) -> usize {
        self.waiters.lock().grant_all()
    }

    /// True when no thread waits; stale at once.
    pub fn is_empty(&self) -> bool {
        self.waiters.lock().is_empty()
    }
}
