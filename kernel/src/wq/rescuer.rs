//! Rescuer threads: a queue's items go on although no worker can be made (H1-H7, E10, F4).
//!
//! Which pwqs call, and what a rescuer takes, is [`workqueue::Rescue`]'s business; here are the
//! pool's mayday timer, the queue's list of calls, and the thread. The thread is made with the
//! queue, or the queue is not made (F4). It waits for calls, goes to the core of the pool that
//! called, executes there what it may, wakes a worker and goes on to the next call. It belongs to no
//! pool: the scheduler's hooks pass it over (H4).
//!
//! A handler that panics ends its thread. The rescuer's last act is then to make its successor,
//! waiting for memory if it must: until it is made the calls wait too. A rescuer frees its worker
//! when it ends, so it does nothing before whoever made it has done with that.
//!
//! Locks: a pool's, then the queue's mayday lock, then a runqueue's.
#![expect(unsafe_code, reason = "nodes under the mayday and the pool lock")]

use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::Ordering;

use links::{Direct, Handle};
use sync::{Rank, SpinLock};
use workqueue::{Call, Item, Maydays, Pwq, Rescue, RescueStep, Tuning};

use super::errors::WaitError;
use super::execute::execute_first;
use super::handles::{arm_mayday, call_of, pool_of_mayday, queue_name, share_of};
use super::header::Header;
use super::panicked::poison;
use super::pool::Inner;
use super::queue::{Class, Queue};
use super::rest::{After, Rest};
use super::share::Share;
use super::urge;
use super::worker::{Worker, WorkerKind, current_worker, retire, spawn};
use crate::cpu::CpuMask;
use crate::thread::{self, Nice, SpawnError, ThreadCx, ThreadRef};
use crate::timer::Timer;
use crate::trace::{Kind, emit};
use crate::{kernel, schedule};

/// What a queue knows of its rescuer, under its mayday lock.
#[derive(Debug)]
pub(super) struct Help {
    maydays: Maydays,
    calls: Direct<Call>,
    rescuer: Option<ThreadRef>,
    /// Whoever made the rescuer has put it here, and will not touch its worker any more.
    known: bool,
    /// The rescuer is to end.
    stop: bool,
}

impl Help {
    pub(super) const fn lock() -> SpinLock<Self> {
        // SAFETY: a call is reached only under its queue's mayday lock, and is part of the queue.
        let calls = unsafe { Direct::new() };
        let help = Self {
            maydays: Maydays::new(),
            calls,
            rescuer: None,
            known: false,
            stop: false,
        };
        SpinLock::new(Rank::Mayday, "mayday", help)
    }
}

/// What a rescuer's worker has beside what every worker has. `[P]` of its thread but for `cursor`.
pub(super) struct Rescuing {
    /// Whose items it executes.
    queue: Arc<Queue>,
    /// `[L]` of the pool it helps.
    cursor: UnsafeCell<Item>,
    /// Whom it helps.
    turn: Cell<Option<Rescue>>,
}

impl Rescuing {
    fn cursor(&self) -> Handle<Item> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.cursor.get())
    }
}

impl Queue {
    /// A share calls for the rescuer; false if it does already. Under its pool's lock, which keeps
    /// the share.
    fn call_rescuer(&self, share: &Share) -> bool {
        let mut help = self.help.lock();
        let Help { maydays, calls, .. } = &mut *help;
        let new = maydays.call(calls, share.call_handle());
        if new {
            emit(Kind::Mayday, share.pool().head(), 0, queue_name(self));
            if let Some(t) = &help.rescuer {
                schedule::wake(t);
            }
        }
        new
    }

    /// Makes the rescuer.
    pub(super) fn start_rescuer(self: &Arc<Self>) -> Result<(), SpawnError> {
        let name = heapless::format!(64; "kworker/R-{}", self.attributes.name);
        // Any pool: it has none before the first call.
        let pool = super::pool_for(Class::PerCpu, false, 0);
        let rescuing = Rescuing {
            queue: Arc::clone(self),
            cursor: UnsafeCell::new(Item::cursor()),
            turn: Cell::new(None),
        };
        let worker = Worker::new(WorkerKind::Rescuer, pool, Some(rescuing));
        let builder = thread::Builder::new(&name.unwrap_or_default()).nice(Nice::MIN);
        // The one before, if there was one, has ended its last rescue.
        self.help.lock().known = false;
        let w = spawn(worker, builder, main)?;
        let thread = w.thread().cloned();
        let mut help = self.help.lock();
        help.rescuer.clone_from(&thread);
        help.known = true;
        drop(help);
        // From here on the worker may be gone.
        if let Some(t) = thread {
            schedule::wake(&t);
        }
        Ok(())
    }

    /// Whether `share` calls for the rescuer, for a report: not if somebody has the lock of the calls.
    pub(super) fn seems_calling(&self, share: &Share) -> bool {
        let Some(help) = self.help.try_lock() else {
            return false;
        };
        let call: &Call = links::Arena::get(&help.calls, share.call_handle());
        call.is_listed()
    }

    /// Ends the rescuer, if there is one, and waits for it. The queue is empty and stays so.
    pub(super) fn stop_rescuer(&self, cx: &ThreadCx<'_>) {
        // A rescuer that has panicked puts another in its place before it ends.
        loop {
            let mut help = self.help.lock();
            help.stop = true;
            let Some(t) = help.rescuer.take() else { break };
            drop(help);
            schedule::wake(&t);
            t.join(cx);
        }
        self.drop_calls();
    }

    /// Nobody will answer the calls that are left: a rescuer panicked and had no successor. What
    /// they were for is over.
    fn drop_calls(&self) {
        loop {
            let mut help = self.help.lock();
            let Help { maydays, calls, .. } = &mut *help;
            let Some(call) = maydays.answer(calls) else {
                return;
            };
            drop(help);
            let share = call_of(call);
            let (pool, mut g) = share.lock();
            let Inner { policy, store, .. } = &mut *g;
            let gone = policy.unanswered(store, share.handle());
            let rest = pool.conclude(&mut g, None, gone);
            drop(g);
            rest.carry_out();
        }
    }
}

/// Timer callback: the pool's manager cannot make a worker (H1).
pub(super) fn mayday(timer: &Timer) {
    let pool = pool_of_mayday(timer);
    let mut g = pool.lock();
    let Inner { policy, store, .. } = &mut *g;
    let call = |p: Handle<Pwq>| {
        let share = share_of(p);
        share.queue().call_rescuer(share)
    };
    if let Some(at) = policy.mayday(store, machine::now(), call) {
        arm_mayday(pool, at);
    }
}

/// Body of a rescuer's thread.
fn main(cx: &ThreadCx<'_>, w: &'static Worker) {
    let Some(r) = w.rescuing() else { return };
    loop {
        schedule::prepare_to_sleep();
        let mut help = r.queue.help.lock();
        let Help {
            maydays,
            calls,
            known,
            stop,
            ..
        } = &mut *help;
        let call = if *known { maydays.answer(calls) } else { None };
        let stop = *known && *stop;
        drop(help);
        if call.is_none() && !stop {
            schedule::schedule_blocked(cx);
            continue;
        }
        schedule::cancel_sleep();
        match call {
            Some(call) => rescue(cx, w, r, call_of(call)),
            None => break,
        }
    }
    retire(w);
}

/// H2, H3: answers the call of `share`.
fn rescue(cx: &ThreadCx<'_>, w: &'static Worker, r: &Rescuing, share: &Share) {
    // The call pins the share to its pool.
    let pool = share.pool();
    w.set_pool(pool);
    schedule::run_on(cx, pool.cpu().map_or_else(|| pool.cpus(), CpuMask::single));
    let mut turn = Rescue::new(w.handle(), r.cursor(), share.handle());
    let mut after = After::NONE;
    let mut leaves = Rest::default();
    let mut g = pool.lock();
    let queue = queue_name(&*r.queue);
    emit(Kind::RescuerAttach, pool.head(), 0, queue);
    loop {
        let others = !r.queue.help.lock().maydays.is_empty();
        let Inner { policy, store, .. } = &mut *g;
        let again = |_| r.queue.call_rescuer(share);
        match policy.rescue(store, &mut turn, others, again) {
            RescueStep::Run(begun) => {
                pool.wake(begun.wake);
                r.turn.set(Some(turn));
                (g, after) = execute_first(cx, w, begun, g, after);
            }
            RescueStep::Yield(wake) => {
                pool.wake(wake);
                break;
            }
            RescueStep::Leave { wake, gone } => {
                pool.wake(wake);
                leaves = pool.conclude(&mut g, None, gone);
                break;
            }
        }
    }
    w.steps_back(&mut g);
    emit(Kind::RescuerDetach, pool.head(), 0, queue);
    r.turn.set(None);
    drop(g);
    after.settle();
    leaves.carry_out();
    thread::current().set_affinity(CpuMask::ALL);
}

/// The rescuer's item panicked. What [`super::worker_panicked`] does for workers, and then a
/// successor is made.
pub(super) fn panicked(w: &'static Worker, r: &Rescuing) {
    let pool = w.pool();
    let mut g = pool.lock();
    let item = poison(w, &mut g);
    let Inner { policy, store, .. } = &mut *g;
    // What its last item leaves, and what its going leaves.
    let mut rest = [Rest::default(); 2];
    if let Some(turn) = r.turn.take() {
        let (f, gone) = policy.abandon_rescue(store, &turn);
        urge::look_again(pool, &mut g);
        pool.wake(f.wake);
        pool.flushed(f.flushed);
        rest[0] = pool.conclude(&mut g, f.hand, f.gone).and(f.freed);
        rest[1] = pool.conclude(&mut g, None, gone);
    }
    emit(Kind::RescuerDetach, pool.head(), 0, queue_name(&*r.queue));
    drop(g);
    rest.into_iter().for_each(Rest::carry_out);
    if let Some(item) = item {
        // SAFETY: kept by the count of the run that panicked.
        let h = unsafe { Header::of(item) };
        // SAFETY: nobody else gives that count up.
        unsafe { h.tell_panicked() };
    }
    let queue = Arc::clone(&r.queue);
    retire(w);
    // The thread is a plain one from here on.
    let cx = ThreadCx::mint();
    while !queue.help.lock().stop && queue.start_rescuer().is_err() {
        thread::sleep(&cx, Tuning::LINUX.create_cooldown);
    }
}

/// The running thread is a rescuer, at work or not (H7).
#[must_use]
pub fn current_is_rescuer() -> bool {
    current_worker().is_some_and(|w| w.kind == WorkerKind::Rescuer)
}

/// The queue of the item that the caller is, if that has a rescuer (H6).
pub(super) fn promised() -> Option<&'static Queue> {
    let queue = current_worker()?.working_for()?;
    queue.attributes.mem_reclaim.then_some(queue)
}

/// Whether items of `target` make progress without memory.
pub(super) fn promises(target: &Queue) -> bool {
    let a = &target.attributes;
    a.mem_reclaim || a.class == Class::Bh || a.backend.is_dedicated()
}

/// H6: an item of `waits`, which has a rescuer, would wait for one of `target`, which has none: its
/// progress would depend on memory after all. Reported once.
#[cold]
pub(super) fn no_progress(waits: &Queue, target: &str) -> WaitError {
    if !kernel().wq.told_dependency.swap(true, Ordering::Relaxed) {
        crate::log!(
            "workqueue: an item of {} waits for {target}, which has no rescuer: it may wait for memory",
            waits.attributes.name
        );
    }
    WaitError::NoProgress
}
