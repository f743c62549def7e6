//! Memory: pages, the heap with its per-core caches, stacks, and allocation that may fail.
//!
//! ```text
//!   KernelHeap (GlobalAlloc)          Stack            drivers (DMA)
//!      |  magazines per core            |                  |
//!      |  depot of batches              |                  |
//!      +--> shared heap (chunks) --+    |                  |
//!                                  v    v                  v
//!                          Pages: buddy system over the board's memory
//! ```
//!
//! Nothing here panics for want of memory: every layer answers `None`, null or [`AllocError`].
//! In the simulator the host's allocator serves the heap; pages and stacks come from the world's
//! arena, and [`machine::allocation_allowed`] lets the world refuse.
//!
//! Lock order: depot or shared heap or stack cache ([`sync::Rank::Heap`], never two of them), then
//! pages ([`sync::Rank::Pages`]).
#![expect(unsafe_code, reason = "hands out raw memory")]

mod bitmap;
mod cache;
mod class;
mod heap;
mod marks;
mod pages;
mod shared;
mod stack;
mod trim;
mod try_alloc;

use core::alloc::Layout;
use core::fmt;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering};

use sync::{IrqOff, Rank, SpinLock};

use self::cache::{Chain, Depot};
use self::class::{CLASSES, Source, batch, block_layout, source};
use self::shared::SharedHeap;
use self::stack::StackCache;
use crate::MemoryRange;

pub use self::cache::CpuCache;
pub use self::class::{MAX_CLASS_ALIGN, MAX_CLASS_BYTES};
pub use self::heap::KernelHeap;
pub use self::marks::{CoreStack, for_each_core_stack};
pub use self::pages::{MAX_ALIGN, PAGE, PageStats, Pages};
pub use self::shared::SharedStats;
pub use self::stack::Stack;
pub use self::trim::trim;
pub(crate) use self::trim::{give_back, item as trim_item};
pub use self::try_alloc::{AllocError, try_arc, try_box, try_push, try_vec_with_capacity};

/// Blocks given back to the shared heap under one lock, with interrupts masked.
const AT_ONCE: usize = 16;

/// All memory of one kernel.
pub struct Memory {
    pages: Pages,
    depot: Depot,
    shared: SpinLock<SharedHeap, IrqOff>,
    stacks: StackCache,
    /// `[A]` bytes in use outside the magazines' count, modulo 2^64: larger than a class, or
    /// allocated or freed by a core without magazines.
    other_live: AtomicUsize,
    /// `[A]` bytes of heap blocks that are whole pages, which no chunk holds.
    whole_pages: AtomicUsize,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

/// Figures about a kernel's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryStats {
    /// The page allocator, in pages.
    pub pages: PageStats,
    /// The shared heap behind the caches. Its counters stand still in a steady state.
    pub shared: SharedStats,
    /// Heap bytes that belong to somebody (rounded up to blocks).
    pub heap_live_bytes: usize,
    /// Part of [`Self::heap_live_bytes`]: those in blocks of whole pages, which no chunk holds, such as queues of devices
    /// and large buffers.
    pub heap_page_bytes: usize,
    /// Free heap bytes in magazines and depot.
    pub heap_cached_bytes: usize,
    /// Stacks in use, of threads and cores, guards included; also those lost to panics, which
    /// [`quarantined_stack_bytes`](crate::thread::quarantined_stack_bytes) tells again, without guards.
    pub stack_bytes: usize,
    /// Free stacks kept for the next threads, in bytes.
    pub stack_cached_bytes: usize,
}

impl MemoryStats {
    /// Bytes the kernel manages.
    #[must_use]
    pub const fn total_bytes(&self) -> usize {
        self.pages.total * PAGE
    }

    /// Bytes in use: pages given out, without the free stacks kept for reuse.
    #[must_use]
    pub const fn used_bytes(&self) -> usize {
        (self.pages.total - self.pages.free) * PAGE - self.stack_cached_bytes
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Memory without pages: every request fails.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pages: Pages::new(),
            depot: Depot::new(),
            shared: SpinLock::new(Rank::Heap, "shared heap", SharedHeap::new()),
            stacks: StackCache::new(),
            other_live: AtomicUsize::new(0),
            whole_pages: AtomicUsize::new(0),
        }
    }

    /// Takes over the board's free memory.
    ///
    /// # Safety
    ///
    /// As for [`Pages::init`].
    pub unsafe fn init(&self, ranges: &[MemoryRange]) {
        // SAFETY: promised by the caller.
        unsafe { self.pages.init(ranges) };
    }

    /// The page allocator.
    pub const fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Allocates without any core's magazine, as boot does; null when memory is exhausted.
    pub fn alloc(&self, layout: Layout) -> *mut u8 {
        match source(layout) {
            Source::Class(class) => self.alloc_early(class),
            rare => self.alloc_rare(rare, layout),
        }
    }

    /// Frees what [`Self::alloc`] gave.
    ///
    /// # Safety
    ///
    /// `p` was allocated from this memory with this layout; nothing uses it any more.
    pub unsafe fn free(&self, p: *mut u8, layout: Layout) {
        match source(layout) {
            // SAFETY: promised by the caller.
            Source::Class(class) => unsafe { self.free_early(class, p) },
            // SAFETY: promised by the caller.
            rare => unsafe { self.free_rare(rare, p) },
        }
    }

    /// Figures at this moment; `caches` are the magazines of all cores.
    pub fn stats<'a>(&self, caches: impl Iterator<Item = &'a CpuCache>) -> MemoryStats {
        let mut live = self.other_live.load(Ordering::Relaxed);
        let mut cached = self.depot.cached_bytes();
        for cache in caches {
            live = live.wrapping_add(cache.live_bytes());
            cached += cache.cached_bytes();
        }
        let shared = self.shared.lock().stats();
        let stack_cached_bytes = self.stacks.bytes();
        let made = self.stacks.made_bytes();
        MemoryStats {
            pages: self.pages.stats(),
            shared,
            heap_live_bytes: live,
            heap_page_bytes: self.whole_pages.load(Ordering::Relaxed),
            heap_cached_bytes: cached,
            // Others make and free stacks between the two looks.
            stack_bytes: made.saturating_sub(stack_cached_bytes),
            stack_cached_bytes,
        }
    }

    /// A block of a class for a core without magazines.
    fn alloc_early(&self, class: u8) -> *mut u8 {
        let layout = block_layout(class);
        self.count(layout.size());
        match self.shared_alloc(layout) {
            Some(p) => p.as_ptr(),
            None => {
                self.count(layout.size().wrapping_neg());
                null_mut()
            }
        }
    }

    /// Frees a block of a class on a core without magazines.
    ///
    /// # Safety
    ///
    /// As for [`Self::free`].
    unsafe fn free_early(&self, class: u8, p: *mut u8) {
        let layout = block_layout(class);
        self.count(layout.size().wrapping_neg());
        if let Some(p) = NonNull::new(p) {
            // SAFETY: promised by the caller.
            unsafe { self.shared.lock().free(p, layout, &self.pages) };
        }
    }

    /// Allocates what no class serves.
    fn alloc_rare(&self, from: Source, layout: Layout) -> *mut u8 {
        let p = match from {
            Source::Heap(rounded) => self
                .shared_alloc(rounded)
                .map_or(null_mut(), NonNull::as_ptr),
            Source::Pages(n) => self
                .reclaiming(|| self.pages.alloc_aligned(n, layout.align().max(PAGE)))
                .map_or(null_mut(), core::ptr::with_exposed_provenance_mut),
            Source::Class(_) => null_mut(),
        };
        if !p.is_null() {
            self.count(rare_bytes(from));
            self.whole_pages
                .fetch_add(page_bytes(from), Ordering::Relaxed);
        }
        p
    }

    /// Frees what no class serves.
    ///
    /// # Safety
    ///
    /// As for [`Self::free`].
    unsafe fn free_rare(&self, from: Source, p: *mut u8) {
        self.count(rare_bytes(from).wrapping_neg());
        if !p.is_null() {
            self.whole_pages
                .fetch_sub(page_bytes(from), Ordering::Relaxed);
        }
        match (from, NonNull::new(p)) {
            (Source::Heap(rounded), Some(p)) => {
                // SAFETY: promised by the caller.
                unsafe { self.shared.lock().free(p, rounded, &self.pages) };
            }
            // SAFETY: promised by the caller.
            (Source::Pages(n), Some(p)) => unsafe { self.pages.free(p.as_ptr().addr(), n) },
            _ => {}
        }
    }

    /// A batch of free blocks: from the depot, else from the shared heap; shorter or empty when
    /// memory runs out.
    fn batch(&self, class: u8) -> Chain {
        if let Some(chain) = self.depot.take(class) {
            return chain;
        }
        let layout = block_layout(class);
        let mut chain = Chain::EMPTY;
        {
            let mut shared = self.shared.lock();
            for _ in 0..batch(class) {
                let Some(p) = shared.alloc(layout, &self.pages) else {
                    break;
                };
                // SAFETY: the block is free and known to nobody else.
                unsafe { chain.push(p.as_ptr().cast()) };
            }
        }
        if chain.is_empty()
            && let Some(p) = self.shared_alloc(layout)
        {
            // SAFETY: as above.
            unsafe { chain.push(p.as_ptr().cast()) };
        }
        chain
    }

    /// Takes a batch back: into the depot, else into the shared heap.
    fn take_back(&self, class: u8, chain: Chain) {
        if let Err(chain) = self.depot.put(class, chain) {
            self.release(class, chain);
        }
    }

    /// Frees a chain into the shared heap, letting others in between.
    fn release(&self, class: u8, mut chain: Chain) {
        let layout = block_layout(class);
        while !chain.is_empty() {
            let mut shared = self.shared.lock();
            for _ in 0..AT_ONCE {
                let Some(p) = chain.pop().and_then(|b| NonNull::new(b.cast())) else {
                    break;
                };
                // SAFETY: the chain owned the block, which came from this heap for this layout.
                unsafe { shared.free(p, layout, &self.pages) };
            }
        }
    }

    /// Empties the depot into the shared heap.
    fn empty_depot(&self) {
        for class in 0..CLASSES as u8 {
            while let Some(chain) = self.depot.take(class) {
                self.release(class, chain);
            }
        }
    }

    fn shared_alloc(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.reclaiming(|| self.shared.lock().alloc(layout, &self.pages))
    }

    /// Tries, and when that fails empties the depot and the stack cache and tries once more.
    fn reclaiming<R>(&self, mut attempt: impl FnMut() -> Option<R>) -> Option<R> {
        attempt().or_else(|| {
            self.empty_depot();
            self.stacks.drain(&self.pages);
            attempt()
        })
    }

    fn count(&self, bytes: usize) {
        self.other_live.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn rare_bytes(from: Source) -> usize {
    match from {
        Source::Heap(rounded) => rounded.size(),
        Source::Pages(n) => n * PAGE,
        Source::Class(_) => 0,
    }
}

/// Bytes of a block that is whole pages.
fn page_bytes(from: Source) -> usize {
    match from {
        Source::Pages(n) => n * PAGE,
        _ => 0,
    }
}

/// Figures of the running kernel's memory.
#[must_use]
pub fn stats() -> MemoryStats {
    let kernel = crate::kernel();
    kernel.mem.stats(kernel.cpus().iter().map(|cpu| &cpu.cache))
}
