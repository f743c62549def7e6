//! Cores: their numbers in the machine's terms, and how they start and stop.
//!
//! The executive counts cores from zero; firmware and interrupt controller name them by affinity
//! (`MPIDR_EL1`). The board gives the table once, before anything starts.
#![expect(
    unsafe_code,
    reason = "first Rust code of a secondary core; link-time symbols of the seam"
)]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::registers::{MPIDR_EL1, Readable};
use machine::{CpuHeader, CpuId, MAX_CPUS, StartError};
use smccc::psci::Error;

use crate::{clock, entry, fault, gic, mmu, psci};

/// Affinity fields of `MPIDR_EL1`.
const AFFINITY: u64 = 0xff_00ff_ffff;
const UNKNOWN: u64 = u64::MAX;
static MPIDRS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(UNKNOWN) }; MAX_CPUS];

/// Sets the affinity of every core; index is the core's number.
pub fn set_mpidrs(mpidrs: &[u64]) {
    for (slot, mpidr) in MPIDRS.iter().zip(mpidrs) {
        slot.store(mpidr & AFFINITY, Ordering::Relaxed);
    }
}

/// Affinity of core `cpu`, when there is such a core.
pub(crate) fn mpidr(cpu: CpuId) -> Option<u64> {
    Some(MPIDRS[cpu.index()].load(Ordering::Relaxed)).filter(|&m| m != UNKNOWN)
}

/// Affinity of the core that asks.
#[must_use]
pub fn own_mpidr() -> u64 {
    MPIDR_EL1.get() & AFFINITY
}

/// Definition of the seam's `start_cpu`.
#[unsafe(no_mangle)]
pub(crate) fn rt_start_cpu(header: &'static CpuHeader) -> Result<(), StartError> {
    let mpidr = mpidr(header.id).ok_or(StartError::Unknown)?;
    let header = core::ptr::from_ref(header);
    // SAFETY: a barrier; the new core sees everything written so far once its caches are on.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
    let entry = entry::secondary_entry as *const () as usize;
    psci::cpu_on(mpidr, entry, header.expose_provenance()).map_err(|e| match e {
        Error::InvalidParameters | Error::InvalidAddress | Error::NotPresent => StartError::Unknown,
        _ => StartError::Refused,
    })
}

/// Definition of the seam's `leave_cpu`. What the core has in its caches is the firmware's business
/// (PSCI 5.5); its interrupt interface and timer are ours.
#[unsafe(no_mangle)]
pub(crate) fn rt_leave_cpu() -> StartError {
    clock::init_core();
    gic::leave_core();
    // SAFETY: a barrier; what this core wrote is visible to the others, and its controller asleep.
    unsafe { asm!("dsb sy", "isb", options(nostack, preserves_flags)) };
    let _refused = psci::cpu_off();
    gic::init_core();
    StartError::Refused
}

/// Definition of the seam's `cpu_is_off`.
#[unsafe(no_mangle)]
pub(crate) fn rt_cpu_is_off(cpu: CpuId) -> bool {
    mpidr(cpu).is_some_and(psci::is_off)
}

/// First Rust code of a secondary core, on its interrupt stack, interrupts masked.
///
/// # Safety
///
/// Called once per start of a core by `secondary_entry`, with the header `start_cpu` was given in `TPIDR_EL1`.
pub(crate) unsafe extern "C" fn secondary_rust(header: &'static CpuHeader) -> ! {
    mmu::forbid_writable_code();
    fault::enable_serror();
    clock::init_core();
    gic::init_core();
    (header.hooks.secondary)(header.id)
}
