//! The one owner of everything the executive has.
//!
//! There are no mutable statics in the executive: a board owns one [`Kernel`], a simulated world
//! owns another, and everything is reached from the core's register through [`kernel`].
#![expect(unsafe_code, reason = "boot installs the early headers")]

use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use machine::{CpuHeader, CpuId, PreemptWord, ThreadHeader, Topology};
use spin::Once;
use sync::handshake::IdleMask;

use crate::boot::EARLY_HOOKS;
use crate::cpu::{CpuLocal, CpuMask};
use crate::thread::{ThreadCx, ThreadTable};
use crate::{irq, mem, net, wq};

/// A range of free memory, page aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// What a board knows about its machine and its wishes.
#[derive(Clone, Copy, Debug)]
pub struct BootInfo {
    /// The board's name.
    pub board: &'static str,
    /// Hardware ids of the cores; the index is the [`CpuId`]. At least one, at most 64.
    pub mpidrs: &'static [u64],
    /// How they lie to each other; [`Topology::flat`] where nothing is known.
    pub topology: Topology,
    /// Free memory.
    pub memory: &'static [MemoryRange],
    /// Boot arguments, `key=value` separated by blanks.
    pub bootargs: &'static str,
    /// Size of a thread's stack in bytes.
    pub stack_bytes: usize,
    /// The stack on which the board booted, readable for ever and zero before; empty where there is none.
    pub boot_stack: MemoryRange,
    /// Body of the first thread, named `init`.
    pub init: fn(&ThreadCx<'_>),
    /// Bytes of memory the image takes.
    pub image_bytes: usize,
    /// Bytes of translation tables, which are no part of [`Self::memory`].
    pub table_bytes: usize,
    /// Name and offset of the function at a code address.
    pub symbolize: fn(usize) -> Option<(&'static str, usize)>,
}

/// What a panic in a work item does (boot argument `panic=`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PanicPolicy {
    /// Only the worker dies.
    Isolate = 0,
    /// The machine stops.
    Halt = 1,
}

/// One executive: its cores, threads, memory, workqueues and network.
pub struct Kernel {
    early_cpu: CpuHeader,
    early_thread: ThreadHeader,
    info: Once<BootInfo>,
    cpus: Once<Box<[CpuLocal]>>,
    present: AtomicU64,
    /// Cores that take part in scheduling, and those that do not.
    pub(crate) online: AtomicU64,
    offline: AtomicU64,
    pub(crate) idle_mask: IdleMask,
    pub(crate) hotplug: crate::mutex::Mutex<()>,
    pub(crate) suspend: crate::mutex::Mutex<()>,
    pub(crate) panicking: AtomicBool,
    pub(crate) panicking_cpu: AtomicU32,
    panic_policy: AtomicU8,
    pub(crate) threads: ThreadTable,
    pub(crate) irqs: irq::HandlerTable,
    pub(crate) console: crate::log::Console,
    pub(crate) input: crate::input::Input,
    pub(crate) mem: mem::Memory,
    pub(crate) waits: crate::waits::Graph,
    pub(crate) lending: crate::lend::Lending,
    /// Recordings of the trace that go on.
    pub(crate) recordings: AtomicU32,
    pub(crate) lockups: crate::lockup::Lockups,
    pub(crate) wq: wq::System,
    pub(crate) net: net::System,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

// SAFETY: the early headers are used by the boot core alone, before any other core runs; the rest
// are locks, atomics and once-cells.
unsafe impl Sync for Kernel {}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

impl Kernel {
    /// A kernel that has not booted.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            early_cpu: CpuHeader::new(CpuId::BOOT, &EARLY_HOOKS),
            early_thread: ThreadHeader::new(PreemptWord::PREEMPT, 0, usize::MAX),
            info: Once::new(),
            cpus: Once::new(),
            present: AtomicU64::new(0),
            online: AtomicU64::new(0),
            offline: AtomicU64::new(0),
            idle_mask: IdleMask::new(),
            hotplug: crate::mutex::Mutex::new(()),
            suspend: crate::mutex::Mutex::new(()),
            panicking: AtomicBool::new(false),
            panicking_cpu: AtomicU32::new(u32::MAX),
            panic_policy: AtomicU8::new(PanicPolicy::Isolate as u8),
            threads: ThreadTable::new(),
            irqs: irq::HandlerTable::new(),
            console: crate::log::Console::new(),
            input: crate::input::Input::new(),
            mem: mem::Memory::new(),
            waits: crate::waits::graph(),
            lending: crate::lend::lending(),
            recordings: AtomicU32::new(0),
            lockups: crate::lockup::Lockups::new(),
            wq: wq::System::new(),
            net: net::System::new(),
        }
    }

    /// Makes locks usable on the boot core before [`Kernel::boot`]: installs a core header and a
    /// thread header that belong to nobody. Call once, first of all, with interrupts masked.
    pub fn early(&'static self) {
        self.early_cpu
            .executive
            .set(core::ptr::from_ref(self).cast());
        // SAFETY: the headers live in `self`, which is 'static; boot replaces them.
        unsafe { machine::set_percpu(&self.early_cpu) };
        // SAFETY: as above.
        unsafe { machine::set_current(&raw const self.early_thread) };
    }

    /// Boots on the calling core (the boot CPU) with interrupts masked; never returns. The calling
    /// stack is abandoned: the core's idle thread takes over.
    ///
    /// # Safety
    ///
    /// Nothing else uses the memory in `info.memory`, now or later; called once.
    pub unsafe fn boot(&'static self, info: BootInfo) -> ! {
        self.early();
        self.info.call_once(|| info);
        crate::boot::boot(self, &info)
    }

    /// What the board said at boot.
    ///
    /// # Panics
    ///
    /// Before boot.
    pub fn info(&self) -> &BootInfo {
        self.info.get().expect("the kernel has not booted")
    }

    /// As [`Self::info`], without the panic.
    pub fn try_info(&self) -> Option<&BootInfo> {
        self.info.get()
    }

    /// The cores of the machine, by id.
    ///
    /// # Panics
    ///
    /// Before boot made them.
    #[inline]
    pub fn cpus(&self) -> &[CpuLocal] {
        self.cpus.get().expect("boot makes the cores first")
    }

    /// As [`Self::cpus`], without the panic.
    pub(crate) fn try_cpus(&self) -> Option<&[CpuLocal]> {
        self.cpus.get().map(|cpus| &**cpus)
    }

    pub(crate) fn install_cpus(&self, cpus: Box<[CpuLocal]>) {
        let all = CpuMask::first_n(cpus.len());
        self.present.store(all.0, Ordering::Relaxed);
        self.offline.store(all.0, Ordering::Relaxed);
        self.cpus.call_once(|| cpus);
    }

    /// All cores of the machine, online or not.
    #[inline(always)]
    pub fn present(&self) -> CpuMask {
        CpuMask(self.present.load(Ordering::Relaxed))
    }

    /// Core `id` takes part in scheduling from now on.
    pub(crate) fn let_in(&self, id: CpuId) {
        let core = CpuMask::single(id).0;
        self.online.fetch_or(core, Ordering::AcqRel);
        if self.offline.fetch_and(!core, Ordering::Relaxed) == core {
            self.cpus().iter().for_each(|c| c.others.are_complete());
        }
    }

    /// Core `id` takes part in scheduling no more.
    pub(crate) fn leave_out(&self, id: CpuId) {
        let core = CpuMask::single(id).0;
        // First: with the core gone, threads that only it was for may run anywhere.
        self.offline.fetch_or(core, Ordering::Relaxed);
        self.cpus().iter().for_each(crate::schedule::expect_moves);
        self.online.fetch_and(!core, Ordering::AcqRel);
    }

    /// What a panic in a work item does.
    pub fn panic_policy(&self) -> PanicPolicy {
        if self.panic_policy.load(Ordering::Relaxed) == PanicPolicy::Halt as u8 {
            PanicPolicy::Halt
        } else {
            PanicPolicy::Isolate
        }
    }

    /// Sets what a panic in a work item does.
    pub fn set_panic_policy(&self, policy: PanicPolicy) {
        self.panic_policy.store(policy as u8, Ordering::Relaxed);
    }
}

/// The kernel that runs on this core.
#[inline(always)]
pub fn kernel() -> &'static Kernel {
    let kernel: *const () = machine::percpu().executive.get();
    // SAFETY: every installed header carries the address of the 'static `Kernel` that installed it.
    unsafe { &*kernel.cast::<Kernel>() }
}
