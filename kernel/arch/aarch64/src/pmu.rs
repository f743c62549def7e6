//! Event counter 0 of the performance monitor, counting retired instructions (Arm ARM D13).
//!
//! For benchmarks only: the executive asks for no counter. QEMU has the event only while it counts
//! instructions as time (`-icount`), where the count is exact, and of all cores together.
#![expect(unsafe_code, reason = "registers of the performance monitor")]

use core::arch::asm;

/// INST_RETIRED.
const EVENT: u64 = 0x08;
/// Event counter 0 and the cycle counter.
const COUNTERS: u64 = 1 << 31 | 1;
/// PMCR_EL0.E and LC: counters on, cycle counter of 64 bits.
const CONTROL: u64 = 1 | 1 << 6;

/// Starts the counter of this core; false if the core cannot count instructions. Any context.
#[must_use]
pub fn start() -> bool {
    let events: u64;
    // SAFETY: reads which events exist; no memory is touched.
    unsafe {
        asm!("mrs {}, pmceid0_el0", out(reg) events, options(nomem, nostack, preserves_flags))
    };
    if events & 1 << EVENT == 0 {
        return false;
    }
    // SAFETY: writes counter registers that nothing else here uses; no interrupt is enabled.
    unsafe {
        asm!(
            "msr pmevtyper0_el0, {event}",
            "msr pmcntenset_el0, {counters}",
            "mrs {old}, pmcr_el0",
            "orr {old}, {old}, {control}",
            "msr pmcr_el0, {old}",
            "isb",
            event = in(reg) EVENT,
            counters = in(reg) COUNTERS,
            control = in(reg) CONTROL,
            old = out(reg) _,
            options(nostack, preserves_flags)
        );
    };
    true
}

/// Instructions retired since [`start`] on this core, modulo 2^32. Any context.
#[inline(always)]
#[must_use]
pub fn instructions() -> u32 {
    let count: u64;
    // SAFETY: reads a counter; not `nomem`, so it stays in order with memory accesses.
    unsafe {
        asm!("isb", "mrs {}, pmevcntr0_el0", "isb", out(reg) count, options(nostack, preserves_flags));
    };
    // The counter has 32 bits.
    count as u32
}
