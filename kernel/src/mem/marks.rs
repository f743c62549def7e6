//! High-water marks of stacks: how much of each was used since it was made.
//!
//! Only with the boot argument `stack_marks` ([`Memory::begin_marks`]), since painting a stack of 32 KiB costs more than
//! the rest of making a thread. Threads' marks are in the list of threads ([`crate::thread::ThreadInfo`]); the stacks of
//! cores are here.
//!
//! Context: any; a look reads each stack up to its mark.
#![expect(unsafe_code, reason = "reads the stack that the board booted on")]

use machine::CpuId;

use super::Memory;
use super::stack::{Stack, used};
use crate::kernel;

/// A stack that belongs to a core, or to the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreStack {
    /// What it is for: `boot`, `interrupt` or `overflow`.
    pub what: &'static str,
    /// Whose.
    pub cpu: CpuId,
    /// Its size.
    pub bytes: usize,
    /// Most bytes of it that were in use.
    pub mark: usize,
}

impl Memory {
    /// Has each stack from now on tell its mark. Called before the first one is made.
    pub(crate) fn begin_marks(&self) {
        self.stacks.begin_marks();
    }
}

/// The stack of the boot, and those of each core for interrupts and for the report of an overflow. None without the
/// boot argument `stack_marks`. (Of a board that says nothing of its boot's stack that is left out.)
pub fn for_each_core_stack(mut f: impl FnMut(CoreStack)) {
    let marked = |s: &Stack| Some((s.high() - s.low(), s.mark()?));
    let boot = kernel().info().boot_stack;
    for c in kernel().cpus() {
        let Some([interrupt, overflow]) = c.stacks.get() else {
            continue;
        };
        let (cpu, (Some(interrupt), Some(overflow))) =
            (c.id(), (marked(interrupt), marked(overflow)))
        else {
            return;
        };
        if cpu == CpuId::BOOT && boot.end > boot.start {
            // SAFETY: promised by the board. It lies in memory that is zero when the image starts.
            let mark = unsafe { used(boot.start, boot.end, 0) };
            f(CoreStack {
                what: "boot",
                cpu,
                bytes: boot.end - boot.start,
                mark,
            });
        }
        for (what, (bytes, mark)) in [("interrupt", interrupt), ("overflow", overflow)] {
            f(CoreStack {
                what,
                cpu,
                bytes,
                mark,
            });
        }
    }
}
