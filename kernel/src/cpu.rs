//! Per-core data, and sets of cores.
//!
//! Each core's [`CpuLocal`] starts with the [`CpuHeader`] the machine layer knows, so the core's
//! register leads to everything. A thread may migrate between any two instructions: what
//! [`this_cpu`] returns is *some* core's data unless interrupts or preemption are off. Remote
//! access is sound at any time, since every field is an atomic, a lock, or written only before the
//! core starts; the guard rules are about meaning, not memory safety.
#![expect(
    unsafe_code,
    reason = "the core's header is the first field of its CpuLocal"
)]

use core::cell::Cell;
use core::fmt;

pub use machine::CpuMask;
use machine::{CpuHeader, CpuId, Topology};
use spin::Once;
use sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use sync::{Rank, SpinLock};

use crate::ipi::Mailbox;
use crate::kernel::Kernel;
use crate::mem::CpuCache;
use crate::schedule::{Others, Rq};
use crate::softirq::SoftirqState;
use crate::thread::{Thread, ThreadRef};
use crate::timer::TimerBase;
use crate::{mem, trace, wq};

/// Everything that belongs to one core. `[I]` set before the core starts, `[C]` touched by its own
/// core with interrupts masked, `[A]` atomic, `[L]` inside its lock.
#[repr(C)]
pub struct CpuLocal {
    pub(crate) header: CpuHeader,
    /// `[A]` the core's idle thread runs.
    pub(crate) online: AtomicBool,
    /// `[L]` runnable threads.
    pub(crate) rq: SpinLock<Rq>,
    /// `[A]` the running thread; remote readers may only compare it.
    pub(crate) current: AtomicPtr<Thread>,
    /// `[A]` copy of the runqueue's length, for placement without its lock.
    pub(crate) nr_runnable: AtomicU64,
    /// `[A]` whether there are others to give threads to; changed with the mask of online cores.
    pub(crate) others: Others,
    /// `[A]` the idle core was poked to look for a thread that waits on another core.
    pub(crate) poked: AtomicBool,
    /// `[A]` nanoseconds this core spent in its idle thread, complete up to the last switch.
    pub(crate) idle_ns: AtomicU64,
    /// `[I]` what runs when nothing else does.
    pub(crate) idle: Once<ThreadRef>,
    /// `[C]` the thread before, for the next one to free or to put on another core.
    pub(crate) leaver: Cell<Option<ThreadRef>>,
    /// `[A]` whether the core was asked to go offline, and how far it is.
    pub(crate) leaving: crate::hotplug::Leaving,
    /// `[L]` armed timers.
    pub(crate) timers: SpinLock<TimerBase>,
    /// `[C]` what the hardware timer is programmed to, when the slice ends, when a timer is due.
    pub(crate) clock: crate::timer::CoreClock,
    pub(crate) irqs: crate::irq::Taken,
    pub(crate) softirq: SoftirqState,
    pub(crate) mailbox: Mailbox,
    /// `[A]` its signs of life, and what it does in its own words.
    pub(crate) pulse: crate::lockup::Pulse,
    pub(crate) cache: mem::CpuCache,
    /// Empties `cache`.
    pub(crate) trim: wq::Work<()>,
    pub(crate) wq: wq::CpuPools,
    /// `[A]` written by its own core with interrupts masked.
    pub(crate) trace: trace::CpuRing,
    /// `[A]` events that were overwritten before a recording read them.
    pub(crate) trace_lost: AtomicU64,
    /// `[I]` interrupt and overflow stacks.
    pub(crate) stacks: Once<[mem::Stack; 2]>,
}

// SAFETY: the `Cell`s are `[C]`: only the owner core touches them, with interrupts masked.
unsafe impl Sync for CpuLocal {}
// SAFETY: built on the boot core and handed to its owner before that starts.
unsafe impl Send for CpuLocal {}

impl fmt::Debug for CpuLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.header.id)
    }
}

impl CpuLocal {
    pub(crate) fn new(id: CpuId, cores: usize, kernel: &'static Kernel) -> Self {
        let header = CpuHeader::new(id, &crate::boot::HOOKS);
        header.executive.set(core::ptr::from_ref(kernel).cast());
        header.complete.set(true);
        Self {
            header,
            online: AtomicBool::new(false),
            rq: SpinLock::new(Rank::RunQueue, "runqueue", Rq::new(cores)),
            current: AtomicPtr::new(core::ptr::null_mut()),
            nr_runnable: AtomicU64::new(0),
            others: Others::new(cores),
            poked: AtomicBool::new(false),
            idle_ns: AtomicU64::new(0),
            idle: Once::new(),
            leaver: Cell::new(None),
            leaving: crate::hotplug::Leaving::new(),
            timers: SpinLock::new(Rank::TimerBase, "timer base", TimerBase::new()),
            clock: crate::timer::CoreClock::new(),
            irqs: crate::irq::Taken::new(),
            softirq: SoftirqState::new(),
            mailbox: Mailbox::new(),
            pulse: crate::lockup::Pulse::new(),
            cache: CpuCache::new(),
            trim: mem::trim_item(),
            wq: wq::CpuPools::new(),
            trace: trace::make(kernel.mem.pages()).expect("memory for every core's trace"),
            trace_lost: AtomicU64::new(0),
            stacks: Once::new(),
        }
    }

    /// Which core this is.
    #[inline(always)]
    pub fn id(&self) -> CpuId {
        self.header.id
    }

    /// Names of spin locks that this core had to wait for, each with how often, through `f`; `None` for
    /// those that found no room. A name may come more than once.
    pub fn for_each_contention(&self, f: impl FnMut(Option<&'static str>, u64)) {
        self.header.contention.for_each(f);
    }

    /// The kernel whose core it is; as [`crate::kernel`], for who has a core at hand.
    #[inline(always)]
    pub(crate) fn kernel(&self) -> &'static Kernel {
        let kernel: *const () = self.header.executive.get();
        // SAFETY: `new` put the address of the 'static kernel there.
        unsafe { &*kernel.cast::<Kernel>() }
    }

    pub(crate) fn idle_thread(&self) -> &ThreadRef {
        self.idle
            .get()
            .expect("boot makes the idle thread before the core starts")
    }
}

/// The running core's data; see the module documentation for when the answer is stale.
#[inline(always)]
pub fn this_cpu() -> &'static CpuLocal {
    let header: *const CpuHeader = machine::percpu();
    // SAFETY: after boot every installed header is the first field of a `CpuLocal` (`repr(C)`).
    unsafe { &*header.cast::<CpuLocal>() }
}

/// The running core's data, or `None` while boot has not made it yet.
#[inline(always)]
pub fn try_this_cpu() -> Option<&'static CpuLocal> {
    machine::percpu().complete.get().then(this_cpu)
}

/// Core `id`'s data.
///
/// # Panics
///
/// If the machine has no such core.
#[inline]
pub fn cpu(id: CpuId) -> &'static CpuLocal {
    &crate::kernel().cpus()[id.index()]
}

/// The cores that take part in scheduling.
#[inline(always)]
#[must_use]
pub fn online() -> CpuMask {
    CpuMask(crate::kernel().online.load(Ordering::Relaxed))
}

/// How the cores lie to each other.
#[must_use]
pub fn topology() -> &'static Topology {
    &crate::kernel().info().topology
}
