//! A virtual core: what the machine layer of a real one keeps in registers and its interrupt
//! controller.

use core::cell::Cell;

use machine::{CpuHeader, ThreadHeader};

use crate::flow::FlowId;

/// Pending inter-processor interrupt.
pub(crate) const IPI: u32 = 1;
/// Pending timer interrupt.
pub(crate) const TIMER: u32 = 2;
/// Pending interrupt of device line 0; line `n` is this shifted left by `n`.
pub(crate) const DEVICE: u32 = 4;

/// An interrupt of a device nobody knows.
pub(crate) const STRANGER: u32 = 1 << 30;
/// The interrupt controller says "spurious" when it is asked.
pub(crate) const NOTHING: u32 = 1 << 31;

/// Never.
pub(crate) const NEVER: u64 = u64::MAX;

/// One virtual core.
#[derive(Debug)]
pub(crate) struct Core {
    /// `TPIDR_EL1`.
    pub(crate) percpu: Cell<*const CpuHeader>,
    /// `SP_EL0`.
    pub(crate) current: Cell<*const ThreadHeader>,
    /// The flow on the core.
    pub(crate) flow: Cell<FlowId>,
    /// Interrupts are masked.
    pub(crate) masked: Cell<bool>,
    /// The core waits in `idle`.
    pub(crate) waiting: Cell<bool>,
    /// The core was started, and has not left since.
    pub(crate) started: Cell<bool>,
    /// The flow it was last started on, which nobody continues.
    pub(crate) first_flow: Cell<Option<FlowId>>,
    /// Interrupts pending at this core.
    pub(crate) pending: Cell<u32>,
    /// When its timer fires, in nanoseconds.
    pub(crate) deadline: Cell<u64>,
    /// When the kernel wants it to, and when it said so.
    pub(crate) wanted: Cell<(u64, u64)>,
    /// When an IPI on its way arrives.
    pub(crate) ipi_at: Cell<u64>,
    /// It stands still until then.
    pub(crate) stalled_until: Cell<u64>,
    /// Causeless interrupts still to come, one after the other.
    pub(crate) storm: Cell<u32>,
    /// Seam calls it made: where it is in its run.
    pub(crate) calls: Cell<u64>,
    /// When it made the last of them.
    pub(crate) seen: Cell<u64>,
    /// How long it has lived, in nanoseconds: without the time in which it got no turn or stood still.
    pub(crate) lived: Cell<u64>,
    /// The end of a slice that was over when it was looked at, and how long the core had lived then.
    pub(crate) over: Cell<(u64, u64)>,
}

/// Of the time between two seam calls a core lives as much at most, in nanoseconds: several times what
/// passes while each core makes a step.
const STRIDE: u64 = 4_000;

impl Core {
    pub(crate) const fn new(percpu: *const CpuHeader, current: *const ThreadHeader) -> Self {
        Self {
            percpu: Cell::new(percpu),
            current: Cell::new(current),
            flow: Cell::new(usize::MAX),
            masked: Cell::new(true),
            waiting: Cell::new(false),
            started: Cell::new(false),
            first_flow: Cell::new(None),
            pending: Cell::new(0),
            deadline: Cell::new(NEVER),
            wanted: Cell::new((NEVER, 0)),
            ipi_at: Cell::new(NEVER),
            stalled_until: Cell::new(NEVER),
            storm: Cell::new(0),
            calls: Cell::new(0),
            seen: Cell::new(0),
            lived: Cell::new(0),
            over: Cell::new((NEVER, 0)),
        }
    }

    /// It makes a seam call.
    #[inline]
    pub(crate) fn live(&self, now: u64) {
        let gone = now.saturating_sub(self.seen.replace(now));
        self.lived.set(self.lived.get() + gone.min(STRIDE));
    }

    /// How long it has lived since its running thread's slice ended, which is at `end`; counted from
    /// when it was first looked at after that.
    pub(crate) fn overrun(&self, end: u64) -> u64 {
        /// Two ends that are closer are one slice's: rounding moves it.
        const SAME: u64 = 100_000;
        let (noted, since) = self.over.get();
        if end > self.seen.get() {
            self.over.set((NEVER, 0));
        } else if noted.abs_diff(end) > SAME {
            self.over.set((end, self.lived.get()));
        } else {
            return self.lived.get() - since;
        }
        0
    }

    /// The core is off: its timer and what was pending are gone.
    pub(crate) fn power_off(&self) {
        self.started.set(false);
        self.pending.set(0);
        self.storm.set(0);
        self.deadline.set(NEVER);
        self.ipi_at.set(NEVER);
        self.stalled_until.set(NEVER);
    }

    /// When something happens to this core by itself.
    pub(crate) fn next_event(&self) -> u64 {
        let interrupt = self.deadline.get().min(self.ipi_at.get());
        interrupt.min(self.stalled_until.get())
    }

    /// Makes interrupts pending.
    pub(crate) fn raise(&self, bits: u32) {
        self.pending.set(self.pending.get() | bits);
    }

    /// Raises what is due at time `now`.
    pub(crate) fn advance(&self, now: u64) {
        if self.deadline.get() <= now {
            self.deadline.set(NEVER);
            self.raise(TIMER);
        }
        if self.ipi_at.get() <= now {
            self.ipi_at.set(NEVER);
            self.raise(IPI);
        }
        if self.stalled_until.get() <= now {
            self.stalled_until.set(NEVER);
        }
    }

    /// True when the core would execute something if it were given the turn.
    pub(crate) fn can_run(&self) -> bool {
        let awake = !self.waiting.get() || self.pending.get() != 0;
        self.started.get() && awake && self.stalled_until.get() == NEVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_gets_no_turn_does_not_live() {
        let core = Core::new(core::ptr::null(), core::ptr::null());
        (1..=10).for_each(|n| core.live(n * 100));
        assert_eq!(core.lived.get(), 1_000);
        core.live(5_000_000);
        assert_eq!(core.lived.get(), 1_000 + STRIDE);
    }

    #[test]
    fn a_slice_is_over_for_as_long_as_the_core_has_lived_since() {
        let core = Core::new(core::ptr::null(), core::ptr::null());
        core.live(1_000);
        assert_eq!(core.overrun(2_000), 0, "not over yet");
        core.live(2_500);
        assert_eq!(
            core.overrun(2_000),
            0,
            "over, and looked at for the first time"
        );
        core.live(3_500);
        assert_eq!(core.overrun(2_000), 1_000);
        core.live(9_000_000);
        assert_eq!(core.overrun(2_001), 1_000 + STRIDE, "the same slice");
        assert_eq!(core.overrun(8_000_000), 0, "another slice");
        assert_eq!(core.overrun(NEVER), 0, "nobody waits");
        assert_eq!(
            core.overrun(8_000_000),
            0,
            "looked at for the first time again"
        );
    }
}
