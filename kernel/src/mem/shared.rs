//! The shared heap: `linked_list_allocator` over chunks of pages.
//!
//! The crate keeps one address-ordered list of holes and searches it first-fit, which is compact
//! but O(holes), and can grow only upwards. So the heap is a list of *chunks* of 64 KiB, each with
//! its own hole list, found again from any address inside by masking (chunks are aligned to their
//! size). A chunk that becomes empty goes back to the page allocator, except one kept as a spare.
//!
//! Which chunk has a hole that is large enough? Looking at all of them makes every request as slow as
//! the heap is large. So each chunk is on the list of its *hope*: the power of two up to which its
//! largest hole may reach, as far as anybody knows. A refusal lowers it below the request, a freed
//! block raises it to the chunk's free bytes. A request looks at chunks with enough hope, those with
//! little of it first, so that emptier ones get a chance to become empty; and after a few refusals it
//! takes a new chunk. Each refusal is paid for by an earlier free, so such chunks are few. A hope is a
//! power of two and knows no alignment, so it may be lower than the largest hole: where there are no
//! pages left, and a wrong refusal would be one of the whole kernel, every chunk with so many bytes free is
//! asked, whatever its hope.
//!
//! This is the slow path: the per-core magazines ([`super::CpuCache`]) come here in batches only.
#![expect(unsafe_code, reason = "chunk headers live in the memory they manage")]

use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};

use linked_list_allocator::Heap;

use super::pages::{PAGE, Pages};

/// Bytes in a chunk, and its alignment.
pub(super) const CHUNK: usize = 64 << 10;

/// Chunks that may refuse a request before it gets a new one.
const REFUSALS: usize = 4;

/// Powers of two that a hole of a chunk may reach, 0 for none.
const HOPES: usize = CHUNK.ilog2() as usize + 1;

/// The hope of a chunk with this many bytes free, and what a request for so many needs.
const fn hope(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        n => n.next_power_of_two().ilog2() as usize,
    }
}

/// Head of a chunk.
#[repr(C, align(64))]
struct Chunk {
    heap: Heap,
    /// The list it is on.
    hope: usize,
    next: *mut Chunk,
    prev: *mut Chunk,
}

/// The chunks. Lives inside a lock.
pub(super) struct SharedHeap {
    /// By hope; in each list the one that came last is first.
    lists: [*mut Chunk; HOPES],
    chunks: usize,
    empty: usize,
    high_water: usize,
    allocs: u64,
    frees: u64,
    refusals: u64,
}

// SAFETY: the chunks belong to this heap alone.
unsafe impl Send for SharedHeap {}

/// Figures of the shared heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SharedStats {
    /// Bytes in its chunks.
    pub chunk_bytes: usize,
    /// Most bytes its chunks ever had.
    pub chunk_high_water: usize,
    /// Blocks taken from it.
    pub allocs: u64,
    /// Blocks given back to it.
    pub frees: u64,
    /// Times a chunk was asked for a block and had no hole for it.
    pub refusals: u64,
}

impl SharedHeap {
    pub(super) const fn new() -> Self {
        Self {
            lists: [null_mut(); HOPES],
            chunks: 0,
            empty: 0,
            high_water: 0,
            allocs: 0,
            frees: 0,
            refusals: 0,
        }
    }

    /// Allocates from a chunk with room, or from a new one made of `pages`.
    pub(super) fn alloc(&mut self, layout: Layout, pages: &Pages) -> Option<NonNull<u8>> {
        if let Some(p) = self.search(layout, REFUSALS) {
            return Some(p);
        }
        match self.grow(pages) {
            Some(chunk) => self.alloc_in(chunk, layout),
            None => self.search_all(layout),
        }
    }

    /// Asks chunks that have hope, until so many have refused.
    fn search(&mut self, layout: Layout, refusals: usize) -> Option<NonNull<u8>> {
        let mut left = refusals;
        for need in hope(layout.size())..HOPES {
            // Whoever refuses leaves the list.
            while !self.lists[need].is_null() {
                if left == 0 {
                    return None;
                }
                left -= 1;
                if let Some(p) = self.alloc_in(self.lists[need], layout) {
                    return Some(p);
                }
            }
        }
        None
    }

    /// Asks every chunk that may have room. No hope is lowered: the walk goes along the lists.
    #[cold]
    fn search_all(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        for list in self.lists {
            let mut at = list;
            // SAFETY: chunks of the lists are alive.
            while let Some(chunk) = unsafe { at.as_ref() } {
                let (free, next) = (chunk.heap.free(), chunk.next);
                if free >= layout.size()
                    && let Some(p) = self.take_from(at, layout)
                {
                    return Some(p);
                }
                at = next;
            }
        }
        None
    }

    /// Asks a chunk, and lowers its hope when it refuses.
    fn alloc_in(&mut self, chunk: *mut Chunk, layout: Layout) -> Option<NonNull<u8>> {
        let p = self.take_from(chunk, layout);
        if p.is_none() {
            self.set_hope(chunk, hope(layout.size()).saturating_sub(1));
        }
        p
    }

    fn take_from(&mut self, chunk: *mut Chunk, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: every chunk of the lists is alive, and they are borrowed exclusively.
        let heap = unsafe { &mut (*chunk).heap };
        let was_empty = heap.used() == 0;
        let Ok(p) = heap.allocate_first_fit(layout) else {
            self.refusals += 1;
            return None;
        };
        let most = hope(heap.free());
        self.empty -= usize::from(was_empty);
        self.allocs += 1;
        // SAFETY: as above.
        if most < unsafe { (*chunk).hope } {
            self.set_hope(chunk, most);
        }
        Some(p)
    }

    /// Frees what [`Self::alloc`] gave.
    ///
    /// # Safety
    ///
    /// `p` came from this heap for this layout, and nothing uses it any more.
    pub(super) unsafe fn free(&mut self, p: NonNull<u8>, layout: Layout, pages: &Pages) {
        let chunk = p.as_ptr().map_addr(|a| a & !(CHUNK - 1)).cast::<Chunk>();
        // The block's own provenance need not cover the header: use the chunk's exposed one.
        let chunk = core::ptr::with_exposed_provenance_mut::<Chunk>(chunk.addr());
        // SAFETY: the chunk an allocated block lies in is alive.
        let heap = unsafe { &mut (*chunk).heap };
        // SAFETY: promised by the caller.
        unsafe { heap.deallocate(p, layout) };
        let (empty, most) = (heap.used() == 0, hope(heap.free()));
        self.frees += 1;
        // SAFETY: as above.
        if unsafe { (*chunk).hope } != most {
            self.set_hope(chunk, most);
        }
        if empty {
            if self.empty == 0 {
                self.empty = 1;
                return;
            }
            self.unlink(chunk);
            self.chunks -= 1;
            // SAFETY: the chunk is empty and out of the list.
            unsafe { pages.free(chunk.addr(), CHUNK / PAGE) };
        }
    }

    fn grow(&mut self, pages: &Pages) -> Option<*mut Chunk> {
        let address = pages.alloc_aligned(CHUNK / PAGE, CHUNK)?;
        let chunk = core::ptr::with_exposed_provenance_mut::<Chunk>(address);
        let room = core::ptr::with_exposed_provenance_mut::<u8>(address + size_of::<Chunk>());
        // SAFETY: the pages were just allocated; the header takes their first bytes.
        unsafe {
            chunk.write(Chunk {
                heap: Heap::empty(),
                hope: HOPES - 1,
                next: null_mut(),
                prev: null_mut(),
            })
        };
        // SAFETY: written just now, known to nobody else.
        let heap = unsafe { &mut (*chunk).heap };
        // SAFETY: the rest of the pages belongs to this heap until it is empty and unlinked.
        unsafe { heap.init(room, CHUNK - size_of::<Chunk>()) };
        self.link(chunk);
        self.chunks += 1;
        self.empty += 1;
        self.high_water = self.high_water.max(self.chunks);
        Some(chunk)
    }

    /// Puts a chunk on another list.
    fn set_hope(&mut self, chunk: *mut Chunk, hope: usize) {
        self.unlink(chunk);
        // SAFETY: the caller's chunk is alive.
        unsafe { (*chunk).hope = hope };
        self.link(chunk);
    }

    /// Puts a chunk first on the list of its hope.
    fn link(&mut self, chunk: *mut Chunk) {
        // SAFETY: the caller's chunk is alive and in no list.
        let chunk_mut = unsafe { &mut *chunk };
        let first = &mut self.lists[chunk_mut.hope];
        chunk_mut.next = *first;
        chunk_mut.prev = null_mut();
        // SAFETY: chunks of the lists are alive.
        if let Some(next) = unsafe { first.as_mut() } {
            next.prev = chunk;
        }
        *first = chunk;
    }

    fn unlink(&mut self, chunk: *mut Chunk) {
        // SAFETY: the caller's chunk is in the list of its hope.
        let &mut Chunk {
            hope, next, prev, ..
        } = unsafe { &mut *chunk };
        // SAFETY: chunks of the lists are alive.
        match unsafe { prev.as_mut() } {
            Some(prev) => prev.next = next,
            None => self.lists[hope] = next,
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_mut() } {
            next.prev = prev;
        }
    }

    pub(super) fn stats(&self) -> SharedStats {
        SharedStats {
            chunk_bytes: self.chunks * CHUNK,
            chunk_high_water: self.high_water * CHUNK,
            allocs: self.allocs,
            frees: self.frees,
            refusals: self.refusals,
        }
    }
}
