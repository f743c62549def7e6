//! Interrupt state, interrupt causes, faults, and the layout of the preempt word.

use crate::IntId;

/// Whether interrupts were enabled before [`crate::irq_save`]; hand it back to
/// [`crate::irq_restore`] on the same core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "dropping the saved state leaves interrupts masked"]
pub struct IrqState {
    /// The I bit as DAIF has it: a whole word, since guards with padding are copied byte by byte.
    daif: u64,
}

impl IrqState {
    /// PSTATE.I in DAIF (Arm ARM C5.2.2).
    const MASKED: u64 = 1 << 7;

    /// Of a core whose register DAIF says so.
    #[inline(always)]
    pub const fn of_daif(daif: u64) -> Self {
        Self { daif }
    }

    /// Of a core without that register.
    pub const fn new(was_enabled: bool) -> Self {
        Self {
            daif: if was_enabled { 0 } else { Self::MASKED },
        }
    }

    /// True when interrupts were enabled.
    #[inline(always)]
    #[must_use]
    pub const fn was_enabled(self) -> bool {
        self.daif & Self::MASKED == 0
    }
}

/// What [`crate::irq_ack`] took from the interrupt controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// This core's one-shot timer reached its deadline.
    Timer,
    /// Another core sent an inter-processor interrupt; the reason is in the executive's mailbox.
    Ipi,
    /// A device raised its line.
    Device(IntId),
}

/// A synchronous fault the architecture layer cannot mend, described for people.
#[derive(Debug)]
pub struct Fault<'a> {
    /// One line: what happened, in words ("data abort, permission fault, write").
    pub what: &'a str,
    /// Address of the faulting instruction.
    pub pc: usize,
    /// Stack pointer at the fault.
    pub sp: usize,
    /// Frame pointer at the fault, for the backtrace.
    pub fp: usize,
    /// Faulting data address, when the fault has one.
    pub address: Option<usize>,
    /// Architecture syndrome word (`ESR_EL1`).
    pub syndrome: u64,
    /// General registers, x0 first.
    pub registers: &'a [u64],
    /// True when the thread ran over the end of its stack.
    pub stack_overflow: bool,
}

/// Access rights [`crate::protect`] can give a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// Any access faults: a guard page.
    None,
    /// Readable and writable, never executable.
    ReadWrite,
}

/// Why a secondary core did not start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// The firmware knows no such core.
    Unknown,
    /// The firmware refused.
    Refused,
}

/// Bit layout of the preempt word in [`crate::ThreadHeader`].
///
/// One 32-bit word answers "may this thread be preempted, may it sleep, in which context is it?".
/// It lives in the thread, not in the core: a thread that is migrated between reading the core's
/// address and adding to the core's counter would change the wrong core's count. Only the running
/// thread and interrupts on top of it write the word, and each interrupt leaves it as it found it,
/// so plain relaxed loads and stores suffice.
#[derive(Clone, Copy, Debug)]
pub struct PreemptWord;

impl PreemptWord {
    /// One level of preemption-off (bits 0..8).
    pub const PREEMPT: u32 = 1;
    /// Mask of the preemption-off depth.
    pub const PREEMPT_MASK: u32 = 0xff;
    /// Set while serving softirqs (bit 8).
    pub const SOFTIRQ_SERVING: u32 = 1 << 8;
    /// One level of BH-off (S9: two units, so that "serving" and "off" stay apart).
    pub const BH_OFF: u32 = 2 << 8;
    /// Mask of everything that keeps softirqs from starting.
    pub const SOFTIRQ_MASK: u32 = 0xff << 8;
    /// One level of hard interrupt (bits 16..20).
    pub const HARDIRQ: u32 = 1 << 16;
    /// Mask of the hard-interrupt depth.
    pub const HARDIRQ_MASK: u32 = 0xf << 16;
}
