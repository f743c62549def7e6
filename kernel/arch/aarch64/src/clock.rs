//! The generic timer: one clock for all cores, one one-shot timer per core.
//!
//! The virtual counter and timer (PPI 27) work at EL1 whether or not a hypervisor is below
//! (Arm ARM D12). The counter is read after an `isb`, so it cannot be read ahead of the code before
//! it and cores agree on the order of events. Deadlines go into the compare register, which does not
//! lose time to the programming itself, rounded up: see [`crate::scale`].
#![expect(
    unsafe_code,
    reason = "timer registers and link-time symbols of the seam"
)]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, Readable, Writeable};
use machine::{Duration, Instant};

use crate::scale::Scale;

/// Interrupt number of the virtual timer.
pub(crate) const TIMER_INTID: u32 = 27;
const CTL_ENABLE: u64 = 1;
const CTL_MASKED: u64 = 1 << 1;

const DEFAULT: Scale = Scale::new(62_500_000);
static NANOS_PER_TICK: AtomicU64 = AtomicU64::new(DEFAULT.nanos_per_tick);
static TICKS_PER_NANO: AtomicU64 = AtomicU64::new(DEFAULT.ticks_per_nano);

/// Takes the counter's frequency; once on the boot core, before time is asked for.
pub fn init() {
    let scale = Scale::new(CNTFRQ_EL0.get());
    NANOS_PER_TICK.store(scale.nanos_per_tick, Ordering::Relaxed);
    TICKS_PER_NANO.store(scale.ticks_per_nano, Ordering::Relaxed);
    init_core();
}

/// Masks this core's timer.
pub(crate) fn init_core() {
    CNTV_CTL_EL0.set(0);
}

#[inline(always)]
fn scale() -> Scale {
    Scale {
        nanos_per_tick: NANOS_PER_TICK.load(Ordering::Relaxed),
        ticks_per_nano: TICKS_PER_NANO.load(Ordering::Relaxed),
    }
}

/// The raw counter.
#[inline(always)]
#[must_use]
pub fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: reads a counter; not `nomem`, so it stays in order with memory accesses.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack, preserves_flags)) };
    ticks
}

/// Definition of the seam's `now`.
#[unsafe(no_mangle)]
pub(crate) fn rt_now() -> Instant {
    // The one factor that it takes: the other would be loaded, too.
    let per_tick = NANOS_PER_TICK.load(Ordering::Relaxed);
    Instant::from_nanos(Scale::nanos_of(ticks(), per_tick))
}

/// Definition of the seam's `stamp_span`.
#[unsafe(no_mangle)]
pub(crate) fn rt_stamp_span(span: Duration) -> u64 {
    scale().ticks_at(span.as_nanos())
}

/// Definition of the seam's `stamp_time`.
#[unsafe(no_mangle)]
pub(crate) fn rt_stamp_time(stamp: u64) -> Instant {
    // As in `rt_now`: of the two factors the one that it takes.
    let per_tick = NANOS_PER_TICK.load(Ordering::Relaxed);
    Instant::from_nanos(Scale::nanos_of(stamp, per_tick))
}

/// Definition of the seam's `arm_timer`.
#[unsafe(no_mangle)]
pub(crate) fn rt_arm_timer(deadline: Instant) -> u64 {
    if deadline == Instant::FOREVER {
        rt_cancel_timer();
        return u64::MAX;
    }
    let at = scale().ticks_at(deadline.as_nanos());
    CNTV_CVAL_EL0.set(at);
    CNTV_CTL_EL0.set(CTL_ENABLE);
    // SAFETY: a barrier; the new deadline holds before the caller goes on (to sleep, perhaps).
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    at
}

/// Definition of the seam's `cancel_timer`.
#[unsafe(no_mangle)]
pub(crate) fn rt_cancel_timer() {
    CNTV_CTL_EL0.set(0);
    // SAFETY: a barrier; the line is down before interrupts can be enabled again.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// Takes the timer's line down after it fired: it is one-shot.
#[inline(always)]
pub(crate) fn fired() {
    CNTV_CTL_EL0.set(CTL_ENABLE | CTL_MASKED);
}
