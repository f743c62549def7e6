//! The interrupt controller, whichever generation the machine has.
//!
//! One image runs on GICv2 (memory-mapped CPU interface, at most eight cores) and GICv3 (system
//! registers, affinity routing). The choice is one byte read on the interrupt path; a trait object
//! would cost an indirect call there. Everything is group 1 as this exception level sees it,
//! priorities are equal, lines of devices are level-triggered.
//!
//! Context: `rt_irq_ack`/`rt_irq_end` with interrupts masked on the core that took the interrupt;
//! the rest anywhere.
#![expect(unsafe_code, reason = "link-time symbols of the seam")]

use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};

use machine::{CpuId, IntId, Interrupt};

use crate::clock::{self, TIMER_INTID};
use crate::{cpu, fault, gicv2, gicv3};

/// Interrupt number of inter-processor interrupts: software-generated interrupt 0.
pub(crate) const IPI_INTID: u32 = 0;
/// First number that is not an interrupt but an answer (spurious and others).
pub(crate) const FIRST_SPECIAL: u32 = 1020;
/// Priority of everything.
pub(crate) const PRIORITY: u8 = 0x80;

static VERSION: AtomicU8 = AtomicU8::new(0);

/// Where the controller's registers are.
#[derive(Clone, Copy, Debug)]
pub enum Controller {
    /// GICv2: distributor and CPU interface.
    V2 {
        /// Distributor registers.
        distributor: usize,
        /// CPU interface registers.
        cpu_interface: usize,
    },
    /// GICv3: distributor and the first redistributor region.
    V3 {
        /// Distributor registers.
        distributor: usize,
        /// Redistributor registers of the first core.
        redistributors: usize,
    },
}

impl Controller {
    /// Most cores it serves.
    #[must_use]
    pub const fn max_cores(&self) -> usize {
        match self {
            Self::V2 { .. } => gicv2::MAX_CORES,
            Self::V3 { .. } => machine::MAX_CPUS,
        }
    }
}

/// The controller does not fit this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicError {
    /// The redistributor layout is not one this driver knows.
    Redistributors,
    /// No such shared interrupt.
    NoSuchInterrupt,
}

/// Sets up the controller and the boot core's share of it. Once, registers mapped as device
/// memory; the caller gives the addresses the device tree gave.
///
/// # Errors
///
/// [`GicError::Redistributors`].
pub fn init(controller: Controller, cpus: usize) -> Result<(), GicError> {
    match controller {
        Controller::V2 {
            distributor,
            cpu_interface,
        } => {
            gicv2::init(distributor, cpu_interface);
            VERSION.store(2, Ordering::Relaxed);
        }
        Controller::V3 {
            distributor,
            redistributors,
        } => {
            gicv3::init(distributor, redistributors, cpus)?;
            VERSION.store(3, Ordering::Relaxed);
        }
    }
    init_core();
    Ok(())
}

#[inline(always)]
fn is_v3() -> bool {
    VERSION.load(Ordering::Relaxed) == 3
}

/// Sets up this core's share: timer and IPI enabled, nothing masked by priority.
pub(crate) fn init_core() {
    if is_v3() {
        gicv3::init_core()
    } else {
        gicv2::init_core()
    }
}

/// Lets no more interrupts through to this core, which is about to be switched off.
pub(crate) fn leave_core() {
    if is_v3() {
        gicv3::leave_core()
    } else {
        gicv2::leave_core()
    }
}

/// Definition of the seam's `route_irq`.
#[unsafe(no_mangle)]
pub(crate) fn rt_route_irq(id: IntId, target: CpuId) {
    if is_v3() {
        gicv3::route(id.0, target)
    } else {
        gicv2::route(id.0, target)
    }
}

/// Enables a device's interrupt, level-triggered, delivered to `target`.
///
/// # Errors
///
/// [`GicError::NoSuchInterrupt`] when `id` is not a shared interrupt of this controller.
pub fn enable_spi(id: IntId, target: CpuId) -> Result<(), GicError> {
    if !(32..FIRST_SPECIAL).contains(&id.0) {
        return Err(GicError::NoSuchInterrupt);
    }
    if is_v3() {
        gicv3::enable_spi(id.0, target)
    } else {
        gicv2::enable_spi(id.0, target)
    }
}

/// Disables a device's interrupt.
pub fn disable_spi(id: IntId) {
    if is_v3() {
        gicv3::disable_spi(id.0)
    } else {
        gicv2::disable_spi(id.0)
    }
}

/// Definition of the seam's `send_ipi`.
#[unsafe(no_mangle)]
pub(crate) fn rt_send_ipi(target: CpuId) {
    // SAFETY: a barrier; stores before the call are visible before the interrupt arrives.
    unsafe { asm!("dsb ishst", options(nostack, preserves_flags)) };
    if is_v3() {
        if let Some(mpidr) = cpu::mpidr(target) {
            gicv3::send_ipi(mpidr);
        }
    } else {
        gicv2::send_ipi(target);
    }
}

/// Definition of the seam's `irq_ack`.
#[unsafe(no_mangle)]
pub(crate) fn rt_irq_ack() -> Option<Interrupt> {
    let cpu = machine::percpu().id;
    fault::interrupt_taken(cpu.index());
    let id = if is_v3() {
        gicv3::ack()
    } else {
        gicv2::ack(cpu)
    };
    match id {
        IPI_INTID => Some(Interrupt::Ipi),
        TIMER_INTID => {
            clock::fired();
            Some(Interrupt::Timer)
        }
        FIRST_SPECIAL..=1023 => None,
        other => Some(Interrupt::Device(IntId(other))),
    }
}

/// Definition of the seam's `irq_end`.
#[unsafe(no_mangle)]
pub(crate) fn rt_irq_end(irq: Interrupt) {
    let id = match irq {
        Interrupt::Ipi => IPI_INTID,
        Interrupt::Timer => TIMER_INTID,
        Interrupt::Device(IntId(id)) => id,
    };
    if is_v3() {
        gicv3::end(id)
    } else {
        gicv2::end(machine::percpu().id, id)
    }
}
