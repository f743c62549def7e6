//! Worker threads: the loop that carries out [`workqueue::Step`]s.
//!
//! One worker is one thread, bound to the pool's core or free. It holds the pool's lock all the
//! time but while an item runs, while it creates another worker and while it sleeps. A worker is
//! freed by its own thread after it left the pool.
#![expect(
    unsafe_code,
    reason = "a worker's thread owns its box; items are run type-erased"
)]

use alloc::boxed::Box;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use links::Handle;
use machine::PreemptWord;
use spin::Once;
use workqueue::anatomy::Course;
use workqueue::{Eyes, Pwq, Step, Worker as WorkerNode};

use super::anatomy::stretch;
use super::execute::{and_rest, execute_first, go_on, go_on_seen, let_go};
use super::handles::{arm_mayday, arm_reaper, share_of};
use super::header::Header;
use super::manager;
use super::pool::{Inner, Pool};
use super::queue::Queue;
use super::rescuer::Rescuing;
use super::rest::After;
use super::urge;
use crate::cpu::this_cpu;
use crate::thread::{self, Builder, SpawnError, Thread, ThreadCx, ThreadRef};
use crate::trace::{Kind, emit};
use crate::{mem, schedule};

/// Which scheme a worker belongs to; the scheduler's hooks dispatch on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WorkerKind {
    /// A concurrency-managed pool of one core.
    Bound,
    /// An unbound pool: its workers may block without notice.
    Unbound,
    /// None: it comes to help any pool.
    Rescuer,
}

/// A worker thread of a pool, or a queue's rescuer. `[L]` under the pool's lock, `[I]` set before use, `[P]` touched by
/// its own thread only.
pub struct Worker {
    /// `[L]`
    pub(super) node: UnsafeCell<WorkerNode>,
    /// `[P]` a rescuer's changes from one rescue to the next.
    pool: Cell<&'static Pool>,
    /// `[I]`
    pub(super) kind: WorkerKind,
    /// `[I]`
    thread: Once<ThreadRef>,
    /// `[P]` the item it executes, which its run keeps alive.
    pub(super) current: Cell<Option<NonNull<Header>>>,
    /// `[P]` the pwq of the item it executes, or executed last; followed only while it executes one.
    pub(super) pwq: Cell<Option<Handle<Pwq>>>,
    /// `[L]` the moments of the item that it executes; written by its own thread.
    pub(super) course: Cell<Course>,
    /// `[L]` when its item started, if somebody sees that, by the raw counter. `course` is of that item if they agree.
    pub(super) began: Cell<u64>,
    /// When a stretch of items that are not followed began, by the raw counter; zero outside of one.
    pub(super) stretch: Cell<u64>,
    /// `[L]` what is to be done when it starts its next item: [`Self::REPATRIATED`], [`Self::AHEAD`].
    pub(super) marks: Cell<u8>,
    /// `[L]` its CPU time when the watchdog looked last.
    pub(super) seen_ns: Cell<u64>,
    /// `[I]` what only a rescuer has.
    rescuing: Option<Rescuing>,
}

// SAFETY: see the letters at the fields.
unsafe impl Sync for Worker {}
// SAFETY: nothing in it is tied to the creating thread.
unsafe impl Send for Worker {}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("pool", &self.pool.get())
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// It was brought back to its pod and has not executed an item since (G3).
    pub(super) const REPATRIATED: u8 = 1;
    /// It was lent to by its pool (`urge`).
    pub(super) const AHEAD: u8 = 2;

    pub(super) const fn new(
        kind: WorkerKind,
        pool: &'static Pool,
        rescuing: Option<Rescuing>,
    ) -> Self {
        Self {
            node: UnsafeCell::new(WorkerNode::new()),
            pool: Cell::new(pool),
            kind,
            thread: Once::new(),
            current: Cell::new(None),
            pwq: Cell::new(None),
            course: Cell::new(Course::new()),
            began: Cell::new(0),
            stretch: Cell::new(0),
            marks: Cell::new(0),
            seen_ns: Cell::new(0),
            rescuing,
        }
    }

    /// The pool it works for; own thread only.
    #[inline(always)]
    pub(super) fn pool(&self) -> &'static Pool {
        self.pool.get()
    }

    /// A rescuer comes to help another pool.
    pub(super) fn set_pool(&self, pool: &'static Pool) {
        self.pool.set(pool);
    }

    /// Something is to be done when it starts its next item; under the pool's lock.
    pub(super) fn mark(&self, what: u8) {
        self.marks.set(self.marks.get() | what);
    }

    /// Whether it is marked for `what`; under the pool's lock.
    pub(super) fn is_marked(&self, what: u8) -> bool {
        self.marks.get() & what != 0
    }

    /// It has nothing to do here any more: what it was lent by its pool goes elsewhere; under the pool's lock.
    #[inline(always)]
    pub(super) fn steps_back(&self, g: &mut Inner) {
        if self.is_marked(Self::AHEAD) {
            self.marks.set(self.marks.get() & !Self::AHEAD);
            urge::look_again(self.pool(), g);
        }
    }

    /// What a rescuer has besides.
    pub(super) const fn rescuing(&self) -> Option<&Rescuing> {
        self.rescuing.as_ref()
    }

    #[inline(always)]
    pub(super) fn handle(&self) -> Handle<WorkerNode> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.node.get())
    }

    pub(super) fn thread(&self) -> Option<&ThreadRef> {
        self.thread.get()
    }

    /// The thread of a worker that was on its pool's idle list; under the pool's lock.
    #[inline(always)]
    pub(super) fn thread_of_idle(&self) -> &ThreadRef {
        debug_assert!(
            self.thread.get().is_some(),
            "an idle worker without a thread"
        );
        // SAFETY: who made the worker gave it its thread before it put it on the list, under this lock.
        unsafe { self.thread.get_unchecked() }
    }

    /// Tells the trace that it joins its pool; under the pool's lock.
    pub(super) fn announce(&self) {
        let id = self.thread().map_or(0, |t| t.id());
        emit(Kind::WorkerCreate, self.pool().head(), u64::from(id), 0);
    }

    /// Whether it executes an item; own thread only.
    #[inline(always)]
    pub(super) fn is_busy(&self) -> bool {
        self.current.get().is_some()
    }

    /// Whether it executes the item of `h`; own thread only.
    #[inline(always)]
    pub(super) fn executes(&self, h: &Header) -> bool {
        self.current.get() == Some(NonNull::from(h))
    }

    /// The type of the item it executes; own thread only.
    pub(super) fn item_name(&self) -> Option<&'static str> {
        let h = self.current.get()?;
        // SAFETY: its run, on this thread, keeps it alive.
        Some(unsafe { (h.as_ref().vtable.name)() })
    }

    /// The queue whose item it executes; own thread only.
    pub(super) fn working_for(&self) -> Option<&Queue> {
        if !self.is_busy() {
            return None;
        }
        // A queue, and with it its shares, lives while an item of it is executed.
        self.pwq.get().map(|p| share_of(p).queue())
    }

    /// Whether it executes an item of `q`; own thread only.
    pub(super) fn works_for(&self, q: &Queue) -> bool {
        self.working_for()
            .is_some_and(|mine| core::ptr::eq(mine, q))
    }
}

/// The worker that is running here, if this is a worker's thread and no interrupt or softirq.
pub(super) fn current_worker() -> Option<&'static Worker> {
    if sync::preempt_word() & (PreemptWord::HARDIRQ_MASK | PreemptWord::SOFTIRQ_SERVING) != 0 {
        return None;
    }
    of_thread(thread::current())
}

/// The worker of thread `t`, which is the running one.
#[inline(always)]
pub(super) fn of_thread(t: &Thread) -> Option<&'static Worker> {
    let w = t.worker.load(Ordering::Relaxed);
    // SAFETY: the thread clears the pointer before it frees its worker.
    unsafe { w.as_ref() }
}

/// Makes the thread of `worker`, which runs `body`.
pub(super) fn spawn(
    worker: Worker,
    builder: Builder,
    body: fn(&ThreadCx<'_>, &'static Worker),
) -> Result<&'static Worker, SpawnError> {
    let worker = mem::try_box(worker).map_err(|_| SpawnError::NoMemory)?;
    let raw = Box::into_raw(worker);
    // SAFETY: freed by its thread when it has left its pool, or below if there is no thread.
    let w: &'static Worker = unsafe { &*raw };
    match builder.spawn_worker(raw, move |cx| body(cx, w)) {
        Ok(thread) => {
            w.thread.call_once(|| thread);
            Ok(w)
        }
        Err(e) => {
            // SAFETY: no thread was made, so nobody else knows the worker.
            drop(unsafe { Box::from_raw(raw) });
            Err(e)
        }
    }
}

/// Body of a worker's thread.
pub(super) fn main(cx: &ThreadCx<'_>, w: &'static Worker) {
    let pool = w.pool();
    let mut after = After::NONE;
    let mut g = pool.lock();
    loop {
        // First those that nobody sees, which takes no look at who does.
        if after.rest.is_none() {
            (g, after) = go_on::<{ Eyes::NONE }>(cx, (w, pool), g, after.hold, stretch::nobody());
        }
        if after.rest.is_none()
            && let Some((eyes, p)) = g.policy.eyes_to_go_on(&g.store, w.handle())
        {
            (g, after) = match eyes {
                Eyes::ALL => go_on::<{ Eyes::ALL }>(cx, (w, pool), g, after.hold, p),
                _ => go_on_seen(cx, w, g, after.hold, p),
            };
            if g.policy.has_more() {
                continue;
            }
        }
        let Inner { policy, store, .. } = &mut *g;
        let step = if policy.is_done(store, w.handle()) {
            policy.rest(store, w.handle(), machine::now())
        } else if let Some(passed) = policy.pass(store, w.handle()) {
            let rest = let_go(pool, &mut g, passed);
            (g, after) = and_rest(pool, g, after, rest);
            continue;
        } else {
            policy.look_about(store, w.handle(), machine::now)
        };
        if !matches!(step, Step::Run(_)) {
            this_cpu().clock.end_budget();
        }
        match step {
            Step::Run(begun) => {
                pool.wake(begun.wake);
                (g, after) = execute_first(cx, w, begun, g, after);
            }
            Step::Create { mayday_at } => {
                arm_mayday(pool, mayday_at);
                drop(g);
                core::mem::replace(&mut after, After::NONE).settle();
                g = manager::manage(cx, pool);
            }
            Step::Sleep { reap_at } => {
                // Not while others wait for what it does next.
                if after.rest.is_none() {
                    w.steps_back(&mut g);
                }
                if let Some(at) = reap_at {
                    arm_reaper(pool, at);
                }
                if after.is_some() {
                    // A destructor may sleep itself, which ends the promise to the wakers; so it
                    // runs first, and then the list is looked at again.
                    drop(g);
                    core::mem::replace(&mut after, After::NONE).settle();
                } else {
                    // Under the lock: whoever decides to wake this worker sees it asleep.
                    schedule::prepare_to_sleep();
                    let masked = g.release();
                    schedule::schedule_uncounted(cx);
                    g = pool.lock_in(masked);
                    let Inner { policy, store, .. } = &mut *g;
                    policy.come(store, w.handle());
                    continue;
                }
                g = pool.lock();
                let Inner { policy, store, .. } = &mut *g;
                policy.come(store, w.handle());
            }
            Step::Exit => break,
        }
    }
    w.steps_back(&mut g);
    emit(Kind::WorkerDie, pool.head(), 0, 0);
    drop(g);
    after.settle();
    retire(w);
}

/// Frees a worker that left its pool, or a rescuer; by its own thread.
pub(super) fn retire(w: &'static Worker) {
    let t = thread::current();
    let raw = t.worker.swap(core::ptr::null_mut(), Ordering::Relaxed);
    debug_assert!(core::ptr::eq(raw, w), "a thread retires another's worker");
    // SAFETY: made by `create`; the pool has forgotten it, and so has the thread.
    drop(unsafe { Box::from_raw(raw) });
}
