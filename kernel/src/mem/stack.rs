//! Thread stacks: pages with a guard page below.
//!
//! An overflow must hit an unmapped page, not the neighbour's data: without a guard it looks like
//! anything but an overflow. Unmapping a page costs a TLB shoot-down on every core, so freed stacks
//! keep their guard and wait in a small cache for the next thread of the same size; creating a
//! thread in a steady state touches no page table.
//!
//! ```text
//!   low - PAGE        low                                high
//!   | guard: no access | ... grows down <- sp ...         |
//! ```
//!
//! With the boot argument `stack_marks` each stack is painted before its first use, and none is kept for the next
//! thread, so that the lowest word that is no longer paint tells how much of it was used ([`super::marks`]). Without
//! it that costs a thread's end one instruction and its making none.
//!
//! Context: any that may hold a spin lock of rank below `Heap`.
#![expect(
    unsafe_code,
    reason = "frees pages, links free stacks through themselves, paints and reads them"
)]

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use machine::Protection;
use sync::{IrqOff, Rank, SpinLock};

use super::pages::{PAGE, Pages};

/// A stack of its own pages. Dropping it gives them back.
pub struct Stack {
    low: usize,
    pages: usize,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stack({:#x}..{:#x})", self.low(), self.high())
    }
}

impl Stack {
    /// A stack of at least `bytes`, with a guard page below. `None` without memory.
    #[must_use]
    pub fn alloc(bytes: usize) -> Option<Self> {
        let pages = bytes.max(1).div_ceil(PAGE);
        if !machine::pages_allowed(pages) {
            return None;
        }
        let mem = &crate::kernel().mem;
        if let Some(low) = mem.stacks.take(pages) {
            return Some(Self { low, pages });
        }
        let guard = mem.reclaiming(|| mem.pages.alloc(pages + 1))?;
        mem.stacks.made.fetch_add(pages + 1, Ordering::Relaxed);
        machine::protect(guard, PAGE, Protection::None);
        let stack = Self {
            low: guard + PAGE,
            pages,
        };
        if mem.stacks.marks() {
            stack.paint();
        }
        Some(stack)
    }

    /// Nobody uses it yet.
    fn paint(&self) {
        for at in (self.low()..self.high()).step_by(size_of::<u64>()) {
            let word = core::ptr::with_exposed_provenance_mut::<u64>(at);
            // SAFETY: inside the pages of this stack, which nobody else knows.
            unsafe { word.write(PAINT) };
        }
    }

    /// Bytes that were in use at most since it was made, and those of what interrupted there; less if what was lowest
    /// left all its words unwritten. `None` without the boot argument `stack_marks`. In O(bytes that were not used).
    #[must_use]
    pub fn mark(&self) -> Option<usize> {
        let mem = &crate::kernel().mem;
        // SAFETY: the pages of this stack, readable as long as it lives.
        (mem.stacks.marks()).then(|| unsafe { used(self.low(), self.high(), PAINT) })
    }

    /// Lowest usable address.
    #[must_use]
    pub const fn low(&self) -> usize {
        self.low
    }

    /// One past the highest address; 4 KiB aligned.
    #[must_use]
    pub const fn high(&self) -> usize {
        self.low + self.pages * PAGE
    }
}

/// What a word holds that was never written to.
const PAINT: u64 = 0x5ca1_ab1e_0ddb_a115;

/// Bytes from the lowest word in `low..high` that is not `fresh` up to `high`.
///
/// # Safety
///
/// The range is readable memory, aligned to words. Others may write to it meanwhile.
pub(super) unsafe fn used(low: usize, high: usize, fresh: u64) -> usize {
    let touched = |&at: &usize| {
        let word = core::ptr::with_exposed_provenance::<u64>(at);
        // SAFETY: promised by the caller; volatile, since its owner may run, and any value will do then.
        unsafe { word.read_volatile() != fresh }
    };
    let lowest = (low..high).step_by(size_of::<u64>()).find(touched);
    high - lowest.unwrap_or(high)
}

impl Drop for Stack {
    fn drop(&mut self) {
        let mem = &crate::kernel().mem;
        if !mem.stacks.put(self.low, self.pages) {
            mem.stacks.free(&mem.pages, self.low, self.pages);
        }
    }
}

/// Free stacks by size, linked through their lowest word.
pub(super) struct StackCache {
    sizes: SpinLock<[Size; StackCache::SIZES], IrqOff>,
    /// `[A]` most pages kept of one size; none while stacks have marks.
    most_pages: AtomicUsize,
    /// `[A]` pages of all stacks, used and kept, guards included.
    made: AtomicUsize,
}

/// Free stacks of one size.
#[derive(Clone, Copy)]
struct Size {
    pages: usize,
    top: usize,
    count: usize,
}

impl StackCache {
    /// Different sizes kept.
    const SIZES: usize = 4;
    /// Most pages kept of one size.
    const MAX_PAGES: usize = (2 << 20) / PAGE;

    pub(super) const fn new() -> Self {
        const NONE: Size = Size {
            pages: 0,
            top: 0,
            count: 0,
        };
        Self {
            sizes: SpinLock::new(Rank::Heap, "stack cache", [NONE; Self::SIZES]),
            most_pages: AtomicUsize::new(Self::MAX_PAGES),
            made: AtomicUsize::new(0),
        }
    }

    /// From now on stacks are painted. Called before the first one is made.
    pub(super) fn begin_marks(&self) {
        self.most_pages.store(0, Ordering::Relaxed);
    }

    fn marks(&self) -> bool {
        self.most_pages.load(Ordering::Relaxed) == 0
    }

    /// Takes a free stack of `pages` pages; its lowest address.
    fn take(&self, pages: usize) -> Option<usize> {
        let mut sizes = self.sizes.lock();
        sizes
            .iter_mut()
            .find(|s| s.pages == pages && s.count > 0)
            .map(Size::pop)
    }

    /// Keeps a free stack; false when there is no place for it.
    fn put(&self, low: usize, pages: usize) -> bool {
        let mut sizes = self.sizes.lock();
        let slot = sizes.iter_mut().find(|s| s.pages == pages || s.count == 0);
        match slot {
            Some(s) if (s.count + 1) * pages <= self.most_pages.load(Ordering::Relaxed) => {
                s.pages = pages;
                s.push(low);
                true
            }
            _ => false,
        }
    }

    /// Gives every free stack back to `pages`.
    pub(super) fn drain(&self, pages: &Pages) {
        loop {
            let mut sizes = self.sizes.lock();
            let Some(s) = sizes.iter_mut().find(|s| s.count > 0) else {
                return;
            };
            let (low, n) = (s.pop(), s.pages);
            drop(sizes);
            self.free(pages, low, n);
        }
    }

    /// Gives the pages of a stack and its guard back.
    fn free(&self, pages: &Pages, low: usize, n: usize) {
        machine::protect(low - PAGE, PAGE, Protection::ReadWrite);
        // SAFETY: the run was allocated by `Stack::alloc`, and its only owner gives it up.
        unsafe { pages.free(low - PAGE, n + 1) };
        self.made.fetch_sub(n + 1, Ordering::Relaxed);
    }

    /// Bytes of all stacks, used and kept, guards included.
    pub(super) fn made_bytes(&self) -> usize {
        self.made.load(Ordering::Relaxed) * PAGE
    }

    /// Bytes of free stacks kept, guards included.
    pub(super) fn bytes(&self) -> usize {
        self.sizes
            .lock()
            .iter()
            .map(|s| s.count * (s.pages + 1) * PAGE)
            .sum()
    }
}

impl Size {
    fn push(&mut self, low: usize) {
        let link = core::ptr::with_exposed_provenance_mut::<usize>(low);
        // SAFETY: the stack is free, so its lowest word is ours.
        unsafe { link.write(self.top) };
        self.top = low;
        self.count += 1;
    }

    /// Takes one; the count is above zero.
    fn pop(&mut self) -> usize {
        let low = self.top;
        let link = core::ptr::with_exposed_provenance::<usize>(low);
        // SAFETY: `push` wrote the link, and a free stack is touched by nobody else.
        self.top = unsafe { link.read() };
        self.count -= 1;
        low
    }
}
