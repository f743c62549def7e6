//! The shared heap: `linked_list_allocator` over chunks of pages.
//!
//! The crate keeps one address-ordered list of holes and searches it first-fit, which is compact
//! but O(holes), and can grow only upwards. So the heap is a list of *chunks* of 64 KiB, each with
//! its own hole list, found again from any address inside by masking (chunks are aligned to their
//! size). The search starts at the chunk that served last; full ones are skipped by their free
//! count. A chunk that becomes empty goes back to the page allocator, except one kept as a spare.
//!
//! This is the slow path: the per-core magazines ([`super::CpuCache`]) come here in batches only.
#![expect(unsafe_code, reason = "chunk headers live in the memory they manage")]

use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};

use linked_list_allocator::Heap;

use super::pages::{PAGE, Pages};

/// Bytes in a chunk, and its alignment.
pub(super) const CHUNK: usize = 64 << 10;

/// Head of a chunk.
#[repr(C, align(64))]
struct Chunk {
    heap: Heap,
    next: *mut Chunk,
    prev: *mut Chunk,
}

/// The chunks, most recently successful first. Lives inside a lock.
pub(super) struct SharedHeap {
    first: *mut Chunk,
    chunks: usize,
    empty: usize,
    high_water: usize,
    allocs: u64,
    frees: u64,
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
}

impl SharedHeap {
    pub(super) const fn new() -> Self {
        Self {
            first: null_mut(),
            chunks: 0,
            empty: 0,
            high_water: 0,
            allocs: 0,
            frees: 0,
        }
    }

    /// Allocates from a chunk with room, or from a new one made of `pages`.
    pub(super) fn alloc(&mut self, layout: Layout, pages: &Pages) -> Option<NonNull<u8>> {
        let mut chunk = self.first;
        while !chunk.is_null() {
            if let Some(p) = self.alloc_in(chunk, layout) {
                if chunk != self.first {
                    self.unlink(chunk);
                    self.link(chunk);
                }
                return Some(p);
            }
            // SAFETY: every chunk of the list is alive.
            chunk = unsafe { (*chunk).next };
        }
        let chunk = self.grow(pages)?;
        self.alloc_in(chunk, layout)
    }

    fn alloc_in(&mut self, chunk: *mut Chunk, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: every chunk of the list is alive, and the list is borrowed exclusively.
        let heap = unsafe { &mut (*chunk).heap };
        if heap.free() < layout.size() {
            return None;
        }
        let was_empty = heap.used() == 0;
        let p = heap.allocate_first_fit(layout).ok()?;
        self.empty -= usize::from(was_empty);
        self.allocs += 1;
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
        self.frees += 1;
        if heap.used() == 0 {
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

    /// Puts a chunk first.
    fn link(&mut self, chunk: *mut Chunk) {
        let next = self.first;
        // SAFETY: the caller's chunk is alive and in no list.
        unsafe { (*chunk).next = next };
        // SAFETY: as above.
        unsafe { (*chunk).prev = null_mut() };
        if !next.is_null() {
            // SAFETY: chunks of the list are alive.
            unsafe { (*next).prev = chunk };
        }
        self.first = chunk;
    }

    fn unlink(&mut self, chunk: *mut Chunk) {
        // SAFETY: the caller's chunk is in the list.
        let next = unsafe { (*chunk).next };
        // SAFETY: as above.
        let prev = unsafe { (*chunk).prev };
        if prev.is_null() {
            self.first = next;
        } else {
            // SAFETY: chunks of the list are alive.
            unsafe { (*prev).next = next };
        }
        if !next.is_null() {
            // SAFETY: chunks of the list are alive.
            unsafe { (*next).prev = prev };
        }
    }

    pub(super) fn stats(&self) -> SharedStats {
        SharedStats {
            chunk_bytes: self.chunks * CHUNK,
            chunk_high_water: self.high_water * CHUNK,
            allocs: self.allocs,
            frees: self.frees,
        }
    }
}
