//! Giving free blocks back: from the cores' magazines and the depot to the shared heap, whose empty
//! chunks go to the page allocator.
//!
//! One free block in a magazine keeps a whole chunk, so after a crowd has left, the caches hold a
//! multiple of their own size. A magazine is touched by its core only; therefore each core empties its
//! own, in a work item. The naive alternatives, a lock for each magazine or an interrupt that stops the
//! core for all its magazines, would cost the fast path or the other work of the core.

use super::CLASSES;
use crate::cpu::{online, this_cpu};
use crate::kernel;
use crate::thread::ThreadCx;
use crate::wq::{self, Run, Threaded, Work};

/// A core's own part in a trim.
pub(crate) const fn item() -> Work<(), Threaded> {
    Work::<(), Threaded>::new((), empty_magazines)
}

/// Starts to give free heap memory back; done soon after this returns. Any context that may queue work.
pub fn trim() {
    for cpu in kernel().cpus().iter().filter(|c| online().contains(c.id())) {
        // Pending already is fine: it has not begun.
        let _ = wq::percpu().queue_on(cpu.id(), &cpu.trim);
    }
}

fn empty_magazines(_cx: &ThreadCx<'_>, _run: &Run<'_, ()>) {
    give_back();
    kernel().mem.empty_depot();
}

/// Empties the running core's magazines.
pub(crate) fn give_back() {
    let mem = &kernel().mem;
    for class in 0..CLASSES as u8 {
        let irq = machine::irq_save();
        let chain = this_cpu().cache.empty(class);
        machine::irq_restore(irq);
        mem.release(class, chain);
    }
}
