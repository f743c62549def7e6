//! `growth`: what one operation costs beside many things of its kind. Only when it is asked for by name: it wants
//! much memory.
//!
//! One line for each figure: `GROWTH what|n|instructions of one`, the median or the mean.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kernel::thread::{self, Builder, ThreadCx, ThreadRef};
use kernel::wq::{DelayedWork, PerCpu, Run, Work, Workqueue};
use machine::{CpuId, CpuMask, Duration};
use sync::preempt_disable;

use crate::kit::count;

/// Most items, and most timers.
const MANY: usize = 1_000_000;
const THREADS: usize = 10_000;
const QUEUES: usize = 1_000;
/// Readings of which the median counts.
const SAMPLES: usize = 101;

/// Measures all kinds.
pub(crate) fn run(cx: &ThreadCx<'_>) {
    items(cx);
    timers(cx);
    threads(cx);
    queues(cx);
}

/// 1, 10, 100 and so on.
fn steps(most: usize) -> impl Iterator<Item = usize> {
    core::iter::successors(Some(1), |n| Some(n * 10)).take_while(move |&n| n <= most)
}

fn tell(what: &str, n: usize, cost: u32) {
    kernel::println!("GROWTH {what}|{n}|{cost}");
}

/// Tells the median of what `f` counts.
fn median(what: &str, n: usize, mut f: impl FnMut() -> u32) {
    let mut all: Vec<u32> = (0..SAMPLES).map(|_| f()).collect();
    all.sort_unstable();
    tell(what, n, all[SAMPLES / 2]);
}

fn nothing(_: &ThreadCx<'_>, _: &Run<'_, ()>) {}

fn queue() -> Workqueue<PerCpu> {
    let builder = Workqueue::<PerCpu>::builder("growth");
    builder.build().expect("memory for a queue")
}

/// Items that are pending in the pool of this core.
fn items(cx: &ThreadCx<'_>) {
    let wq = queue();
    let make = || Arc::new(<Work<()>>::new((), nothing));
    let items: Vec<_> = (0..MANY).map(|_| make()).collect();
    let one = make();
    let mut pending = 0;
    let still = preempt_disable();
    for n in steps(MANY) {
        for item in &items[pending..n] {
            let _queued = wq.queue(item);
        }
        pending = n;
        median("queue an item, pending items", n, || {
            let begin = count();
            let _queued = wq.queue(&one);
            let cost = count().wrapping_sub(begin);
            let _was = one.cancel();
            cost
        });
        median("cancel an item, pending items", n, || {
            let _queued = wq.queue(&one);
            let begin = count();
            let _was = one.cancel();
            count().wrapping_sub(begin)
        });
    }
    drop(still);
    wq.flush(cx).expect("not one of its items");
    for n in steps(MANY) {
        let begin = count();
        let still = preempt_disable();
        for item in &items[..n] {
            let _queued = wq.queue(item);
        }
        drop(still);
        wq.flush(cx).expect("not one of its items");
        let all = count().wrapping_sub(begin);
        tell(
            "queue and run an item, items queued at once",
            n,
            all / n as u32,
        );
    }
    wq.destroy(cx).expect("not one of its items");
}

/// A sequence of which no timer queue can know anything.
struct Random(u64);

impl Random {
    fn seconds(&mut self) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(1_000_000 + self.0 % 1_000_000_000)
    }
}

/// Timers that are armed and cancelled together.
const FEW: usize = 64;

/// Timers that are armed on this core.
fn timers(cx: &ThreadCx<'_>) {
    let wq = queue();
    let make = || Arc::new(<DelayedWork<()>>::new((), nothing));
    let timers: Vec<_> = (0..MANY).map(|_| make()).collect();
    let few: [_; FEW] = core::array::from_fn(|_| make());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut armed = 0;
    for n in steps(MANY) {
        for timer in &timers[armed..n] {
            let _queued = wq.queue_delayed(timer, random.seconds());
        }
        armed = n;
        // Each stays armed until many others were: what only the last few timers have it is not about. And many
        // at a time, since what one of them costs, another does not.
        median("arm a delayed item, armed timers", n, || {
            let at: [_; FEW] = core::array::from_fn(|_| random.seconds());
            for one in &few {
                let _was = one.cancel_sync(cx);
            }
            let begin = count();
            for (one, at) in few.iter().zip(at) {
                let _queued = wq.queue_delayed(one, at);
            }
            count().wrapping_sub(begin) / FEW as u32
        });
        median("cancel a delayed item, armed timers", n, || {
            for one in &few {
                let _queued = wq.queue_delayed(one, random.seconds());
            }
            let begin = count();
            for one in &few {
                let _was = one.cancel_sync(cx);
            }
            count().wrapping_sub(begin) / FEW as u32
        });
    }
    for timer in timers.iter().chain(&few) {
        let _was = timer.cancel_sync(cx);
    }
    wq.destroy(cx).expect("not one of its items");
}

/// What yielding threads share.
#[derive(Default)]
struct Ring {
    parked: AtomicUsize,
    yields: AtomicUsize,
    over: AtomicBool,
}

/// Threads on this core's runqueue.
fn threads(cx: &ThreadCx<'_>) {
    let ring = Arc::new(Ring::default());
    let here = CpuMask::single(CpuId::BOOT);
    let make = || {
        let ring = Arc::clone(&ring);
        let body = move |cx: &ThreadCx<'_>| {
            ring.parked.fetch_add(1, Ordering::Relaxed);
            thread::park(cx);
            while !ring.over.load(Ordering::Relaxed) {
                ring.yields.fetch_add(1, Ordering::Relaxed);
                thread::yield_now(cx);
            }
        };
        let thread = Builder::new("ring").affinity(here).spawn(body);
        thread.expect("memory for a thread")
    };
    let all: Vec<ThreadRef> = (0..THREADS).map(|_| make()).collect();
    while ring.parked.load(Ordering::Relaxed) < THREADS {
        thread::yield_now(cx);
    }
    // The last one sleeps.
    thread::sleep(cx, Duration::from_millis(1));
    let mut awake = 0;
    for n in steps(THREADS) {
        let still = preempt_disable();
        let begin = count();
        all[awake..n].iter().for_each(|t| t.unpark());
        let cost = count().wrapping_sub(begin);
        drop(still);
        tell(
            "wake a thread, threads on the runqueue",
            n,
            cost / (n - awake) as u32,
        );
        awake = n;
        // Each has its turn, so that none is new.
        let until = |yields: usize| {
            let mut own = 0;
            let first = ring.yields.load(Ordering::Relaxed);
            while ring.yields.load(Ordering::Relaxed) - first < yields {
                own += 1;
                thread::yield_now(cx);
            }
            ring.yields.load(Ordering::Relaxed) - first + own
        };
        until(2 * n);
        let begin = count();
        let yields = until(2 * n + 1_000);
        let cost = count().wrapping_sub(begin);
        tell("yield, threads on the runqueue", n, cost / yields as u32);
    }
    ring.over.store(true, Ordering::Relaxed);
    all.iter().for_each(|t| t.join(cx));
}

/// Queues that there are.
fn queues(cx: &ThreadCx<'_>) {
    let mut all = Vec::with_capacity(QUEUES);
    let item = Arc::new(<Work<()>>::new((), nothing));
    for n in steps(QUEUES) {
        while all.len() < n {
            all.push(queue());
        }
        let wq = &all[n - 1];
        median("queue an item and flush it, queues", n, || {
            let begin = count();
            let _queued = wq.queue(&item);
            item.flush(cx).expect("no panic");
            count().wrapping_sub(begin)
        });
        median("flush a queue at rest, queues", n, || {
            let begin = count();
            wq.flush(cx).expect("not one of its items");
            count().wrapping_sub(begin)
        });
        median("make a queue, queues", n, || {
            let begin = count();
            let wq = queue();
            let cost = count().wrapping_sub(begin);
            wq.destroy(cx).expect("not one of its items");
            cost
        });
        median("end a queue, queues", n, || {
            let wq = queue();
            let begin = count();
            wq.destroy(cx).expect("not one of its items");
            count().wrapping_sub(begin)
        });
    }
    for wq in all {
        wq.destroy(cx).expect("not one of its items");
    }
}
