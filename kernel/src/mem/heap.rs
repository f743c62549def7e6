//! The global allocator of the metal image.
//!
//! A board declares it and is done:
//!
//! ```ignore
//! #[global_allocator]
//! static HEAP: kernel::mem::KernelHeap = kernel::mem::KernelHeap;
//! ```
//!
//! It holds no memory itself: the running core's register leads to the [`crate::Kernel`] and so to
//! its [`Memory`]. On the fast path an allocation is a table look-up, one magazine operation and an
//! interrupt-masked section of a dozen instructions; nothing is locked. Before the core has its
//! per-core data (boot) requests go to the shared heap.
//!
//! The layout alone decides where a block comes from ([`Source`]), so freeing needs no header.
//! Exhaustion answers with a null pointer, after the depot was emptied into the heap.
//!
//! Context: any, including hard interrupts.
#![expect(unsafe_code, reason = "implements GlobalAlloc")]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{copy_nonoverlapping, null_mut};

use super::Memory;
use super::cache::Block;
use super::class::{Source, source};
use crate::cpu::try_this_cpu;

/// The global allocator; see the module documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelHeap;

// SAFETY: blocks come from `Memory`, which hands each out once at the layout's size and alignment;
// nothing here unwinds.
unsafe impl GlobalAlloc for KernelHeap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match source(layout) {
            Source::Class(class) => {
                let irq = machine::irq_save();
                let block = match try_this_cpu().and_then(|cpu| cpu.cache.take(class)) {
                    Some(block) => block.cast(),
                    None => refill(class),
                };
                machine::irq_restore(irq);
                block
            }
            rare => memory().alloc_rare(rare, layout),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        match source(layout) {
            Source::Class(class) => {
                let irq = machine::irq_save();
                let full = match try_this_cpu() {
                    // SAFETY: the caller of `dealloc` gives the block away.
                    Some(cpu) => unsafe { cpu.cache.put(class, p.cast::<Block>()) },
                    None => true,
                };
                if full {
                    // SAFETY: as above; the block is not in the magazine if there is none.
                    unsafe { spill(class, p) };
                }
                machine::irq_restore(irq);
            }
            // SAFETY: the caller got the block from `alloc` with this layout.
            rare => unsafe { memory().free_rare(rare, p) },
        }
    }

    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(new) = Layout::from_size_align(size, layout.align()) else {
            return null_mut();
        };
        if source(layout) == source(new) {
            return p;
        }
        // SAFETY: `GlobalAlloc::realloc`'s contract gives a size above zero.
        let q = unsafe { self.alloc(new) };
        if !q.is_null() {
            // SAFETY: both blocks hold the smaller of the sizes, and a new block overlaps nothing.
            unsafe { copy_nonoverlapping(p, q, layout.size().min(size)) };
            // SAFETY: the caller gives the old block away.
            unsafe { self.dealloc(p, layout) };
        }
        q
    }
}

#[inline(always)]
fn memory() -> &'static Memory {
    &crate::kernel().mem
}

/// The magazine is empty: loads a batch and takes from it. Interrupts are masked.
#[cold]
fn refill(class: u8) -> *mut u8 {
    let Some(cpu) = try_this_cpu() else {
        return memory().alloc_early(class);
    };
    cpu.cache.load(class, memory().batch(class));
    cpu.cache.take(class).map_or(null_mut(), <*mut Block>::cast)
}

/// The magazine is over-full, or there is none. Interrupts are masked.
///
/// # Safety
///
/// `p` is a free block of `class` that only the caller refers to, or is in this core's magazine.
#[cold]
unsafe fn spill(class: u8, p: *mut u8) {
    match try_this_cpu() {
        Some(cpu) => memory().take_back(class, cpu.cache.unload(class)),
        // SAFETY: promised by the caller.
        None => unsafe { memory().free_early(class, p) },
    }
}
