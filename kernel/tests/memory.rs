//! The page allocator and the heap against a slow oracle: no overlap, alignment kept, nothing lost.
#![expect(
    unsafe_code,
    reason = "gives arenas to allocators and writes into what they hand out"
)]

use std::alloc::{Layout, alloc, dealloc};

use kernel::MemoryRange;
use kernel::mem::{MAX_ALIGN, Memory, PAGE, Pages};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::{prop_assert, prop_assert_eq, proptest};

/// Host memory for an allocator under test.
struct Arena {
    base: *mut u8,
    layout: Layout,
}

impl Arena {
    fn new(pages: usize) -> Self {
        let layout = Layout::from_size_align(pages * PAGE, MAX_ALIGN).expect("a layout");
        // SAFETY: the size is not zero.
        let base = unsafe { alloc(layout) };
        assert!(!base.is_null());
        Self { base, layout }
    }

    fn range(&self, first: usize, pages: usize) -> MemoryRange {
        let start = self.base.expose_provenance() + first * PAGE;
        MemoryRange {
            start,
            end: start + pages * PAGE,
        }
    }

    fn pages(&self) -> usize {
        self.layout.size() / PAGE
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`; the allocators under test are gone or no longer used.
        unsafe { dealloc(self.base, self.layout) }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Alloc { n: usize, align: usize },
    Free { which: usize },
    FreeHalf { which: usize },
}

fn op() -> impl Strategy<Value = Op> {
    (0..5u8, 1..40usize, 0..5u32, any::<usize>()).prop_map(|(kind, n, align, which)| match kind {
        0..=2 => Op::Alloc {
            n,
            align: PAGE << align,
        },
        3 => Op::Free { which },
        _ => Op::FreeHalf { which },
    })
}

proptest! {
    #[test]
    fn page_runs_never_overlap_and_all_come_back(
        ops in vec(op(), 1..200), size in 64..700usize, hole in 20..40usize,
    ) {
        let arena = Arena::new(size);
        let pages = Pages::new();
        let ranges = [arena.range(3, hole - 3), arena.range(hole + 2, size - hole - 2)];
        // SAFETY: the arena outlives `pages`, which is its only user.
        unsafe { pages.init(&ranges) };
        let at_start = pages.stats();
        let longest = pages.largest_block();
        let usable = |run: usize, n: usize| ranges.iter().any(|r| {
            run >= r.start && run + n * PAGE <= r.end
        });
        let mut live: Vec<(usize, usize)> = Vec::new();
        for op in ops {
            match op {
                Op::Alloc { n, align } => {
                    let fits = pages.largest_block() >= n.next_power_of_two().max(align / PAGE);
                    let run = pages.alloc_aligned(n, align);
                    prop_assert_eq!(run.is_some(), fits, "n {} align {}", n, align);
                    if let Some(run) = run {
                        prop_assert_eq!(run % align, 0);
                        prop_assert!(usable(run, n), "outside the memory");
                        for &(other, m) in &live {
                            prop_assert!(run + n * PAGE <= other || other + m * PAGE <= run);
                        }
                        live.push((run, n));
                    }
                }
                Op::Free { which } if !live.is_empty() => {
                    let (run, n) = live.swap_remove(which % live.len());
                    // SAFETY: allocated above, forgotten by the oracle.
                    unsafe { pages.free(run, n) };
                }
                Op::FreeHalf { which } if !live.is_empty() => {
                    let i = which % live.len();
                    let (run, n) = live[i];
                    if n > 1 {
                        live[i].1 = n / 2;
                        // SAFETY: the upper part, forgotten by the oracle.
                        unsafe { pages.free(run + n / 2 * PAGE, n - n / 2) };
                    }
                }
                _ => {}
            }
            let used: usize = live.iter().map(|l| l.1).sum();
            prop_assert_eq!(pages.stats().free + used, at_start.free);
        }
        for (run, n) in live {
            // SAFETY: allocated above, freed once.
            unsafe { pages.free(run, n) };
        }
        prop_assert_eq!(pages.stats().free, at_start.free);
        prop_assert_eq!(pages.largest_block(), longest, "blocks did not merge again");
    }

    #[test]
    fn heap_blocks_never_overlap_and_all_come_back(
        ops in vec((any::<bool>(), 1..60_000usize, 0..9u32, any::<usize>()), 1..300),
    ) {
        let arena = Arena::new(1024);
        let memory = Memory::new();
        // SAFETY: the arena outlives `memory`, which is its only user.
        unsafe { memory.init(&[arena.range(0, arena.pages())]) };
        let mut live: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut tag = 0u8;
        for (take, size, align, which) in ops {
            if take || live.is_empty() {
                // Small sizes are the common ones.
                let size = if which % 4 == 0 { size } else { size % 700 + 1 };
                let layout = Layout::from_size_align(size, 1 << align).unwrap();
                let p = memory.alloc(layout);
                prop_assert!(!p.is_null(), "4 MiB exhausted");
                prop_assert_eq!(p.addr() % layout.align(), 0);
                tag = tag.wrapping_add(1);
                // SAFETY: the block is ours and `size` bytes long.
                unsafe { p.write_bytes(tag, size) };
                live.push((p, layout, tag));
            } else {
                let (p, layout, tag) = live.swap_remove(which % live.len());
                // SAFETY: the block was written in full.
                let bytes = unsafe { core::slice::from_raw_parts(p, layout.size()) };
                prop_assert!(bytes.iter().all(|&b| b == tag), "block was overwritten");
                // SAFETY: freed once, with its layout.
                unsafe { memory.free(p, layout) };
            }
            let asked: usize = live.iter().map(|l| l.1.size()).sum();
            prop_assert!(memory.stats([].iter()).heap_live_bytes >= asked);
        }
        for (p, layout, _) in live {
            // SAFETY: freed once, with its layout.
            unsafe { memory.free(p, layout) };
        }
        let stats = memory.stats([].iter());
        prop_assert_eq!(stats.heap_live_bytes, 0);
        prop_assert_eq!(stats.shared.allocs, stats.shared.frees);
        prop_assert!(stats.shared.chunk_bytes <= 64 << 10, "empty chunks were kept");
    }
}

/// Sizes next to each other among the classes, of which two and two count as one power of two, and
/// larger ones with alignments of their own.
fn layout_of(size: usize, align: usize) -> Layout {
    const SIZES: [usize; 8] = [384, 512, 768, 1024, 1536, 2048, 9000, 12_000];
    Layout::from_size_align(SIZES[size], 8 << align).expect("a layout")
}

proptest! {
    /// Whatever was refused meanwhile, a block that was given back can be had again: memory is not
    /// forgotten where there is no other.
    #[test]
    fn exhausted_memory_still_gives_what_fits(
        fill in vec((0..8usize, 0..9usize), 40..400),
        rounds in vec((any::<usize>(), vec((0..8usize, 0..9usize), 0..6)), 1..60),
    ) {
        let arena = Arena::new(100);
        let memory = Memory::new();
        // SAFETY: the arena outlives `memory`, which is its only user.
        unsafe { memory.init(&[arena.range(0, 100)]) };
        let mut live: Vec<(*mut u8, Layout)> = Vec::new();
        // Each kind until it is refused, the large ones in between.
        for (size, align) in fill.into_iter().chain((0..8).map(|size| (size, 0))) {
            let layout = layout_of(size, align);
            for _ in 0..if align == 0 { usize::MAX } else { 1 } {
                let p = memory.alloc(layout);
                if p.is_null() {
                    break;
                }
                live.push((p, layout));
            }
        }
        for (which, others) in rounds {
            let (p, layout) = live.swap_remove(which % live.len());
            // SAFETY: freed once, with its layout.
            unsafe { memory.free(p, layout) };
            let before = live.len();
            for (size, align) in others {
                let layout = layout_of(size, align);
                let p = memory.alloc(layout);
                if !p.is_null() {
                    live.push((p, layout));
                }
            }
            let p = memory.alloc(layout);
            prop_assert!(!p.is_null() || live.len() > before, "{layout:?} does not fit where it was");
            if !p.is_null() {
                live.push((p, layout));
            }
        }
        for (p, layout) in live {
            // SAFETY: freed once, with its layout.
            unsafe { memory.free(p, layout) };
        }
    }
}

#[test]
fn exhaustion_is_an_answer_and_memory_returns() {
    let arena = Arena::new(200);
    let memory = Memory::new();
    // SAFETY: the arena outlives `memory`, which is its only user.
    unsafe { memory.init(&[arena.range(0, 200)]) };
    let layout = Layout::from_size_align(1000, 8).unwrap();
    for _ in 0..3 {
        let mut blocks = Vec::new();
        loop {
            let p = memory.alloc(layout);
            if p.is_null() {
                break;
            }
            blocks.push(p);
        }
        // Two aligned chunks of 64 pages fit into 200 pages at 2 MiB alignment.
        assert!(blocks.len() >= 2 * 250, "only {} blocks", blocks.len());
        for p in blocks {
            // SAFETY: freed once, with its layout.
            unsafe { memory.free(p, layout) };
        }
    }
    assert!(
        memory
            .alloc(Layout::from_size_align(1 << 30, 8).unwrap())
            .is_null()
    );
}

/// A crowd of chunks without a large hole, and requests for large blocks: few chunks are asked, and
/// the holes are not forgotten by those who fit into them.
#[test]
fn a_request_asks_few_chunks_however_many_are_full() {
    const MOST: u64 = 4;
    let arena = Arena::new(8192);
    let memory = Memory::new();
    // SAFETY: the arena outlives `memory`, which is its only user.
    unsafe { memory.init(&[arena.range(0, 8192)]) };
    let small = Layout::from_size_align(1000, 8).unwrap();
    let large = Layout::from_size_align(6000, 8).unwrap();
    let refused = || memory.stats([].iter()).shared.refusals;
    let chunks = || memory.stats([].iter()).shared.chunk_bytes >> 16;
    let mut blocks: Vec<*mut u8> = (0..6000).map(|_| memory.alloc(small)).collect();
    // Every other block: half of each chunk is free, and no hole is larger than a block.
    let mut free = false;
    blocks.retain(|&p| {
        free = !free;
        if free {
            // SAFETY: freed once, with its layout.
            unsafe { memory.free(p, small) };
        }
        !free
    });
    let full = chunks();
    assert!(full > 90, "{full} chunks");
    let start = refused();
    let mut large_blocks = Vec::new();
    for _ in 0..200 {
        let before = refused();
        large_blocks.push(memory.alloc(large));
        let asked = refused() - before;
        assert!(asked <= MOST, "{asked} of {} chunks were asked", chunks());
    }
    let grown = chunks();
    assert!(refused() - start <= grown as u64, "a chunk refuses once");
    assert!(grown <= full + 23, "{grown} chunks");
    for _ in 0..2900 {
        blocks.push(memory.alloc(small));
    }
    assert_eq!(chunks(), grown, "the holes are still known");
    for (list, layout) in [(blocks, small), (large_blocks, large)] {
        for p in list {
            // SAFETY: freed once, with its layout.
            unsafe { memory.free(p, layout) };
        }
    }
    assert!(memory.stats([].iter()).shared.chunk_bytes <= 64 << 10);
}

#[test]
fn large_blocks_are_page_runs_and_go_straight_back() {
    let arena = Arena::new(100);
    let memory = Memory::new();
    // SAFETY: the arena outlives `memory`, which is its only user.
    unsafe { memory.init(&[arena.range(0, 100)]) };
    let before = memory.pages().stats().free;
    let layout = Layout::from_size_align(50_000, 8192).unwrap();
    let p = memory.alloc(layout);
    assert_eq!(p.addr() % 8192, 0);
    assert_eq!(memory.pages().stats().free, before - 13);
    // SAFETY: freed once, with its layout.
    unsafe { memory.free(p, layout) };
    assert_eq!(memory.pages().stats().free, before);
}

#[test]
#[should_panic(expected = "freed twice")]
fn double_free_of_pages_is_caught() {
    let arena = Arena::new(64);
    let pages = Pages::new();
    // SAFETY: the arena outlives `pages`, which is its only user.
    unsafe { pages.init(&[arena.range(0, 64)]) };
    let run = pages.alloc(4).unwrap();
    // SAFETY: allocated above.
    unsafe { pages.free(run, 4) };
    // SAFETY: not sound, and that is the test; no page is touched.
    unsafe { pages.free(run + PAGE, 1) };
}

#[test]
fn four_gigabytes_need_little_metadata() {
    // Only the bitmaps are written, and they lie at the start of the (untouched) reservation.
    let arena = Arena::new((4 << 30) / PAGE);
    let pages = Pages::new();
    // SAFETY: the arena outlives `pages`, which is its only user.
    unsafe { pages.init(&[arena.range(0, arena.pages())]) };
    let stats = pages.stats();
    assert_eq!(stats.total, 1 << 20);
    assert!(
        stats.total - stats.free <= 66,
        "{} pages of bitmaps",
        stats.total - stats.free
    );
    assert!(pages.alloc(1 << 19).is_some());
    assert!(pages.alloc(1 << 19).is_none());
}
