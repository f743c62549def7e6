//! What the watchdog tells about who waits for whom.

use std::any::type_name;
use std::sync::{Arc, OnceLock};

use kernel::completion::Completion;
use kernel::mutex::Mutex;
use kernel::semaphore::Semaphore;
use kernel::thread::{Builder, ThreadCx, ThreadRef, current, park, sleep};
use kernel::wait::WaitQueue;
use kernel::wq::{
    self, Ordered, PerCpu, Run, StallKind, Submitted, Task, Unbound, Work, Workqueue,
};
use machine::Duration;

use super::LIMIT;
use crate::kit::{Count, dawdle, insist, new_item, pick, some_core, until, us};

/// Who has which thread, and what ends it all.
#[derive(Default)]
struct Stage {
    ids: [OnceLock<u32>; 3],
    end: Completion,
    over: Count,
    semaphore: OnceLock<Semaphore>,
    queue: WaitQueue,
}

impl Stage {
    fn here(&self, n: usize) {
        let new = self.ids[n].set(current().id());
        assert!(new.is_ok(), "played once");
    }

    fn id(&self, cx: &ThreadCx<'_>, n: usize) -> u32 {
        until(cx, || self.ids[n].get().is_some());
        self.ids[n].get().copied().expect("just seen")
    }
}

/// An item that waits for another.
struct Waiter {
    stage: Arc<Stage>,
    target: Target,
}

enum Target {
    Last(Arc<Work<Last>>),
    Mutex(Arc<Mutex<()>>),
}

fn wait_for_target(cx: &ThreadCx<'_>, run: &Run<'_, Waiter>) {
    run.stage.here(0);
    dawdle(cx);
    match &run.target {
        Target::Last(item) => {
            item.flush(cx).expect("no circle");
        }
        Target::Mutex(m) => drop(m.lock(cx).expect("no circle")),
    }
}

/// An item that waits for somebody whom no graph knows.
struct Last {
    stage: Arc<Stage>,
    in_what: usize,
    thread: ThreadRef,
}

/// What [`sleep_in`] is told as.
const ENDS: [&str; 5] = [
    "waits for a completion",
    "waits for a semaphore",
    "waits in a wait queue",
    "waits for a thread to end",
    "waits for the end of a scope",
];

fn sleep_in(cx: &ThreadCx<'_>, run: &Run<'_, Last>) {
    run.stage.here(1);
    dawdle(cx);
    match run.in_what {
        0 => run.stage.end.wait(cx),
        1 => run
            .stage
            .semaphore
            .get_or_init(|| Semaphore::new(0))
            .down(cx),
        2 => run.stage.queue.wait_until(cx, || run.stage.over.get() > 0),
        3 => run.thread.join(cx),
        _ => {
            let stage = &*run.stage;
            let mut task = Task::new(|cx: &ThreadCx<'_>| stage.end.wait(cx));
            let spawned = wq::unbound().scope(cx, |s| s.spawn(&mut task).is_ok());
            assert_eq!(spawned, Ok(true));
        }
    }
}

/// An item that is queued behind one that has the only slot.
struct Behind;

/// Everybody may go.
fn end(stage: &Stage, thread: &ThreadRef) {
    stage.over.up();
    stage.end.complete_all();
    stage.semaphore.get_or_init(|| Semaphore::new(0)).up();
    stage.queue.wake_all();
    thread.unpark();
}

/// The chain of the stall of this kind that a queue of this name has.
fn chain(cx: &ThreadCx<'_>, kind: StallKind, queue: &str) -> String {
    let found = || {
        let mut all = wq::last_stalls().into_iter();
        let stall = all.find(|s| s.kind == kind && s.queue == queue);
        stall.and_then(|s| s.chain())
    };
    for _ in 0..20_000 {
        if let Some(text) = found() {
            return text.as_str().to_owned();
        }
        sleep(cx, us(50));
    }
    panic!("never told: {:?}", wq::last_stalls());
}

fn parked() -> ThreadRef {
    insist(|| Builder::new("parked").spawn(park))
}

pub(super) fn told(cx: &ThreadCx<'_>) {
    let (waiter, last) = (type_name::<Waiter>(), type_name::<Last>());
    let upper = insist(|| Workqueue::<Unbound>::builder("upper").build());
    let second = insist(|| Workqueue::<Unbound>::builder("second").build());
    let third = insist(|| Workqueue::<PerCpu>::builder("third").build());
    let lower = insist(|| Workqueue::<PerCpu>::builder("lower").build());
    let narrow = insist(|| Workqueue::<Ordered>::builder("narrow").build());
    let new_last = |stage: &Arc<Stage>, in_what, thread: &ThreadRef| {
        let stage = Arc::clone(stage);
        let thread = ThreadRef::clone(thread);
        new_item(
            Last {
                stage,
                in_what,
                thread,
            },
            sleep_in,
        )
    };

    // An item waits for another, which sleeps in any of those that are in no graph.
    let in_what = pick(ENDS.len());
    let (stage, thread) = (Arc::new(Stage::default()), parked());
    let low = new_last(&stage, in_what, &thread);
    assert_eq!(lower.queue_on(some_core(), &low), Submitted::Queued);
    let b = stage.id(cx, 1);
    wq::set_watchdog(LIMIT);
    let target = Target::Last(Arc::clone(&low));
    let high = new_item(
        Waiter {
            stage: Arc::clone(&stage),
            target,
        },
        wait_for_target,
    );
    assert_eq!(upper.queue(&high), Submitted::Queued);
    let a = stage.id(cx, 0);
    let ends = format!(
        "item {last} (queue lower, thread {b}), which {}",
        ENDS[in_what]
    );
    assert_eq!(
        chain(cx, StallKind::Item, "upper"),
        format!("item {waiter} (queue upper, thread {a}) waits for item {last}, run by {ends}")
    );
    wq::set_watchdog(Duration::ZERO);
    end(&stage, &thread);
    upper.flush(cx).expect("not one of its items");
    lower.flush(cx).expect("not one of its items");

    // An item waits for a mutex whose holder sleeps.
    let (stage, thread) = (Arc::new(Stage::default()), parked());
    let mutex = Arc::new(Mutex::new(()));
    let owner = {
        let (stage, mutex) = (Arc::clone(&stage), Arc::clone(&mutex));
        let body = move |cx: &ThreadCx<'_>| {
            let _held = mutex.lock(cx).expect("it is free");
            stage.here(2);
            stage.semaphore.get_or_init(|| Semaphore::new(0)).down(cx);
        };
        let builder = Builder::new("owner");
        builder.spawn(body).expect("memory for a thread")
    };
    let o = stage.id(cx, 2);
    let target = Target::Mutex(Arc::clone(&mutex));
    let high = new_item(
        Waiter {
            stage: Arc::clone(&stage),
            target,
        },
        wait_for_target,
    );
    wq::set_watchdog(LIMIT);
    assert_eq!(second.queue(&high), Submitted::Queued);
    let a = stage.id(cx, 0);
    assert_eq!(
        chain(cx, StallKind::Item, "second"),
        format!(
            "item {waiter} (queue second, thread {a}) waits for a mutex held by \
             thread {o} (owner), which waits for a semaphore"
        )
    );
    wq::set_watchdog(Duration::ZERO);
    end(&stage, &thread);
    owner.join(cx);
    second.flush(cx).expect("not one of its items");

    // An item waits for one without a slot; that is had by one which waits for a mutex.
    let (stage, thread) = (Arc::new(Stage::default()), parked());
    let low = new_last(&stage, 0, &thread);
    let mutex = Arc::new(Mutex::new(()));
    let held = mutex.lock(cx).expect("it is free");
    let me = current().id();
    let target = Target::Mutex(Arc::clone(&mutex));
    let holder = new_item(
        Waiter {
            stage: Arc::clone(&stage),
            target,
        },
        wait_for_target,
    );
    assert_eq!(narrow.queue(&holder), Submitted::Queued);
    let a = stage.id(cx, 0);
    let behind = new_item(Behind, |_: &ThreadCx<'_>, _: &Run<'_, Behind>| ());
    assert_eq!(narrow.queue(&behind), Submitted::Queued);
    wq::set_watchdog(LIMIT);
    let slot = chain(cx, StallKind::Slots, "narrow");
    let had = format!("item {waiter} (queue narrow, thread {a})");
    let of_mutex = "waits for a mutex held by thread";
    let prefix = format!(
        "items of queue narrow wait for a slot that is held by {had}, which {of_mutex} {me} ("
    );
    assert!(
        slot.starts_with(&prefix),
        "{slot} does not begin with {prefix}"
    );
    wq::set_watchdog(Duration::ZERO);
    let flushes = {
        let (stage, behind) = (Arc::clone(&stage), Arc::clone(&behind));
        new_item(
            (stage, behind),
            |cx: &ThreadCx<'_>, run: &Run<'_, (Arc<Stage>, Arc<Work<Behind>>)>| {
                run.0.here(1);
                run.1.flush(cx).expect("no circle");
            },
        )
    };
    wq::set_watchdog(LIMIT);
    assert_eq!(third.queue_on(some_core(), &flushes), Submitted::Queued);
    let f = stage.id(cx, 1);
    let text = chain(cx, StallKind::Item, "third");
    let name = type_name::<(Arc<Stage>, Arc<Work<Behind>>)>();
    let expected = format!(
        "item {name} (queue third, thread {f}) waits for item {}, which waits for a slot that is held by \
         {had}, which {of_mutex} {me} (",
        type_name::<Behind>()
    );
    assert!(
        text.starts_with(&expected),
        "{text} does not begin with {expected}"
    );
    wq::set_watchdog(Duration::ZERO);
    drop(held);
    drop(low);
    end(&stage, &thread);
    for q in [upper, second] {
        q.destroy(cx).expect("not one of its items");
    }
    for q in [lower, third] {
        q.destroy(cx).expect("not one of its items");
    }
    narrow.destroy(cx).expect("not one of its items");
}
