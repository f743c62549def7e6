//! Group `work`: a handler sleeps, and for the next one a worker must be made.
//!
//! A worker that leaves none idle behind makes another before it works. So of a chain of items whose handlers all
//! sleep, each but the first is started by the last idle worker, which makes one first. A chain begins with the two
//! workers that a pool keeps; those that it made end after 300 s without work, which take the host no time.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use kernel::completion::Completion;
use kernel::thread::{self, ThreadCx};
use kernel::wq::{self, PerCpu, Run, Work, WorkerCounts, Workqueue};
use machine::{CpuId, Duration};
use sync::preempt_disable;

use crate::kit::{Kit, count, for_ever, sample_over};

const GROUP: &str = "work";
const ROW: &str = "hand-off-cold";
/// Hand-overs of a chain.
const CHAIN: usize = 16;
/// Idle workers that a pool keeps.
const KEPT: u32 = 2;

/// What the items of a chain share.
#[derive(Default)]
struct Chain {
    /// Handlers that are to begin.
    left: AtomicU32,
    all_began: Completion,
    go_on: Completion,
}

/// An item of a chain, and when its handler began and slept.
struct Link {
    chain: Arc<Chain>,
    first: bool,
    began: AtomicU32,
    slept: AtomicU32,
}

fn link(chain: &Arc<Chain>, nth: usize) -> &'static Work<Link> {
    let data = Link {
        chain: Arc::clone(chain),
        first: nth == 0,
        began: AtomicU32::new(0),
        slept: AtomicU32::new(0),
    };
    for_ever(<Work<_>>::new(data, |cx, run: &Run<'_, Link>| {
        run.began.store(count(), Ordering::Relaxed);
        if !run.first {
            sample_over();
        }
        if run.chain.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            run.chain.all_began.complete();
        }
        run.slept.store(count(), Ordering::Relaxed);
        run.chain.go_on.wait(cx);
    }))
}

/// The workers for bound items on this core.
fn workers() -> WorkerCounts {
    let mut workers = WorkerCounts::default();
    wq::for_each_pool(|pool| {
        let here = pool.cpu == Some(CpuId::BOOT) && pool.kind == "thread";
        if here && pool.nice == 0 {
            workers = pool.workers;
        }
    });
    workers
}

/// Until no more workers are left than the pool keeps, and those that left it have ended.
fn rest(cx: &ThreadCx<'_>) {
    while workers().total > KEPT {
        thread::sleep(cx, Duration::from_secs(100));
    }
    thread::sleep(cx, Duration::from_millis(1));
    assert_eq!(workers().idle, KEPT, "the pool has work");
}

/// Runs the row.
pub(crate) fn run(cx: &ThreadCx<'_>, kit: &mut Kit) {
    if !kit.wants(GROUP, ROW) {
        return;
    }
    let b = Workqueue::<PerCpu>::builder("bench");
    let wq = b.build().expect("memory for a queue");
    // The pool's first item makes its second worker.
    let first = for_ever(<Work<()>>::new((), |_, _| {}));
    let _queued = wq.queue(first);
    wq.flush(cx).expect("not one of its items");
    let chain = Arc::new(Chain::default());
    let items: Vec<_> = (0..=CHAIN).map(|nth| link(&chain, nth)).collect();
    kit.bunches(GROUP, ROW, CHAIN, |samples, room| {
        rest(cx);
        let items = &items[..=room];
        chain.left.store(items.len() as u32, Ordering::Relaxed);
        let still = preempt_disable();
        for item in items {
            let _queued = wq.queue(*item);
        }
        drop(still);
        chain.all_began.wait(cx);
        let made = workers().total - KEPT;
        assert_eq!(made as usize, room, "not a worker for each hand-over");
        chain.go_on.complete_all();
        wq.flush(cx).expect("not one of its items");
        chain.go_on.reset();
        for pair in items.windows(2) {
            let (slept, began) = (&pair[0].slept, &pair[1].began);
            let slept = slept.load(Ordering::Relaxed);
            samples.push(began.load(Ordering::Relaxed).wrapping_sub(slept));
        }
    });
    wq.destroy(cx).expect("not one of its items");
}
