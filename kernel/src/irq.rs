//! Interrupts: from the machine's "one is pending" to the handlers.
//!
//! The machine layer calls `handle` on the core's interrupt stack, an idle core on its own, with interrupts masked. It
//! takes interrupts from the controller until there is none, then runs softirqs (with interrupts
//! enabled) if this was the outermost context. The machine layer then preempts the interrupted
//! thread if that is due.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use machine::{CpuId, IntId, Interrupt};
use sync::{HardIrqGuard, Rank, SpinLock};

use crate::cpu::{cpu, this_cpu};
use crate::trace::{Head, Kind, emit};
use crate::{ipi, kernel, softirq, timer};

/// Most devices a kernel serves.
pub const MAX_DEVICES: usize = 32;

/// A device's interrupt handler: hard-interrupt context; gets the argument given to [`register`].
pub type Handler = fn(usize);

#[derive(Clone, Copy)]
struct Entry {
    int: IntId,
    handler: Handler,
    arg: usize,
}

/// Handlers of device interrupts.
pub(crate) struct HandlerTable {
    entries: SpinLock<heapless::Vec<Entry, MAX_DEVICES>>,
    /// Interrupts nobody had a handler for.
    spurious: AtomicU64,
}

impl fmt::Debug for HandlerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerTable").finish_non_exhaustive()
    }
}

impl HandlerTable {
    pub(crate) const fn new() -> Self {
        Self {
            entries: SpinLock::new(Rank::Leaf, "irq handlers", heapless::Vec::new()),
            spurious: AtomicU64::new(0),
        }
    }
}

/// Interrupts that a core took. `[C]` written by its own core in hard-interrupt context.
#[derive(Debug)]
pub(crate) struct Taken {
    by: [AtomicU64; 3],
    /// As the handlers are registered.
    devices: [AtomicU64; MAX_DEVICES],
}

impl Taken {
    pub(crate) const fn new() -> Self {
        Self {
            by: [const { AtomicU64::new(0) }; 3],
            devices: [const { AtomicU64::new(0) }; MAX_DEVICES],
        }
    }

    fn count(&self, irq: Interrupt) {
        let n = &self.by[match irq {
            Interrupt::Ipi => 0,
            Interrupt::Timer => 1,
            Interrupt::Device(_) => 2,
        }];
        n.store(n.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// How many interrupts a core took since boot, by where they came from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Other cores.
    pub ipi: u64,
    /// The core's own timer.
    pub timer: u64,
    /// Devices.
    pub device: u64,
}

/// The interrupts that core `c` took. Any context.
#[must_use]
pub fn counters(c: CpuId) -> Counts {
    let [ipi, timer, device] = &cpu(c).irqs.by;
    Counts {
        ipi: ipi.load(Ordering::Relaxed),
        timer: timer.load(Ordering::Relaxed),
        device: device.load(Ordering::Relaxed),
    }
}

/// Each device's interrupt and how often core `c` took it, in the order of registration. Any context.
#[must_use]
pub fn device_counters(c: CpuId) -> heapless::Vec<(IntId, u64), MAX_DEVICES> {
    let taken = &cpu(c).irqs.devices;
    let entries = kernel().irqs.entries.lock();
    let each = entries.iter().zip(taken);
    each.map(|(e, n)| (e.int, n.load(Ordering::Relaxed)))
        .collect()
}

/// The handler table is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyDevices;

/// Installs `handler(arg)` for device interrupt `int`. The board enables the line afterwards.
///
/// # Errors
///
/// [`TooManyDevices`] when the table is full.
pub fn register(int: IntId, handler: Handler, arg: usize) -> Result<(), TooManyDevices> {
    let entry = Entry { int, handler, arg };
    kernel()
        .irqs
        .entries
        .lock()
        .push(entry)
        .map_err(|_| TooManyDevices)
}

/// Has all device interrupts delivered to core `cpu`.
pub(crate) fn route_all(cpu: CpuId) {
    let entries = kernel().irqs.entries.lock();
    for e in &*entries {
        machine::route_irq(e.int, cpu);
    }
}

/// Device interrupts without a handler so far.
#[must_use]
pub fn spurious() -> u64 {
    kernel().irqs.spurious.load(Ordering::Relaxed)
}

/// Hook: interrupts are pending. On the interrupt stack, or that of an idle thread; interrupts masked on entry and on return.
pub(crate) fn handle() {
    let context = HardIrqGuard::new();
    while let Some(irq) = machine::irq_ack() {
        let number = Head::of(number(irq));
        this_cpu().irqs.count(irq);
        emit(Kind::IrqHandlerEntry, number, 0, 0);
        match irq {
            Interrupt::Timer => timer::interrupt(),
            Interrupt::Ipi => ipi::handle(),
            Interrupt::Device(int) => device(int),
        }
        emit(Kind::IrqHandlerExit, number, 0, 0);
        machine::irq_end(irq);
    }
    drop(context);
    softirq::irq_exit();
}

/// How the trace numbers an interrupt: inter-processor 0, timer 1, devices by their own number
/// (32 and up).
const fn number(irq: Interrupt) -> u32 {
    match irq {
        Interrupt::Ipi => 0,
        Interrupt::Timer => 1,
        Interrupt::Device(int) => int.0,
    }
}

#[inline(never)]
fn device(int: IntId) {
    let table = &kernel().irqs;
    let entries = table.entries.lock();
    let at = entries.iter().position(|e| e.int == int);
    let entry = at.map(|n| (n, entries[n]));
    drop(entries);
    match entry {
        Some((n, e)) => {
            let taken = &this_cpu().irqs.devices[n];
            taken.store(taken.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            (e.handler)(e.arg);
        }
        None => {
            table.spurious.fetch_add(1, Ordering::Relaxed);
        }
    }
}
