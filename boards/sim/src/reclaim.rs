//! Gives back what a world leaves behind.
//!
//! A world ends in the middle of things: its threads never return, so what their frames own is never
//! dropped, and the kernel itself is made to live for ever. On the metal the power goes off. Here the
//! next world follows, thousands of them, so every allocation of a world is kept on a list and
//! whatever is still there at the end is freed.
//!
//! This file defines the program's global allocator: the system's, with a header in front of each
//! block. Blocks allocated while a world runs on this host thread are that world's; all others are
//! ordinary. A block may be freed earlier, by the world or by the engine.
//!
//! What the world itself frees is filled with a pattern and given back only after many others: whoever
//! reads it sees nonsense, and whoever writes to it is found, when the world rests or, while it runs, the block goes (B8).
//!
//! What a world allocates must therefore not outlive it: no scenario may keep anything in a `static`
//! with memory of its own. The engine leaves the world ([`outside`]) for what the host keeps.
#![expect(unsafe_code, reason = "an allocator")]

use core::cell::{Cell, RefCell};
use core::ptr::{self, NonNull};
use std::alloc::{GlobalAlloc, Layout, System};

/// In front of each block.
#[repr(C, align(16))]
struct Header {
    /// Null for an ordinary block.
    prev: Cell<*const Header>,
    next: Cell<*const Header>,
    /// What was asked of the system.
    base: *mut u8,
    layout: Layout,
}

thread_local! {
    /// Start of the list of the world that runs on this host thread.
    static LIST: Cell<*const Header> = const { Cell::new(ptr::null()) };
}

/// Blocks that are kept after they were freed.
const KEPT: usize = 128;
/// Larger ones are given back at once: all that are kept are looked at whenever the world rests.
const LARGEST_KEPT: usize = 512;
/// What they are filled with. As an address it leads nowhere.
const PATTERN: u8 = 0xdb;

/// A block that was freed and not given back yet.
#[derive(Clone, Copy)]
struct Freed {
    base: *mut u8,
    whole: Layout,
    user: *mut u8,
    bytes: usize,
}

impl Freed {
    fn fill(&self) {
        // SAFETY: nobody has the block any more, and the system has it not yet.
        unsafe { ptr::write_bytes(self.user, PATTERN, self.bytes) };
    }

    /// Nobody has written to it.
    fn is_intact(&self) -> bool {
        // SAFETY: as above; it was filled, so all of it is initialised.
        let bytes = unsafe { core::slice::from_raw_parts(self.user, self.bytes) };
        // Without a way out in the middle, so that many bytes are compared at once.
        bytes.iter().fold(0, |differs, b| differs | (b ^ PATTERN)) == 0
    }

    fn give_back(self) {
        // SAFETY: allocated by `alloc` with this layout, and taken off the ring.
        unsafe { System.dealloc(self.base, self.whole) };
    }
}

/// The last blocks that a world freed.
struct Ring {
    blocks: [Option<Freed>; KEPT],
    next: usize,
}

thread_local! {
    static RING: RefCell<Ring> = const {
        RefCell::new(Ring {
            blocks: [None; KEPT],
            next: 0,
        })
    };
}

impl Ring {
    /// Keeps `block`; the one whose turn it is to go.
    fn keep(&mut self, block: Freed) -> Option<Freed> {
        block.fill();
        let old = self.blocks[self.next].replace(block);
        self.next = (self.next + 1) % KEPT;
        old
    }
}

/// How many bytes the first block has that was written to after it had been freed, if there is one.
pub(crate) fn damaged() -> Option<usize> {
    RING.with_borrow(|ring| {
        let mut kept = ring.blocks.iter().flatten();
        kept.find(|b| !b.is_intact()).map(|b| b.bytes)
    })
}

/// All blocks of one world.
#[derive(Debug)]
pub(crate) struct Blocks(NonNull<Header>);

impl Blocks {
    pub(crate) fn new() -> Self {
        let head = Box::leak(Box::new(Header {
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            base: ptr::null_mut(),
            layout: Layout::new::<()>(),
        }));
        Self(NonNull::from(head))
    }

    /// Runs `f`, whose allocations are this world's.
    pub(crate) fn inside<R>(&self, f: impl FnOnce() -> R) -> R {
        with_list(self.0.as_ptr(), f)
    }
}

/// Runs `f`, whose allocations belong to no world.
pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    with_list(ptr::null(), f)
}

/// Blocks that the running world holds at this moment. Those of the engine are among them, but come
/// and go with threads only, so between two quiet moments the difference is the kernel's.
#[must_use]
pub fn live_blocks() -> usize {
    // SAFETY: the list lives as long as its world, which runs on this host thread.
    let head = unsafe { LIST.get().as_ref() };
    let mut block = head.map_or(ptr::null(), |head| head.next.get());
    let mut n = 0;
    // SAFETY: a block on the list is alive.
    while let Some(header) = unsafe { block.as_ref() } {
        n += 1;
        block = header.next.get();
    }
    n
}

fn with_list<R>(list: *const Header, f: impl FnOnce() -> R) -> R {
    struct Restore(*const Header);
    impl Drop for Restore {
        fn drop(&mut self) {
            LIST.set(self.0);
        }
    }
    let _restore = Restore(LIST.replace(list));
    f()
}

impl Drop for Blocks {
    fn drop(&mut self) {
        RING.with_borrow_mut(|ring| {
            let kept = ring.blocks.iter_mut().filter_map(Option::take);
            kept.for_each(Freed::give_back);
        });
        // SAFETY: made in `new`, and the world is over.
        let head = unsafe { Box::from_raw(self.0.as_ptr()) };
        let mut at = head.next.get();
        while !at.is_null() {
            // SAFETY: a block on the list is alive.
            let block = unsafe { &*at };
            at = block.next.get();
            let (base, layout) = (block.base, block.layout);
            // SAFETY: allocated by `alloc` with this layout, freed once: the list ends here.
            unsafe { System.dealloc(base, layout) };
        }
    }
}

/// Tells the world, if it is one of its flows that gives this block back: no item may be there. Whether
/// it is.
fn tell(block: *mut u8, layout: Layout) -> bool {
    if LIST.get().is_null() {
        return false;
    }
    let sim = crate::current::sim().filter(|sim| sim.in_flow());
    sim.inspect(|sim| sim.freed(block.addr(), layout.size()))
        .is_some()
}

/// Gives `block` back later, and now the oldest of those that are kept.
fn keep(block: Freed) {
    let Some(old) = RING.with_borrow_mut(|ring| ring.keep(block)) else {
        return;
    };
    let intact = old.is_intact();
    let bytes = old.bytes;
    old.give_back();
    if !intact && let Some(sim) = crate::current::sim() {
        sim.written_after_free(bytes);
    }
}

struct Keeper;

#[global_allocator]
static KEEPER: Keeper = Keeper;

// SAFETY: each block is the tail of one of the system's, aligned as asked.
unsafe impl GlobalAlloc for Keeper {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Ok((whole, offset)) = Layout::new::<Header>().extend(layout) else {
            return ptr::null_mut();
        };
        // SAFETY: the header makes the size positive.
        let base = unsafe { System.alloc(whole) };
        if base.is_null() {
            return base;
        }
        // SAFETY: `offset` lies inside the block.
        let user = unsafe { base.add(offset) };
        let list = LIST.get();
        let header = Header {
            prev: Cell::new(list),
            next: Cell::new(ptr::null()),
            base,
            layout: whole,
        };
        // SAFETY: in front of `user` there is room for a header, aligned since both alignments are
        // powers of two and a header's size is a multiple of its own.
        let place = unsafe { user.cast::<Header>().sub(1) };
        // SAFETY: as above.
        unsafe { place.write(header) };
        if !list.is_null() {
            // SAFETY: the list lives as long as its world.
            let head = unsafe { &*list };
            // SAFETY: written just now.
            let new = unsafe { &*place };
            new.next.set(head.next.replace(place));
            // SAFETY: a block on the list is alive.
            if let Some(second) = unsafe { new.next.get().as_ref() } {
                second.prev.set(place);
            }
        }
        user
    }

    unsafe fn dealloc(&self, user: *mut u8, freed: Layout) {
        let by_world = tell(user, freed);
        // SAFETY: `alloc` put a header in front of the block.
        let place = unsafe { user.cast::<Header>().sub(1) };
        // SAFETY: as above.
        let header = unsafe { &*place };
        // SAFETY: a neighbour on the list is alive.
        if let Some(prev) = unsafe { header.prev.get().as_ref() } {
            prev.next.set(header.next.get());
            // SAFETY: as above.
            if let Some(next) = unsafe { header.next.get().as_ref() } {
                next.prev.set(header.prev.get());
            }
        }
        let block = Freed {
            base: header.base,
            whole: header.layout,
            user,
            bytes: freed.size(),
        };
        if by_world && freed.size() <= LARGEST_KEPT {
            keep(block);
        } else {
            block.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_after_the_free_is_seen() {
        let layout = Layout::new::<[u64; 4]>();
        // SAFETY: the layout has a size.
        let user = unsafe { System.alloc(layout) };
        let block = Freed {
            base: user,
            whole: layout,
            user,
            bytes: layout.size(),
        };
        assert!(RING.with_borrow_mut(|ring| ring.keep(block)).is_none());
        assert_eq!(damaged(), None);
        // SAFETY: the block has not been given back.
        unsafe { user.write(1) };
        assert_eq!(damaged(), Some(32));
        drop(Blocks::new());
        assert_eq!(damaged(), None, "the end of a world empties the ring");
    }
}
