//! Groups `work` and `sched`: from core 0 to another. Whoever waits for it on core 0 sleeps, as in Linux's figures, so
//! going to sleep there is part of them: QEMU executes one core at a time.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use kernel::completion::Completion;
use kernel::cpu::{online, this_cpu};
use kernel::thread::{Builder, ThreadCx};
use kernel::wq::{Kind, PerCpu, Run, Submitted, Threaded, Unbound, Work, Workqueue};
use machine::{CpuId, CpuMask};

use crate::counters::Counters;
use crate::kit::{Kit, count, for_ever};

/// More than any sample costs: a moment on another core that seems to be this much later was before.
const NEVER: u32 = 1 << 24;
/// The rows, with their groups.
const ROWS: [(&str, &str); 3] = [
    ("work", "start-bound-remote"),
    ("work", "start-unbound"),
    ("sched", "wake-switch-remote"),
];

/// Runs all rows, which need several cores.
pub(crate) fn run(cx: &ThreadCx<'_>, kit: &mut Kit) {
    if online().count() == 1 || !ROWS.iter().any(|(group, row)| kit.wants(group, row)) {
        return;
    }
    let counters = Counters::start();
    let wq = queue::<PerCpu>();
    start(cx, kit, &counters, "start-bound-remote", |item| {
        wq.queue_on(other(), item)
    });
    let wq = queue::<Unbound>();
    start(cx, kit, &counters, "start-unbound", |item| wq.queue(item));
    wakes(cx, kit, &counters);
    counters.check();
}

fn queue<K: Kind<Context = Threaded>>() -> Workqueue<K> {
    let b = Workqueue::<K>::builder("bench");
    b.build().expect("memory for a queue")
}

fn other() -> CpuId {
    CpuId::new(1)
}

/// Where and when something began, and that it did.
#[derive(Default)]
struct Began {
    at: AtomicU32,
    core: AtomicUsize,
    done: Completion,
}

impl Began {
    /// It begins, here and now.
    #[inline(always)]
    fn begin(&self) {
        self.at.store(count(), Ordering::Relaxed);
        let core = this_cpu().id();
        self.core.store(core.index(), Ordering::Relaxed);
        self.done.complete();
    }

    /// How long after `begin` on core 0 that was.
    fn after(&self, begin: u32, counters: &Counters) -> u32 {
        let core = CpuId::new(self.core.load(Ordering::Relaxed));
        let at = counters.on_core_0(core, self.at.load(Ordering::Relaxed));
        let cost = at.wrapping_sub(begin);
        assert!(cost < NEVER, "it began before it was asked for");
        cost
    }
}

/// From the call to the handler's first instruction, wherever it runs.
fn start(
    cx: &ThreadCx<'_>,
    kit: &mut Kit,
    counters: &Counters,
    name: &str,
    queue: impl Fn(&'static Work<Began>) -> Submitted,
) {
    let item = for_ever(<Work<_>>::new(
        Began::default(),
        |_, run: &Run<'_, Began>| run.begin(),
    ));
    kit.samples("work", name, || {
        let begin = count();
        let _queued = queue(item);
        item.done.wait(cx);
        item.after(begin, counters)
    });
    let _over = item.flush(cx);
}

/// What the two threads of a row share.
#[derive(Default)]
struct Pair {
    began: Began,
    go: Completion,
    stop: AtomicBool,
}

/// From the call that wakes a thread of another core to that thread going on.
fn wakes(cx: &ThreadCx<'_>, kit: &mut Kit, counters: &Counters) {
    let pair = Arc::new(Pair::default());
    let theirs = Arc::clone(&pair);
    let there = CpuMask::single(other());
    let thread = Builder::new("wakes").affinity(there).spawn(move |cx| {
        while !theirs.stop.load(Ordering::Relaxed) {
            theirs.go.wait(cx);
            theirs.began.begin();
        }
    });
    let thread = thread.expect("memory for a thread");
    kit.samples("sched", "wake-switch-remote", || {
        let begin = count();
        pair.go.complete();
        pair.began.done.wait(cx);
        pair.began.after(begin, counters)
    });
    pair.stop.store(true, Ordering::Relaxed);
    pair.go.complete();
    thread.join(cx);
}
