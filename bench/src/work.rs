//! Group `work`: queueing, and from the call to the handler's first instruction.

use core::sync::atomic::{AtomicU32, Ordering};

use kernel::completion::Completion;
use kernel::softirq::BhCx;
use kernel::thread::ThreadCx;
use kernel::wq::{self, Kind, PerCpu, Run, Softirq, Threaded, Unbound, Work, Workqueue};
use sync::{bh_disable, preempt_disable};

use crate::kit::{Kit, count, for_ever};

const GROUP: &str = "work";

/// When the handler began, and that it did.
#[derive(Default)]
struct Began {
    at: AtomicU32,
    done: Completion,
}

fn threaded() -> &'static Work<Began> {
    for_ever(<Work<_>>::new(
        Began::default(),
        |_, run: &Run<'_, Began>| {
            run.at.store(count(), Ordering::Relaxed);
            run.done.complete();
        },
    ))
}

fn softirq() -> &'static Work<Began, Softirq> {
    for_ever(Work::new(
        Began::default(),
        |_: &BhCx<'_>, run: &Run<'_, Began, Softirq>| {
            run.at.store(count(), Ordering::Relaxed);
            run.done.complete();
        },
    ))
}

/// Runs all rows of the group's first part.
pub(crate) fn run(cx: &ThreadCx<'_>, kit: &mut Kit) {
    calls(cx, kit);
    starts(cx, kit);
}

/// The call itself, the worker idle: it may not be preempted, so the figure is the call's.
fn calls(cx: &ThreadCx<'_>, kit: &mut Kit) {
    let (wq, item) = (queue::<PerCpu>(false), threaded());
    kit.samples(GROUP, "queue-idle", || {
        let still = preempt_disable();
        let begin = count();
        let _queued = wq.queue(item);
        let end = count();
        drop(still);
        item.done.wait(cx);
        end.wrapping_sub(begin)
    });
    let _over = item.flush(cx);
    wq.destroy(cx).expect("not one of its items");
}

fn starts(cx: &ThreadCx<'_>, kit: &mut Kit) {
    start(cx, kit, "start-bound", &queue::<PerCpu>(false));
    let (wq, item) = (queue::<PerCpu>(false), threaded());
    kit.samples(GROUP, "resume-bound", || {
        let begin = count();
        let _queued = wq.queue(item);
        item.done.wait(cx);
        count().wrapping_sub(begin)
    });
    // With several cores it may run on another: `cross`.
    if kernel::cpu::online().count() == 1 {
        start(cx, kit, "start-unbound", &queue::<Unbound>(false));
    }
    start(cx, kit, "start-highpri", &queue::<PerCpu>(true));
    let (bh, item) = (wq::bh(), softirq());
    kit.samples(GROUP, "start-bh", || {
        let begin = count();
        let _queued = bh.queue(item);
        item.done.wait(cx);
        item.at.load(Ordering::Relaxed).wrapping_sub(begin)
    });
    kit.samples(GROUP, "start-bh-off", || {
        let off = bh_disable();
        let begin = count();
        let _queued = bh.queue(item);
        drop(off);
        item.done.wait(cx);
        item.at.load(Ordering::Relaxed).wrapping_sub(begin)
    });
    let _over = item.flush(cx);
}

fn queue<K: Kind<Context = Threaded>>(highpri: bool) -> Workqueue<K> {
    let b = Workqueue::<K>::builder("bench");
    let b = if highpri { b.highpri() } else { b };
    b.build().expect("memory for a queue")
}

fn start<K: Kind<Context = Threaded>>(
    cx: &ThreadCx<'_>,
    kit: &mut Kit,
    name: &str,
    wq: &Workqueue<K>,
) {
    let item = threaded();
    kit.samples(GROUP, name, || {
        let begin = count();
        let _queued = wq.queue(item);
        item.done.wait(cx);
        item.at.load(Ordering::Relaxed).wrapping_sub(begin)
    });
    let _over = item.flush(cx);
}
