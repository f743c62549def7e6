//! Interrupts of virtual cores: on their way, pending, delivered, acknowledged.
//!
//! They are taken at seam calls with interrupts unmasked, the way the metal's vectors take them
//! between two instructions, and preempt the thread on the way out.
#![expect(unsafe_code, reason = "headers by address")]

use core::sync::atomic::Ordering;

use super::Sim;
use crate::core::{Core, IPI, NOTHING, STRANGER};
use crate::decision::Choice;
use crate::trace::What;

impl Sim {
    /// Delivers pending interrupts to the running core, as the metal's vector code does.
    #[inline]
    pub(crate) fn take_interrupts(&self) {
        loop {
            let core = self.core();
            if core.masked.get() || core.pending.get() == 0 {
                return;
            }
            self.interrupt(core);
        }
    }

    #[cold]
    fn interrupt(&self, core: &Core) {
        self.record(What::Interrupt, u64::from(core.pending.get()));
        core.masked.set(true);
        // SAFETY: headers installed by the kernel outlive everything in its world.
        let header = unsafe { &*core.percpu.get() };
        let nested = header.on_irq_stack.replace(1);
        (header.hooks.irq)();
        header.on_irq_stack.set(nested);
        debug_assert!(
            core::ptr::eq(core, self.core()),
            "an interrupt handler changed its core"
        );
        // SAFETY: the running thread's header outlives its running.
        let thread = unsafe { &*core.current.get() };
        if nested == 0
            && thread.preempt.load(Ordering::Relaxed) == 0
            && header.need_resched.load(Ordering::Relaxed)
        {
            self.record(What::Preempt, 0);
            (header.hooks.preempt)();
        }
        // The thread may have come back on another core.
        let core = self.core();
        if core.storm.get() > 0 {
            core.raise(STRANGER);
        }
        core.masked.set(false);
    }

    /// Sends an IPI to core `target`.
    pub(crate) fn post_ipi(&self, target: usize) {
        let core = &self.cores[target];
        let delay = self.ipi_delay();
        if delay == 0 {
            core.raise(IPI);
        } else {
            core.ipi_at
                .set(core.ipi_at.get().min(self.clock.get() + delay));
        }
        self.refresh();
    }

    /// Takes one pending interrupt of the running core.
    pub(crate) fn acknowledge(&self) -> Option<u32> {
        let core = self.core();
        let pending = core.pending.get();
        let bit = match pending {
            0 => return None,
            p if p.is_power_of_two() => p,
            // Two at once are taken in either order.
            p if self.decide(Choice::Ack, |f| f.coin()) != 0 => 1 << p.ilog2(),
            p => p & p.wrapping_neg(),
        };
        core.pending.set(pending & !bit);
        if bit == STRANGER {
            self.storm_on(core);
        }
        (bit != NOTHING).then_some(bit)
    }

    /// The next interrupt of a storm; every other one waits until this one is over.
    fn storm_on(&self, core: &Core) {
        let left = core.storm.get().saturating_sub(1);
        core.storm.set(left);
        if left % 2 == 1 {
            core.raise(STRANGER);
        }
    }
}
