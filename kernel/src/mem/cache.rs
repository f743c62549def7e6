//! Per-core magazines of free blocks, and the depot behind them.
//!
//! A shared heap behind one lock makes every core wait for every other one, and its free list is
//! searched block by block. So each core keeps for each size class a *magazine*: a chain of free
//! blocks linked through their first words, taken from and put to with interrupts masked and
//! without a lock. A block freed on another core than it was allocated on simply joins that core's
//! magazine.
//!
//! Such one-way traffic would empty one core's magazine and overflow the other's, so whole batches
//! wander between the cores through the *depot*, a bounded stack of batches per class behind a
//! short lock. Only when the depot is empty (or full) does the shared heap see a request: a service
//! in its steady state never gets there.
//!
//! ```text
//!   alloc/free <-> magazine [C] <-- batch --> depot [L] <-- batch --> shared heap [L] <--> pages
//! ```
//!
//! Every block is at least 16 bytes: word 0 links the blocks of a chain, word 1 of a chain's first
//! block links the chains of a depot.
#![expect(unsafe_code, reason = "free blocks are linked through themselves")]

use core::fmt;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use sync::{IrqOff, Rank, SpinLock};

use super::class::{CLASSES, SIZES, batch};

/// A free block, seen as the two links it may carry.
#[repr(C)]
pub(super) struct Block {
    next: *mut Block,
    next_chain: *mut Block,
}

/// Free blocks of one class on one core. `[C]`, interrupts masked; the count word is an atomic only
/// so that others may read it.
struct Magazine {
    head: AtomicPtr<Block>,
    /// Low half: blocks here. High half: blocks handed out minus blocks taken back on this core,
    /// modulo 2^32; summed over the cores it counts the blocks in use.
    counts: AtomicU64,
}

/// One block in use, in a count word.
const LIVE: u64 = 1 << 32;

/// One core's magazines.
pub struct CpuCache {
    magazines: [Magazine; CLASSES],
}

impl fmt::Debug for CpuCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuCache")
            .field("cached_bytes", &self.cached_bytes())
            .finish()
    }
}

impl Default for CpuCache {
    fn default() -> Self {
        Self::new()
    }
}

impl CpuCache {
    /// Empty magazines.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            magazines: [const {
                Magazine {
                    head: AtomicPtr::new(null_mut()),
                    counts: AtomicU64::new(0),
                }
            }; CLASSES],
        }
    }

    /// Takes a block of `class`. The caller masks interrupts and this is its core's cache.
    #[inline(always)]
    pub(super) fn take(&self, class: u8) -> Option<*mut Block> {
        let m = &self.magazines[class as usize];
        let block = m.head.load(Ordering::Relaxed);
        if block.is_null() {
            return None;
        }
        // SAFETY: a block in a magazine is free memory that only this magazine refers to.
        let next = unsafe { (*block).next };
        m.head.store(next, Ordering::Relaxed);
        m.counts.store(
            m.counts.load(Ordering::Relaxed).wrapping_add(LIVE - 1),
            Ordering::Relaxed,
        );
        Some(block)
    }

    /// Puts a free block of `class` back. True when the magazine is now over-full and the caller
    /// must [`Self::unload`] it. Same rules as [`Self::take`].
    ///
    /// # Safety
    ///
    /// The block is a free one of this class and nothing else refers to it.
    #[inline(always)]
    pub(super) unsafe fn put(&self, class: u8, block: *mut Block) -> bool {
        let m = &self.magazines[class as usize];
        let head = m.head.load(Ordering::Relaxed);
        debug_assert!(head != block, "block {block:p} freed twice");
        // SAFETY: the caller gives the block away.
        unsafe { (*block).next = head };
        m.head.store(block, Ordering::Relaxed);
        let counts = m.counts.load(Ordering::Relaxed).wrapping_sub(LIVE - 1);
        m.counts.store(counts, Ordering::Relaxed);
        counts as u32 > 2 * batch(class)
    }

    /// Fills an empty magazine with a chain. Same rules as [`Self::take`].
    pub(super) fn load(&self, class: u8, chain: Chain) {
        let m = &self.magazines[class as usize];
        debug_assert!(
            m.head.load(Ordering::Relaxed).is_null(),
            "loading a magazine in use"
        );
        m.head.store(chain.first, Ordering::Relaxed);
        let counts = m
            .counts
            .load(Ordering::Relaxed)
            .wrapping_add(u64::from(chain.len));
        m.counts.store(counts, Ordering::Relaxed);
    }

    /// Cuts one batch off a magazine that holds more. Same rules as [`Self::take`].
    pub(super) fn unload(&self, class: u8) -> Chain {
        let m = &self.magazines[class as usize];
        let first = m.head.load(Ordering::Relaxed);
        let len = batch(class);
        let mut last = first;
        for _ in 1..len {
            // SAFETY: the magazine holds more than `len` blocks, so each of these has a successor.
            last = unsafe { (*last).next };
        }
        // SAFETY: `last` is the chain's last block, part of this magazine.
        let rest = unsafe { core::mem::replace(&mut (*last).next, null_mut()) };
        m.head.store(rest, Ordering::Relaxed);
        let counts = m
            .counts
            .load(Ordering::Relaxed)
            .wrapping_sub(u64::from(len));
        m.counts.store(counts, Ordering::Relaxed);
        Chain { first, len }
    }

    /// Takes everything out of a magazine. Same rules as [`Self::take`].
    pub(super) fn empty(&self, class: u8) -> Chain {
        let m = &self.magazines[class as usize];
        let counts = m.counts.load(Ordering::Relaxed);
        let len = counts as u32;
        m.counts
            .store(counts.wrapping_sub(u64::from(len)), Ordering::Relaxed);
        let first = m.head.load(Ordering::Relaxed);
        m.head.store(null_mut(), Ordering::Relaxed);
        Chain { first, len }
    }

    /// Bytes of free blocks in the magazines, as far as another core can tell.
    pub fn cached_bytes(&self) -> usize {
        self.sum(|counts| counts as u32 as usize)
    }

    /// Bytes handed out minus bytes taken back on this core, modulo 2^64.
    pub(super) fn live_bytes(&self) -> usize {
        self.sum(|counts| (counts >> 32) as u32 as i32 as usize)
    }

    fn sum(&self, part: impl Fn(u64) -> usize) -> usize {
        let of = |(m, &size): (&Magazine, &u32)| {
            part(m.counts.load(Ordering::Relaxed)).wrapping_mul(size as usize)
        };
        self.magazines
            .iter()
            .zip(&SIZES)
            .map(of)
            .fold(0, usize::wrapping_add)
    }
}

/// Free blocks of one class, linked.
pub(super) struct Chain {
    first: *mut Block,
    len: u32,
}

impl Chain {
    /// No block.
    pub(super) const EMPTY: Self = Self {
        first: null_mut(),
        len: 0,
    };

    /// True when there is no block.
    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Adds a block.
    ///
    /// # Safety
    ///
    /// As for [`CpuCache::put`].
    pub(super) unsafe fn push(&mut self, block: *mut Block) {
        // SAFETY: the caller gives the block away.
        unsafe { (*block).next = self.first };
        self.first = block;
        self.len += 1;
    }

    /// Takes a block.
    pub(super) fn pop(&mut self) -> Option<*mut Block> {
        if self.first.is_null() {
            return None;
        }
        let block = self.first;
        // SAFETY: a chain owns its blocks.
        self.first = unsafe { (*block).next };
        self.len -= 1;
        Some(block)
    }
}

/// Batches on their way between cores, per class.
pub(super) struct Depot {
    classes: [SpinLock<Stack, IrqOff>; CLASSES],
}

/// A stack of chains, each one batch long.
struct Stack {
    top: *mut Block,
    chains: u32,
}

// SAFETY: the pointer is owned: it leads to free blocks that nothing else refers to.
unsafe impl Send for Stack {}

impl Depot {
    /// Most bytes of one class the depot keeps.
    const MAX_BYTES: u32 = 256 << 10;

    pub(super) const fn new() -> Self {
        Self {
            classes: [const {
                SpinLock::new(
                    Rank::Heap,
                    "depot",
                    Stack {
                        top: null_mut(),
                        chains: 0,
                    },
                )
            }; CLASSES],
        }
    }

    /// Takes a batch.
    pub(super) fn take(&self, class: u8) -> Option<Chain> {
        let mut st = self.classes[class as usize].lock();
        if st.top.is_null() {
            return None;
        }
        let first = st.top;
        // SAFETY: the depot owns its chains.
        st.top = unsafe { (*first).next_chain };
        st.chains -= 1;
        Some(Chain {
            first,
            len: batch(class),
        })
    }

    /// Stores a batch; gives it back when the depot is full or the chain is not one batch.
    pub(super) fn put(&self, class: u8, chain: Chain) -> Result<(), Chain> {
        let bytes = batch(class) * SIZES[class as usize];
        let mut st = self.classes[class as usize].lock();
        if chain.len != batch(class) || st.chains * bytes >= Self::MAX_BYTES {
            return Err(chain);
        }
        // SAFETY: the chain owns its blocks, and gives them to the depot.
        unsafe { (*chain.first).next_chain = st.top };
        st.top = chain.first;
        st.chains += 1;
        Ok(())
    }

    /// Bytes of free blocks in the depot.
    pub(super) fn cached_bytes(&self) -> usize {
        let of = |(class, &size): (usize, &u32)| {
            (self.classes[class].lock().chains * batch(class as u8) * size) as usize
        };
        SIZES.iter().enumerate().map(of).sum()
    }
}
