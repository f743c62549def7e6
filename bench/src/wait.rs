//! Group `work`: pending items, flushing, cancelling, delayed items, hand-over between workers.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use kernel::completion::Completion;
use kernel::thread::ThreadCx;
use kernel::wq::{DelayedWork, PerCpu, Run, Task, Work, Workqueue};
use machine::Duration;

use crate::kit::{Kit, count, for_ever, sample_over};

const GROUP: &str = "work";
/// Samples taken by one run of a handler, which stays far below what counts as a hog.
const BUNCH: usize = 500;

fn queue() -> Workqueue<PerCpu> {
    let b = Workqueue::builder("bench");
    b.build().expect("memory for a queue")
}

fn nothing() -> &'static Work<()> {
    for_ever(<Work<_>>::new((), |_, _| {}))
}

/// Runs all rows of the group's second part.
pub(crate) fn run(cx: &ThreadCx<'_>, kit: &mut Kit) {
    let wq = queue();
    pending(cx, kit, &wq);
    flushes(cx, kit, &wq);
    delayed(cx, kit, &wq);
    hand_over(cx, kit, &wq);
    wq.destroy(cx).expect("not one of its items");
}

/// Takes a sample inside a handler: the worker runs, so what it queues stays pending.
fn inside(
    cx: &ThreadCx<'_>,
    kit: &mut Kit,
    name: &str,
    wq: &Workqueue<PerCpu>,
    f: fn(&ThreadCx<'_>, &Workqueue<PerCpu>, &'static Work<()>) -> u32,
) {
    let item = nothing();
    kit.bunches(GROUP, name, BUNCH, |samples, room| {
        let mut bunch = Task::new(|cx: &ThreadCx<'_>| {
            for _ in 0..room {
                samples.push(f(cx, wq, item));
                sample_over();
            }
        });
        let queued = wq.scope(cx, |s| s.spawn(&mut bunch));
        queued.expect("not one of its items").expect("a new task");
    });
}

fn pending(cx: &ThreadCx<'_>, kit: &mut Kit, wq: &Workqueue<PerCpu>) {
    inside(cx, kit, "queue-running", wq, |_, wq, item| {
        let begin = count();
        let _queued = wq.queue(item);
        let end = count();
        item.cancel();
        end.wrapping_sub(begin)
    });
    inside(cx, kit, "queue-pending", wq, |_, wq, item| {
        let _queued = wq.queue(item);
        let begin = count();
        let _pending = wq.queue(item);
        let end = count();
        item.cancel();
        end.wrapping_sub(begin)
    });
    inside(cx, kit, "cancel", wq, |_, wq, item| {
        let _queued = wq.queue(item);
        let begin = count();
        item.cancel();
        count().wrapping_sub(begin)
    });
    inside(cx, kit, "cancel-sync", wq, |cx, wq, item| {
        let _queued = wq.queue(item);
        let begin = count();
        let _was = item.cancel_sync(cx);
        count().wrapping_sub(begin)
    });
}

fn flushes(cx: &ThreadCx<'_>, kit: &mut Kit, wq: &Workqueue<PerCpu>) {
    let item = nothing();
    kit.samples(GROUP, "queue-flush", || {
        let begin = count();
        let _queued = wq.queue(item);
        let _waited = item.flush(cx);
        count().wrapping_sub(begin)
    });
    kit.samples(GROUP, "flush-item-idle", || {
        let begin = count();
        let _waited = item.flush(cx);
        count().wrapping_sub(begin)
    });
    kit.samples(GROUP, "flush-queue-idle", || {
        let begin = count();
        let _flushed = wq.flush(cx);
        count().wrapping_sub(begin)
    });
}

fn delayed(cx: &ThreadCx<'_>, kit: &mut Kit, wq: &Workqueue<PerCpu>) {
    let later = Duration::from_secs(1_000);
    let item: &DelayedWork<()> = for_ever(DelayedWork::new((), |_, _| {}));
    kit.samples(GROUP, "delayed-arm", || {
        let begin = count();
        let _queued = wq.queue_delayed(item, later);
        let end = count();
        let _was = item.cancel_sync(cx);
        end.wrapping_sub(begin)
    });
    kit.samples(GROUP, "delayed-cancel-sync", || {
        let _queued = wq.queue_delayed(item, later);
        let begin = count();
        let _was = item.cancel_sync(cx);
        count().wrapping_sub(begin)
    });
    let _queued = wq.queue_delayed(item, later);
    kit.samples(GROUP, "delayed-mod", || {
        let begin = count();
        let _pending = wq.mod_delayed(item, later);
        count().wrapping_sub(begin)
    });
    let _was = item.cancel_sync(cx);
}

/// Of the two items of a hand-over.
#[derive(Default)]
struct Hand {
    slept: AtomicU32,
    began: AtomicU32,
    woken: AtomicU32,
    go_on: Completion,
    over: Completion,
}

type HandWork = &'static Work<Arc<Hand>>;

fn sleeper(hand: &Arc<Hand>) -> HandWork {
    let handler = |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Hand>>| {
        run.slept.store(count(), Ordering::Relaxed);
        run.go_on.wait(cx);
        run.woken.store(count(), Ordering::Relaxed);
        run.over.complete();
    };
    for_ever(<Work<_>>::new(Arc::clone(hand), handler))
}

/// A handler sleeps, and the next one starts; a completion, and the sleeping handler goes on.
fn hand_over(cx: &ThreadCx<'_>, kit: &mut Kit, wq: &Workqueue<PerCpu>) {
    let hand = Arc::new(Hand::default());
    let first = sleeper(&hand);
    let second: HandWork = for_ever(<Work<_>>::new(
        Arc::clone(&hand),
        |_, run: &Run<'_, Arc<Hand>>| {
            run.began.store(count(), Ordering::Relaxed);
            run.go_on.complete();
        },
    ));
    kit.samples(GROUP, "hand-off", || {
        let still = sync::preempt_disable();
        for item in [first, second] {
            let _queued = wq.queue(item);
        }
        drop(still);
        hand.over.wait(cx);
        let slept = hand.slept.load(Ordering::Relaxed);
        hand.began.load(Ordering::Relaxed).wrapping_sub(slept)
    });
    kit.samples(GROUP, "complete-resume", || {
        let _queued = wq.queue(first);
        // Until the handler sleeps.
        kernel::thread::sleep(cx, Duration::from_micros(100));
        let begin = count();
        hand.go_on.complete();
        hand.over.wait(cx);
        hand.woken.load(Ordering::Relaxed).wrapping_sub(begin)
    });
    wq.flush(cx).expect("not one of its items");
}
