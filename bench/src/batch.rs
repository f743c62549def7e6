//! Group `work`: the cost of an item where many are queued and then run.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use kernel::completion::Completion;
use kernel::thread::{Builder, ThreadCx};
use kernel::wq::{
    self, Bh, Context, Kind, Ordered, PerCpu, Run, Softirq, Submit, Threaded, Unbound, Work,
    Workqueue,
};
use machine::CpuMask;
use sync::{PreemptGuard, bh_disable, preempt_disable};

use crate::kit::{Kit, N, count, for_ever};

const GROUP: &str = "work";

/// Runs all rows of the group's third part.
pub(crate) fn run(cx: &ThreadCx<'_>, kit: &mut Kit) {
    let wants = [
        "batch-bound-queue",
        "batch-bound",
        "batch-unbound",
        "batch-ordered",
        "batch-bound-counted",
        "batch-bh",
        "batch-bh-off",
    ];
    if wants.iter().any(|row| kit.wants(GROUP, row)) {
        let items = nothings();
        let bound = queue::<PerCpu>();
        kit.batches(GROUP, "batch-bound-queue", || {
            let begin = count();
            let still = fill(&bound, items);
            let cost = count().wrapping_sub(begin);
            drop(still);
            bound.flush(cx).expect("not one of its items");
            cost
        });
        batch(cx, kit, "batch-bound", &bound, items);
        batch(cx, kit, "batch-unbound", &queue::<Unbound>(), items);
        batch(cx, kit, "batch-ordered", &queue::<Ordered>(), items);
        let counted: Vec<_> = (0..N)
            .map(|_| Arc::new(<Work<_>>::new((), |_, _| {})))
            .collect();
        batch(cx, kit, "batch-bound-counted", &bound, &counted);
        drop(counted);
        let items: &[Work<(), Softirq>] = many(|| Work::new((), |_, _| {}));
        let bh = wq::bh();
        batch::<Bh, _, _>(cx, kit, "batch-bh", bh, items);
        kit.batches(GROUP, "batch-bh-off", || {
            let begin = count();
            let off = bh_disable();
            queue_all(bh, items);
            drop(off);
            bh.flush(cx).expect("not one of its items");
            count().wrapping_sub(begin)
        });
    }
    again(cx, kit);
}

fn queue<K: Kind<Context = Threaded>>() -> Workqueue<K> {
    let b = Workqueue::<K>::builder("bench");
    b.build().expect("memory for a queue")
}

/// As many items as a batch has, that live for ever.
fn many<C: Context>(make: impl Fn() -> Work<(), C>) -> &'static [Work<(), C>] {
    let items: Vec<_> = (0..N).map(|_| make()).collect();
    items.leak()
}

fn nothings() -> &'static [Work<()>] {
    many(|| Work::new((), |_, _| {}))
}

/// Queues all, none of which runs on this core before the guard is dropped.
fn fill<'a, K: Kind<Context = C>, C: Context, T>(wq: &Workqueue<K>, items: &'a [T]) -> PreemptGuard
where
    &'a T: Submit<C>,
{
    let still = preempt_disable();
    queue_all(wq, items);
    still
}

#[inline(always)]
fn queue_all<'a, K: Kind<Context = C>, C: Context, T>(wq: &Workqueue<K>, items: &'a [T])
where
    &'a T: Submit<C>,
{
    for item in items {
        let _queued = wq.queue(item);
    }
}

/// Queues all, and waits until all have run.
fn batch<'a, K: Kind<Context = C>, C: Context, T>(
    cx: &ThreadCx<'_>,
    kit: &mut Kit,
    name: &str,
    wq: &Workqueue<K>,
    items: &'a [T],
) where
    &'a T: Submit<C>,
{
    kit.batches(GROUP, name, || {
        let begin = count();
        drop(fill(wq, items));
        wq.flush(cx).expect("not one of its items");
        count().wrapping_sub(begin)
    });
}

struct Again {
    wq: Workqueue<PerCpu>,
    left: AtomicU32,
    over: Completion,
}

/// An item that queues itself again.
fn again(cx: &ThreadCx<'_>, kit: &mut Kit) {
    let data = Again {
        wq: queue(),
        left: AtomicU32::new(0),
        over: Completion::new(),
    };
    let item = for_ever(<Work<_>>::new(data, |_, run: &Run<'_, Again>| {
        let left = run.left.load(Ordering::Relaxed);
        run.left.store(left - 1, Ordering::Relaxed);
        if left == 1 {
            run.over.complete();
        } else {
            let _queued = run.wq.queue(run);
        }
    }));
    kit.batches(GROUP, "requeue", || {
        item.left.store(N as u32, Ordering::Relaxed);
        let begin = count();
        let _queued = item.wq.queue(item);
        item.over.wait(cx);
        count().wrapping_sub(begin)
    });
    let _over = item.flush(cx);
}

/// Of a core that queues to itself.
struct Core {
    go: Completion,
    stop: AtomicBool,
    over: Arc<Completion>,
}

/// The row of all cores at once.
const EACH: &str = "batch-bound-each";

/// On every core a thread queues items on a queue of its own, bound, and waits until all have run. One core does that
/// only if it is asked by name, to be compared with several: among all rows it is `batch-bound` once more.
pub(crate) fn each(cx: &ThreadCx<'_>, kit: &mut Kit) {
    let online = kernel::cpu::online();
    if !kit.wants(GROUP, EACH) || (online.count() == 1 && !kit.names(EACH)) {
        return;
    }
    let over = Arc::new(Completion::new());
    let start = |cpu| {
        let core = Arc::new(Core {
            go: Completion::new(),
            stop: AtomicBool::new(false),
            over: Arc::clone(&over),
        });
        let own = Arc::clone(&core);
        let there = Builder::new("batches").affinity(CpuMask::single(cpu));
        let thread = there.spawn(move |cx| own_batches(cx, &own));
        (core, thread.expect("memory for a thread"))
    };
    let cores: Vec<_> = online.iter().map(start).collect();
    kit.batches_of(N * cores.len(), GROUP, EACH, || {
        let begin = count();
        cores.iter().for_each(|(core, _)| core.go.complete());
        cores.iter().for_each(|_| over.wait(cx));
        count().wrapping_sub(begin)
    });
    for (core, thread) in &cores {
        core.stop.store(true, Ordering::Relaxed);
        core.go.complete();
        thread.join(cx);
    }
}

/// Batches of one core, each when it is asked for.
fn own_batches(cx: &ThreadCx<'_>, core: &Core) {
    let wq = queue::<PerCpu>();
    let items = nothings();
    loop {
        core.go.wait(cx);
        if core.stop.load(Ordering::Relaxed) {
            break;
        }
        drop(fill(&wq, items));
        wq.flush(cx).expect("not one of its items");
        core.over.complete();
    }
    wq.destroy(cx).expect("not one of its items");
}
