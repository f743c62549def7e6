//! The page allocator: contiguous runs of 4 KiB pages, for stacks, DMA and heap growth.
//!
//! A buddy system that gives out exact runs: a request of n pages takes the smallest free block
//! that holds n and returns the tail at once, so 17 pages (a stack and its guard) cost 17 and not
//! 32. Freeing cuts the run into aligned power-of-two blocks and merges each with its buddies.
//! Both take O(log n) steps. The free blocks of each order are a [`Bitmap`]; the bitmaps lie at
//! the start of the largest range of the memory they describe, two bits a page.
//!
//! Addresses are numbers: physical (identity-mapped) on the metal, those of the world's arena in
//! the simulator. Holes between ranges are pages that are never free.
//!
//! Context: any, including hard interrupts; the lock masks interrupts and has [`Rank::Pages`].
#![expect(unsafe_code, reason = "the bitmaps live in the memory they describe")]

use core::fmt;

use sync::{IrqOff, Rank, SpinLock};

use super::bitmap::Bitmap;
use crate::MemoryRange;

/// Bytes in a page.
pub const PAGE: usize = 4096;
/// Largest alignment [`Pages::alloc_aligned`] can give, in bytes.
pub const MAX_ALIGN: usize = 2 << 20;
/// Block orders: 2^0 to 2^20 pages (4 GiB).
const ORDERS: usize = 21;

/// Figures of the page allocator, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageStats {
    /// Pages given to the allocator, its own bitmaps included.
    pub total: usize,
    /// Pages of its own bitmaps.
    pub own: usize,
    /// Pages free now.
    pub free: usize,
    /// Fewest pages that were ever free.
    pub min_free: usize,
    /// Successful allocations.
    pub allocs: u64,
    /// Frees.
    pub frees: u64,
    /// Requests that found no run long enough.
    pub failures: u64,
}

struct State {
    /// Page number (address / [`PAGE`]) of index 0; a multiple of the largest alignment.
    base: usize,
    orders: [Bitmap; ORDERS],
    /// One bit per order that has a free block.
    nonempty: u32,
    words: &'static mut [u64],
    stats: PageStats,
}

/// The page allocator.
pub struct Pages {
    state: SpinLock<State, IrqOff>,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self::new()
    }
}

impl Pages {
    /// An allocator without memory: every request fails.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: SpinLock::new(
                Rank::Pages,
                "pages",
                State {
                    base: 0,
                    orders: [Bitmap::EMPTY; ORDERS],
                    nonempty: 0,
                    words: &mut [],
                    stats: PageStats {
                        total: 0,
                        own: 0,
                        free: 0,
                        min_free: 0,
                        allocs: 0,
                        frees: 0,
                        failures: 0,
                    },
                },
            ),
        }
    }

    /// Takes over free memory. Bytes outside whole pages are ignored.
    ///
    /// # Safety
    ///
    /// The ranges are ordinary writable memory, do not overlap, are used by nothing else, and stay
    /// valid as long as this allocator or anything allocated from it is used. Called once.
    ///
    /// # Panics
    ///
    /// If no range has room for the bitmaps.
    pub unsafe fn init(&self, ranges: &[MemoryRange]) {
        let pages = |r: &MemoryRange| (r.start.div_ceil(PAGE), r.end / PAGE);
        let used = || ranges.iter().map(pages).filter(|(s, e)| s < e);
        let Some(low) = used().map(|r| r.0).min() else {
            return;
        };
        let high = used().map(|r| r.1).max().unwrap_or(low);
        let base = low & !(MAX_ALIGN / PAGE - 1);
        let span = high - base;

        let mut orders = [Bitmap::EMPTY; ORDERS];
        let mut end = 0;
        for (order, map) in orders.iter_mut().enumerate() {
            (*map, end) = Bitmap::plan(span >> order, end);
        }
        let home = used().max_by_key(|(s, e)| e - s).unwrap_or((low, low));
        let own = (end * size_of::<u64>()).div_ceil(PAGE);
        assert!(
            own < home.1 - home.0,
            "no memory range has room for the page bitmaps"
        );
        let first = core::ptr::with_exposed_provenance_mut::<u64>(home.0 * PAGE);
        // SAFETY: the caller promises writable memory; `own` pages of it hold the words.
        unsafe { first.write_bytes(0, end) };
        // SAFETY: as above, zeroed just now, and never handed out below.
        let words = unsafe { core::slice::from_raw_parts_mut(first, end) };

        let mut st = self.state.lock();
        assert!(
            st.words.is_empty(),
            "the page allocator was initialised twice"
        );
        st.base = base;
        st.orders = orders;
        st.words = words;
        st.stats.own = own;
        for (start, end) in used() {
            st.stats.total += end - start;
            let start = if start == home.0 { start + own } else { start };
            st.free_run(start - base, end - start);
            st.stats.free += end - start;
        }
        st.stats.min_free = st.stats.free;
    }

    /// A run of `n` pages; its address.
    #[must_use]
    pub fn alloc(&self, n: usize) -> Option<usize> {
        self.alloc_aligned(n, PAGE)
    }

    /// A run of `n` pages whose address is a multiple of `align` bytes, a power of two up to
    /// [`MAX_ALIGN`]. `None` also for zero pages.
    #[must_use]
    pub fn alloc_aligned(&self, n: usize, align: usize) -> Option<usize> {
        debug_assert!(align.is_power_of_two(), "alignment must be a power of two");
        let mut st = self.state.lock();
        let found = if n == 0 || align > MAX_ALIGN {
            None
        } else {
            st.take(n, align / PAGE)
        };
        match found {
            Some(i) => {
                st.stats.allocs += 1;
                st.stats.free -= n;
                st.stats.min_free = st.stats.min_free.min(st.stats.free);
                Some((st.base + i) * PAGE)
            }
            None => {
                st.stats.failures += 1;
                None
            }
        }
    }

    /// Gives back `n` pages at `address`: a whole run or any part of one.
    ///
    /// # Safety
    ///
    /// The pages came from this allocator, are given back once, and nothing uses them any more.
    pub unsafe fn free(&self, address: usize, n: usize) {
        debug_assert!(
            address.is_multiple_of(PAGE),
            "freeing an address inside a page"
        );
        let mut st = self.state.lock();
        let first = address / PAGE - st.base;
        if cfg!(debug_assertions) {
            for i in first..first + n {
                assert!(
                    !st.is_free(i),
                    "page {:#x} freed twice",
                    (st.base + i) * PAGE
                );
            }
        }
        st.free_run(first, n);
        st.stats.free += n;
        st.stats.frees += 1;
    }

    /// Figures at this moment.
    pub fn stats(&self) -> PageStats {
        self.state.lock().stats
    }

    /// Pages in the largest free block: the longest run that could be allocated now.
    pub fn largest_block(&self) -> usize {
        let nonempty = self.state.lock().nonempty;
        nonempty.checked_ilog2().map_or(0, |order| 1 << order)
    }
}

impl State {
    /// Takes the first `n` pages of the smallest block that holds them, aligned to `align` pages.
    fn take(&mut self, n: usize, align: usize) -> Option<usize> {
        let want = n.checked_next_power_of_two()?.max(align).ilog2();
        if want as usize >= ORDERS {
            return None;
        }
        let fit = self.nonempty >> want << want;
        if fit == 0 {
            return None;
        }
        let order = fit.trailing_zeros() as usize;
        let block = self.orders[order].lowest(self.words)?;
        self.remove(order, block);
        let first = block << order;
        self.free_run(first + n, (1 << order) - n);
        Some(first)
    }

    /// Frees pages `first..first + n` in the largest aligned blocks that fit.
    fn free_run(&mut self, mut first: usize, mut n: usize) {
        while n > 0 {
            let fit = n.ilog2();
            let order = if first == 0 {
                fit
            } else {
                first.trailing_zeros().min(fit)
            };
            let order = (order as usize).min(ORDERS - 1);
            self.free_block(order, first >> order);
            first += 1 << order;
            n -= 1 << order;
        }
    }

    /// Frees one block, merged with its buddies as far as they are free.
    fn free_block(&mut self, mut order: usize, mut block: usize) {
        while order + 1 < ORDERS
            && (block >> 1) < self.orders[order + 1].blocks()
            && self.orders[order].contains(self.words, block ^ 1)
        {
            self.remove(order, block ^ 1);
            block >>= 1;
            order += 1;
        }
        self.orders[order].insert(self.words, block);
        self.nonempty |= 1 << order;
    }

    fn remove(&mut self, order: usize, block: usize) {
        self.orders[order].remove(self.words, block);
        if self.orders[order].lowest(self.words).is_none() {
            self.nonempty &= !(1 << order);
        }
    }

    /// True when page `i` lies in a free block.
    fn is_free(&self, i: usize) -> bool {
        (0..ORDERS).any(|order| self.orders[order].contains(self.words, i >> order))
    }
}
