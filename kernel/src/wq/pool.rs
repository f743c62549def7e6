//! The executive's half of a worker pool: the lock, the wake-ups, the place in the pool table.
//!
//! What happens is decided by [`workqueue::Pool`]; every function here is called with the pool's
//! lock held, or takes it, and carries out what was decided: wakes a worker (pool lock, then
//! runqueue lock), raises the BH softirq, or tells a flush that one pwq is done.

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64 as PlainAtomicU64};

use links::Handle;
use machine::{CpuId, CpuMask, Duration};
use sched::Nice;
use sync::atomic::{AtomicBool, AtomicI8, AtomicU64, Ordering};
use sync::{Rank, SpinGuard, SpinLock};
use workqueue::{Cull, Kind, Pool as Policy, PoolKey, Tuning, Worker as WorkerNode};
use workword::{Mark, Place};

use super::handles::{Store, arm_reaper, pool_of_reaper, share_of};
use super::urge;
use crate::audit::Locked;
use crate::cpu::{online, this_cpu};
use crate::lend::Party;
use crate::softirq::Vector;
use crate::soon::Patience;
use crate::timer::{NO_BUDGET, Timer};
use crate::trace::Head;

/// A budget of this length is none (E14): longer than any that can be asked for.
const LONGEST_BUDGET: Duration = Duration::from_secs(3600);

/// What the pool's lock protects.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) policy: Policy,
    pub(super) store: Store,
    /// What an unbound pool is found by (A1).
    pub(super) key: Option<PoolKey>,
    /// Shares in an unbound pool.
    pub(super) references: u32,
}

/// A worker pool.
#[repr(C, align(64))]
pub(crate) struct Pool {
    /// `[L]`
    inner: SpinLock<Inner>,
    /// `[I]` index in the pool table.
    place: AtomicU32,
    /// `[I]` what a submission makes of an item's word.
    mark: Cell<Mark>,
    /// `[L]` the pseudo worker of a BH pool: beside what the turns use of the pool, in reach of its address.
    bh: UnsafeCell<WorkerNode>,
    /// `[A]` the budget of an item (E14), a span of the raw counter; changed with the policy's numbers and with its core.
    budget: PlainAtomicU64,
    /// `[I]` its core, or `u32::MAX` for an unbound pool; of a dedicated one set before use.
    cpu: AtomicU32,
    /// `[L]` the core whose softirq runs a BH pool's items, and the core that is to be that next
    /// (`u32::MAX`: no change).
    pub(super) server: AtomicU32,
    pub(super) heir: AtomicU32,
    pub(super) kind: Kind,
    pub(super) highpri: bool,
    /// `[A]` an unbound or dedicated pool has shares in it.
    pub(super) used: AtomicBool,
    /// `[A]` nice level of an unbound or dedicated pool's workers; this and the next three are set before use.
    pub(super) nice: AtomicI8,
    /// `[A]` where they may run.
    pub(super) cpus: AtomicU64,
    /// `[A]` where they shall start, if not anywhere they may run (G3).
    pub(super) pod: AtomicU64,
    /// `[A]` how often that was elsewhere than where a worker had been (G3).
    pub(super) repatriated: AtomicU64,
    /// Ends workers that idle for long (E12).
    pub(super) reaper: Timer,
    /// Calls rescuers while no worker can be made (E10, H1).
    pub(super) mayday: Timer,
    /// `[A]` for worker names.
    pub(super) next_worker: AtomicU32,
    /// What is lent by those who wait for its items goes to one of its workers; see `urge`.
    pub(super) party: Party,
}

#[expect(unsafe_code, reason = "the pseudo worker is inside the pool")]
// SAFETY: `bh` is reached through the store, under the pool's lock; `mark` is set before use.
unsafe impl Sync for Pool {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above; nothing in it is tied to a thread.
unsafe impl Send for Pool {}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.place())
    }
}

impl Pool {
    pub(super) const fn new(kind: Kind, highpri: bool) -> Self {
        let policy = Policy::new(kind, Tuning::LINUX);
        Self {
            inner: SpinLock::new(
                Rank::Pool,
                "pool",
                Inner {
                    policy,
                    store: Store::new(),
                    key: None,
                    references: 0,
                },
            ),
            place: AtomicU32::new(u32::MAX),
            mark: Cell::new(Mark::NONE),
            budget: PlainAtomicU64::new(0),
            cpu: AtomicU32::new(u32::MAX),
            server: AtomicU32::new(u32::MAX),
            heir: AtomicU32::new(u32::MAX),
            kind,
            highpri,
            used: AtomicBool::new(false),
            nice: AtomicI8::new(0),
            cpus: AtomicU64::new(u64::MAX),
            pod: AtomicU64::new(0),
            repatriated: AtomicU64::new(0),
            reaper: Timer::new(reap),
            mayday: Timer::new(super::rescuer::mayday),
            next_worker: AtomicU32::new(0),
            party: Party::knot(),
            bh: UnsafeCell::new(WorkerNode::new()),
        }
    }

    /// Gives the pool its place and core, before its first use.
    pub(super) fn install(&self, place: Place, cpu: Option<CpuId>) {
        self.place.store(place.index() as u32, Ordering::Relaxed);
        self.lock().store.head = self.head().bits();
        self.mark.set(Mark::at(place, self.kind == Kind::Bh));
        self.note_budget(&Policy::new(self.kind, Tuning::LINUX));
        let n = cpu.map_or(u32::MAX, |c| c.index() as u32);
        self.cpu.store(n, Ordering::Relaxed);
        self.server.store(n, Ordering::Relaxed);
        if self.kind == Kind::Bh {
            let mut g = self.lock();
            let Inner { policy, store, .. } = &mut *g;
            let _nothing_queued = policy.attach(store, self.bh_worker(), machine::now());
        }
    }

    #[inline(always)]
    pub(super) fn lock(&self) -> SpinGuard<'_, Inner> {
        self.inner.lock()
    }

    /// As [`Self::lock`], where interrupts are on.
    #[inline(always)]
    pub(super) fn lock_enabled(&self) -> SpinGuard<'_, Inner> {
        self.inner.lock_enabled()
    }

    /// The guard `g` of this very pool, which was taken where interrupts were on, as one that is known to be.
    #[inline(always)]
    pub(super) fn adopt_enabled<'p>(&'p self, g: SpinGuard<'_, Inner>) -> SpinGuard<'p, Inner> {
        self.inner.adopt_enabled(g)
    }

    /// As [`Self::lock`], where interrupts are masked already.
    #[inline(always)]
    pub(super) fn lock_masked(&self) -> SpinGuard<'_, Inner> {
        self.inner.lock_masked()
    }

    /// As [`Self::lock`], in a section that masks interrupts already, which ends with the guard.
    #[inline(always)]
    pub(super) fn lock_in(&self, masked: sync::IrqGuard) -> SpinGuard<'_, Inner> {
        self.inner.lock_in(masked)
    }

    /// As [`Self::lock`], if nobody holds it.
    pub(super) fn try_lock(&self) -> Option<SpinGuard<'_, Inner>> {
        self.inner.try_lock()
    }

    /// As [`Self::lock`], if it can be had soon: for who reports of a machine on which it may never.
    pub(super) fn lock_soon(&self, patience: &Patience) -> Option<SpinGuard<'_, Inner>> {
        patience.lock(|| self.inner.try_lock())
    }

    /// What the machine is told when the pool's lock is released.
    pub(super) fn lock_address(&self) -> usize {
        self.inner.address()
    }

    /// As [`Self::lock`], unless an audit passes over what is locked.
    pub(super) fn lock_or_pass(&self, locked: Locked) -> Option<SpinGuard<'_, Inner>> {
        locked.take(&self.inner)
    }

    /// Whether queues have shares in it; stale at once.
    pub(super) fn is_used(&self) -> bool {
        matches!(self.kind, Kind::Bound | Kind::Bh) || self.used.load(Ordering::Relaxed)
    }

    /// It has its place and core.
    pub(super) fn is_installed(&self) -> bool {
        self.place.load(Ordering::Relaxed) != u32::MAX
    }

    /// Its number in the pool table.
    #[inline(always)]
    pub(super) fn place(&self) -> Place {
        Place::new(self.place.load(Ordering::Relaxed) as u16)
    }

    /// What a submission makes of the word of an item that ran here last.
    #[inline(always)]
    pub(super) fn mark(&self) -> Mark {
        self.mark.get()
    }

    /// How events name it.
    #[inline(always)]
    pub(super) fn head(&self) -> Head {
        Head::of(self.place.load(Ordering::Relaxed))
    }

    /// Gives a dedicated pool its core, or none.
    pub(super) fn set_cpu(&self, cpu: Option<CpuId>) {
        let n = cpu.map_or(u32::MAX, |c| c.index() as u32);
        self.cpu.store(n, Ordering::Relaxed);
    }

    /// Its core; `None` for an unbound pool, or for a dedicated one of all cores.
    pub(super) fn cpu(&self) -> Option<CpuId> {
        let n = self.cpu.load(Ordering::Relaxed);
        (n != u32::MAX).then(|| CpuId::new(n as usize))
    }

    /// The core that runs a BH pool's items: its own, while that is online.
    pub(super) fn server(&self) -> Option<CpuId> {
        let n = self.server.load(Ordering::Relaxed);
        (n != u32::MAX).then(|| CpuId::new(n as usize))
    }

    /// Whether core `c` runs this BH pool's items; under the pool's lock.
    #[inline(always)]
    pub(super) fn is_served_by(&self, c: CpuId) -> bool {
        self.server.load(Ordering::Relaxed) == c.index() as u32
    }

    /// Nice level of its workers (A1).
    pub(super) fn nice(&self) -> Nice {
        if matches!(self.kind, Kind::Unbound | Kind::Dedicated) {
            return Nice::new(self.nice.load(Ordering::Relaxed)).unwrap_or(Nice::ZERO);
        }
        if self.highpri { Nice::MIN } else { Nice::ZERO }
    }

    /// Where the workers of an unbound pool may run: where its key says, as far as cores are online.
    pub(super) fn cpus(&self) -> CpuMask {
        let mask = CpuMask(self.cpus.load(Ordering::Relaxed));
        if mask.and(online()).is_empty() {
            online()
        } else {
            mask
        }
    }

    /// How often a worker was woken in its pod that had been outside (G3).
    pub(super) fn repatriated(&self) -> u64 {
        self.repatriated.load(Ordering::Relaxed)
    }

    pub(super) fn bh_worker(&self) -> Handle<WorkerNode> {
        Handle::of(self.bh.get())
    }

    pub(super) const fn vector(&self) -> Vector {
        if self.highpri {
            Vector::Hi
        } else {
            Vector::Tasklet
        }
    }

    /// The budget of its items follows `policy`, which is to be the pool's.
    pub(super) fn note_budget(&self, policy: &Policy) {
        let after = policy.tuning().cpu_intensive_after;
        let budget = if policy.has_core() && after < LONGEST_BUDGET {
            machine::stamp_span(after)
        } else {
            NO_BUDGET
        };
        self.budget.store(budget, Ordering::Relaxed);
    }

    /// How long an item may use the core (E14), as far as the pool says: none of one without a core has a budget.
    #[inline(always)]
    pub(super) fn budget(&self) -> u64 {
        self.budget.load(Ordering::Relaxed)
    }

    /// Starts the CPU budget of what the running worker, one of this pool, executes, if concurrency management counts it
    /// (E14), else it has none; under the pool's lock.
    #[inline(always)]
    pub(super) fn set_budget(&self, counted: bool) {
        let clock = &this_cpu().clock;
        if counted {
            clock.start_budget(self.budget());
        } else {
            clock.end_budget();
        }
    }

    /// Changes the pool's numbers.
    pub(super) fn set_tuning(&'static self, g: &mut Inner, tuning: Tuning) {
        let Inner { policy, store, .. } = g;
        if let Some(at) = policy.set_tuning(store, tuning) {
            arm_reaper(self, at);
        }
        self.note_budget(policy);
    }

    /// Carries out "this pwq finished the flushed colour"; under the pool's lock, which keeps the
    /// flushing thread from returning and the queue from going away.
    #[inline(always)]
    pub(super) fn flushed(&self, p: Option<Handle<workqueue::Pwq>>) {
        if let Some(p) = p {
            share_of(p).queue().flush_step();
        }
    }
}

/// Timer callback: ends workers that have been idle for long (E11, E12).
fn reap(timer: &Timer) {
    let pool = pool_of_reaper(timer);
    let mut g = pool.lock();
    loop {
        let Inner { policy, store, .. } = &mut *g;
        match policy.cull(store, machine::now()) {
            Cull::End { worker, wake } => {
                urge::look_again(pool, &mut g);
                pool.wake(Some(worker));
                pool.wake(wake);
            }
            Cull::At(at) => {
                arm_reaper(pool, at);
                return;
            }
            Cull::Enough => return,
        }
    }
}
