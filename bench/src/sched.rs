//! Group `sched`: switching threads, waking them, making them, calling another core.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use kernel::completion::Completion;
use kernel::thread::{self, Builder, ThreadCx};
use machine::{CpuId, CpuMask};

use crate::kit::{Kit, count};

const GROUP: &str = "sched";

/// Runs all rows of the group.
pub(crate) fn run(cx: &ThreadCx<'_>, kit: &mut Kit) {
    yields(cx, kit);
    wakes(cx, kit);
    kit.samples(GROUP, "thread-create-join", || {
        let begin = count();
        let thread = Builder::new("bench").affinity(here()).spawn(|_| {});
        thread.expect("memory for a thread").join(cx);
        count().wrapping_sub(begin)
    });
    if kernel::cpu::online().count() > 1 {
        calls(kit);
    }
}

fn here() -> CpuMask {
    CpuMask::single(CpuId::new(0))
}

/// What the two threads of a row share.
#[derive(Default)]
struct Pair {
    at: AtomicU32,
    turn: AtomicBool,
    stop: AtomicBool,
    go: Completion,
    done: Completion,
}

/// From one thread's call of `yield_now` to the other's return from it. A yield that comes back to
/// its caller is no switch and gives no sample.
fn yields(cx: &ThreadCx<'_>, kit: &mut Kit) {
    let pair = Arc::new(Pair::default());
    let theirs = Arc::clone(&pair);
    let other = Builder::new("yields").affinity(here()).spawn(move |cx| {
        while !theirs.stop.load(Ordering::Relaxed) {
            theirs.turn.store(true, Ordering::Relaxed);
            theirs.at.store(count(), Ordering::Relaxed);
            thread::yield_now(cx);
        }
    });
    let other = other.expect("memory for a thread");
    kit.samples(GROUP, "yield", || {
        loop {
            pair.turn.store(false, Ordering::Relaxed);
            thread::yield_now(cx);
            let end = count();
            if pair.turn.load(Ordering::Relaxed) {
                return end.wrapping_sub(pair.at.load(Ordering::Relaxed));
            }
        }
    });
    pair.stop.store(true, Ordering::Relaxed);
    other.join(cx);
}

/// From the call that wakes a thread, whose caller then sleeps, to that thread going on.
fn wakes(cx: &ThreadCx<'_>, kit: &mut Kit) {
    let pair = Arc::new(Pair::default());
    let theirs = Arc::clone(&pair);
    let other = Builder::new("wakes").affinity(here()).spawn(move |cx| {
        loop {
            theirs.go.wait(cx);
            theirs.at.store(count(), Ordering::Relaxed);
            if theirs.stop.load(Ordering::Relaxed) {
                return;
            }
            theirs.done.complete();
        }
    });
    let other = other.expect("memory for a thread");
    kit.samples(GROUP, "wake-switch", || {
        let begin = count();
        pair.go.complete();
        pair.done.wait(cx);
        pair.at.load(Ordering::Relaxed).wrapping_sub(begin)
    });
    pair.stop.store(true, Ordering::Relaxed);
    pair.go.complete();
    other.join(cx);
}

static CALLED: AtomicBool = AtomicBool::new(false);

/// A function on another core, and waiting until it has run there.
fn calls(kit: &mut Kit) {
    kit.samples(GROUP, "call-on", || {
        CALLED.store(false, Ordering::Relaxed);
        let begin = count();
        let call = |_| CALLED.store(true, Ordering::Release);
        kernel::ipi::call_on(CpuId::new(1), call, 0).expect("core 1 is online");
        // Pairs with the release above: the call is over.
        while !CALLED.load(Ordering::Acquire) {
            machine::relax();
        }
        count().wrapping_sub(begin)
    });
}
