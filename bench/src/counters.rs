//! The cores' counters, brought to one beginning.
//!
//! QEMU counts the instructions of all cores together, and each core's counter shows those since it was started. The
//! timer, which is the same on all cores, counts them too, 16 to a tick. So how far 16 times the timer is ahead of a
//! counter tells when that began. One reading leaves 16 instructions open; of readings in all phases of a tick the one that is
//! furthest ahead was taken just after a tick, which is exact.
//!
//! While all cores sleep the timer goes on and the counters do not. So core 0 does not sleep meanwhile, and looks at
//! its own counter before and after.

use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arch_aarch64::pmu;
use machine::{CpuId, MAX_CPUS};
use sync::IrqGuard;

use crate::kit::count;

/// Instructions in a tick of the timer: 16 ns.
const TICK: u32 = 16;
/// Readings for one look at a counter, more than enough for all phases of a tick.
const READINGS: u32 = 64;
/// Looks, of which one is not disturbed.
const TRIES: usize = 100;

/// By how much each core's counter is behind that of core 0.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Counters([u32; MAX_CPUS]);

impl Counters {
    /// Starts the counters of all cores and compares them, twice.
    pub(crate) fn start() -> Self {
        let counters = Self::compare();
        counters.check();
        counters
    }

    /// What core 0's counter showed when that of `core` showed `n`.
    pub(crate) fn on_core_0(&self, core: CpuId, n: u32) -> u32 {
        n.wrapping_add(self.0[core.index()])
    }

    /// None has changed against the others.
    pub(crate) fn check(&self) {
        assert_eq!(*self, Self::compare(), "the counters do not keep step");
    }

    fn compare() -> Self {
        let mut behind = [0; MAX_CPUS];
        for core in kernel::cpu::online().iter().filter(|&c| c != CpuId::BOOT) {
            let other = (0..TRIES).find_map(|_| compare_with(core));
            behind[core.index()] = other.expect("a counter that nothing disturbs");
        }
        Self(behind)
    }
}

/// By how much the counter of `core` is behind this one; `None` if something came between.
fn compare_with(core: CpuId) -> Option<u32> {
    let before = look()?;
    let other = look_there(core)?;
    let after = look()?;
    (before == after).then(|| other.wrapping_sub(before))
}

/// How far the timer is ahead of this core's counter; `None` if something else ran, too.
#[inline(never)]
fn look() -> Option<u32> {
    let still = IrqGuard::new();
    let first = reading();
    // Against the first one, since all wrap around.
    let (mut least, mut most) = (i32::MAX, i32::MIN);
    for i in 0..READINGS {
        // Where a turn has an odd number of instructions, 32 readings are in all phases.
        for n in 0..i {
            black_box((n, 3 * n));
        }
        let ahead = reading().wrapping_sub(first).cast_signed();
        (least, most) = (least.min(ahead), most.max(ahead));
    }
    drop(still);
    // In all phases, and with nothing between the two halves of a reading.
    let whole = most.abs_diff(least) == TICK - 1;
    whole.then(|| first.wrapping_add_signed(most))
}

/// Everywhere the same instructions.
#[inline(never)]
fn reading() -> u32 {
    let ticks = machine::stamp();
    (ticks as u32).wrapping_mul(TICK).wrapping_sub(count())
}

/// What [`look`] said on the other core, if it said something.
static SAID: AtomicU32 = AtomicU32::new(0);
static SURE: AtomicBool = AtomicBool::new(false);
static OVER: AtomicBool = AtomicBool::new(false);

/// [`look`] on another core, in its interrupt, while this one does not sleep.
fn look_there(core: CpuId) -> Option<u32> {
    let there = |_| {
        // To start it again changes nothing.
        let said = if pmu::start() { look() } else { None };
        SAID.store(said.unwrap_or(0), Ordering::Relaxed);
        SURE.store(said.is_some(), Ordering::Relaxed);
        OVER.store(true, Ordering::Release);
    };
    OVER.store(false, Ordering::Relaxed);
    kernel::ipi::call_on(core, there, 0).expect("the core is online");
    // Pairs with the release above: what it said is there.
    while !OVER.load(Ordering::Acquire) {
        machine::relax();
    }
    let sure = SURE.load(Ordering::Relaxed);
    sure.then(|| SAID.load(Ordering::Relaxed))
}
