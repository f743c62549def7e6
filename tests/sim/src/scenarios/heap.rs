//! The metal's allocator: per-core magazines, interrupts, threads that migrate, blocks freed on
//! another core than they came from; and allocation that is refused.
#![expect(
    unsafe_code,
    reason = "calls an allocator and writes into what it gives"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Arc;
use std::sync::Mutex as HostMutex;

use kernel::mem::{KernelHeap, stats, try_arc, try_box, try_push};
use kernel::thread::ThreadCx;
use sim::{Kinds, Scenario};

use crate::kit::{Count, cpus, crowd, dawdle, join, linger, one_in, pick, volunteers};

/// Scenarios of memory.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("heap-hammer", 3, hammer)
        .about("no block belongs to two, whoever frees it; nothing is live in the end")
        .cpus_range(1, 8),
    Scenario::new("steady-heap", 2, steady)
        .about("once the magazines are full, a steady state does not reach the shared heap")
        .cpus_range(2, 8),
    Scenario::new("refused-allocations", 3, refused)
        .about("what finds no memory is dropped whole, and the next try may succeed")
        .cpus_range(1, 8)
        .endures(Kinds::EVERY),
];

/// A block with the number of its owner in every byte.
struct Block {
    p: *mut u8,
    layout: Layout,
    tag: u8,
}

// SAFETY: the block belongs to whoever holds this.
unsafe impl Send for Block {}

impl Block {
    fn new(size: usize, tag: u8) -> Self {
        let layout = Layout::from_size_align(size, 8).expect("a small layout");
        // SAFETY: the size is not zero.
        let p = unsafe { KernelHeap.alloc(layout) };
        assert!(!p.is_null(), "64 MiB exhausted");
        // SAFETY: the block is `size` bytes long.
        unsafe { p.write_bytes(tag, size) };
        Self { p, layout, tag }
    }

    fn free(self) {
        // SAFETY: written in full by `new`.
        let bytes = unsafe { core::slice::from_raw_parts(self.p, self.layout.size()) };
        assert!(
            bytes.iter().all(|&b| b == self.tag),
            "somebody else wrote into the block"
        );
        // SAFETY: allocated in `new`, freed once.
        unsafe { KernelHeap.dealloc(self.p, self.layout) };
    }
}

/// Blocks change hands here; a host mutex, held for no seam call.
type Exchange = Arc<HostMutex<Vec<Block>>>;

fn give(to: &Exchange, block: Block) {
    to.lock().expect("no panic").push(block);
}

fn receive(from: &Exchange) -> Option<Block> {
    from.lock().expect("no panic").pop()
}

fn hammer(cx: &ThreadCx<'_>) {
    let before = stats();
    let exchange = Exchange::default();
    let threads = {
        let exchange = Arc::clone(&exchange);
        crowd(cpus() + 2, move |cx, i| {
            let mut mine = Vec::new();
            for round in 0..60 {
                let size = [24, 64, 100, 1500, 8000, 9000, 40_000][pick(7)];
                mine.push(Block::new(size, (i * 31 + round) as u8));
                match pick(3) {
                    0 => mine.pop().into_iter().for_each(|b| give(&exchange, b)),
                    1 => receive(&exchange).into_iter().for_each(Block::free),
                    _ => {}
                }
                if one_in(15) {
                    mine.drain(..).for_each(Block::free);
                    dawdle(cx);
                }
            }
            mine.drain(..).for_each(Block::free);
        })
    };
    join(cx, &threads);
    while let Some(block) = receive(&exchange) {
        block.free();
    }
    assert_eq!(stats().heap_live_bytes, before.heap_live_bytes);
}

fn steady(cx: &ThreadCx<'_>) {
    const EACH: usize = 60;
    let round = |cx: &ThreadCx<'_>| {
        let exchange = Exchange::default();
        let threads = {
            let exchange = Arc::clone(&exchange);
            crowd(4, move |_, i| {
                for n in 0..EACH {
                    if i % 2 == 0 {
                        give(&exchange, Block::new(384, n as u8));
                    } else {
                        receive(&exchange).into_iter().for_each(Block::free);
                    }
                }
            })
        };
        join(cx, &threads);
        while let Some(block) = receive(&exchange) {
            block.free();
        }
    };
    // A core holds at most 2 * 21 + 1 blocks of this size, and a round has 2 * EACH in use.
    let most = 2 * EACH + 43 * cpus();
    let start = stats().shared;
    for n in 0..12 {
        round(cx);
        let grown = (stats().shared.allocs - start.allocs) as usize;
        assert!(grown <= most + 21, "round {n}: {grown} blocks");
        assert_eq!(stats().shared.frees, start.frees, "the depot overflowed");
    }
}

fn refused(cx: &ThreadCx<'_>) {
    /// Counts those alive.
    struct Alive(Arc<Count>);
    impl Alive {
        fn new(count: &Arc<Count>) -> Self {
            count.up();
            Self(Arc::clone(count))
        }
    }
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.down();
        }
    }
    let alive = Arc::new(Count::default());
    let threads = {
        let alive = Arc::clone(&alive);
        volunteers(cpus() + 2, move |cx, _| {
            let (mut boxes, mut arcs) = (Vec::new(), Vec::new());
            for _ in 0..40 {
                match pick(4) {
                    0 => boxes.extend(try_box(Alive::new(&alive))),
                    1 => arcs.extend(try_arc(Alive::new(&alive))),
                    2 => {
                        let had = boxes.len();
                        let pushed = try_box(Alive::new(&alive)).and_then(|b| {
                            try_push(&mut boxes, b).map_err(|_| kernel::mem::AllocError)
                        });
                        assert_eq!(boxes.len(), had + usize::from(pushed.is_ok()));
                    }
                    _ => {
                        boxes.pop();
                        arcs.pop();
                    }
                }
                linger();
                if one_in(8) {
                    dawdle(cx);
                }
            }
        })
    };
    join(cx, &threads);
    assert_eq!(alive.get(), 0, "a refused value was leaked");
}
