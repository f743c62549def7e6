//! The metal's allocator under the simulator: per-core magazines, interrupts, threads that migrate,
//! blocks freed on another core than they came from.
#![expect(
    unsafe_code,
    reason = "calls an allocator and writes into what it gives"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Arc;
use std::sync::Mutex as HostMutex;

use kernel::mem::{KernelHeap, stats, trim};
use kernel::thread::{ThreadCx, sleep, yield_now};
use machine::Duration;
use sim::{Scenario, sweep};
use sim_tests::{crowd, join};

/// A block with the number of its last owner in every byte.
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

fn hammer(cx: &ThreadCx<'_>) {
    let before = stats();
    // Blocks change hands here; a host mutex, held for no seam call.
    let exchange: Arc<HostMutex<Vec<Block>>> = Arc::default();
    let shared = Arc::clone(&exchange);
    let threads = crowd(6, move |cx, i| {
        let mut mine = Vec::new();
        for round in 0..120 {
            let size = [24, 64, 100, 1500, 8000, 9000, 40_000][(i * 5 + round * 3) % 7];
            mine.push(Block::new(size, (i * 31 + round) as u8));
            if round % 3 == 0 {
                shared.lock().expect("no panic").extend(mine.pop());
            } else if round % 3 == 1 {
                let taken = shared.lock().expect("no panic").pop();
                taken.into_iter().for_each(Block::free);
            }
            if round % 20 == 19 {
                mine.drain(..).for_each(Block::free);
                yield_now(cx);
            }
        }
    });
    join(cx, &threads);
    exchange
        .lock()
        .expect("no panic")
        .drain(..)
        .for_each(Block::free);
    assert_eq!(
        stats().heap_live_bytes,
        before.heap_live_bytes,
        "bytes in use after freeing all"
    );
}

#[test]
fn magazines_never_give_a_block_to_two() {
    sweep(Scenario::new("heap hammer", 1, hammer), &[1, 2, 4], 0..40);
}

/// A crowd leaves its blocks in the magazines of all cores; a trim gives their chunks back.
fn crowd_leaves(cx: &ThreadCx<'_>) {
    let before = stats().shared.chunk_bytes;
    hammer(cx);
    let peak = stats();
    assert!(peak.heap_cached_bytes > 0, "nothing to give back");
    trim();
    sleep(cx, Duration::from_millis(1));
    let after = stats();
    assert_eq!(after.heap_cached_bytes, 0, "blocks left in caches");
    // One empty chunk is kept.
    assert!(
        after.shared.chunk_bytes <= before + (64 << 10),
        "{before} bytes of chunks before, {} at the peak, {} after",
        peak.shared.chunk_bytes,
        after.shared.chunk_bytes
    );
}

#[test]
fn a_trim_empties_every_cores_magazines() {
    sweep(
        Scenario::new("heap trim", 1, crowd_leaves),
        &[1, 2, 4],
        0..20,
    );
}

/// Two producers, two consumers, over and over: the blocks wander between the cores through the
/// depot. Once every core's magazines have filled, the shared heap sees no request.
fn steady(cx: &ThreadCx<'_>) {
    let round = |cx: &ThreadCx<'_>| {
        let queue: Arc<HostMutex<Vec<Block>>> = Arc::default();
        let shared = Arc::clone(&queue);
        let threads = crowd(4, move |_, i| {
            for n in 0..100 {
                if i % 2 == 0 {
                    let block = Block::new(384, n as u8);
                    shared.lock().expect("no panic").push(block);
                } else {
                    let block = shared.lock().expect("no panic").pop();
                    block.into_iter().for_each(Block::free);
                }
            }
        });
        join(cx, &threads);
        queue
            .lock()
            .expect("no panic")
            .drain(..)
            .for_each(Block::free);
    };
    // One core holds at most 2 * 21 + 1 blocks of this size, and a round has at most 200 in use.
    let most = 200 + 43 * kernel::cpu::online().count();
    let start = stats().shared;
    for n in 0..40 {
        round(cx);
        let grown = (stats().shared.allocs - start.allocs) as usize;
        assert!(
            grown <= most + 21,
            "round {n}: {grown} blocks from the shared heap"
        );
        assert_eq!(stats().shared.frees, start.frees, "the depot overflowed");
    }
}

#[test]
fn a_steady_state_does_not_reach_the_shared_heap() {
    sweep(Scenario::new("steady heap", 1, steady), &[2, 4], 0..10);
}
