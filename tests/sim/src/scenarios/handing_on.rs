//! Loans to a pool: they are with the worker on which it depends that the next item starts, whatever becomes
//! of the one that was next before (Beyond Linux 6).
//!
//! Some measure a wait, as in [`super::inheritance`]; some look whom the loan is with at a moment at which
//! it can be with one worker only. That such a worker has work and would pass the loan on is also the audit's
//! business.

use std::sync::{Arc, OnceLock};

use kernel::completion::Completion;
use kernel::cpu::CpuMask;
use kernel::hotplug;
use kernel::mutex::Mutex;
use kernel::thread::{Builder, Nice, State, Thread, ThreadCx, ThreadRef, current, sleep};
use kernel::wq::{self, Attrs, Ordered, PerCpu, Run, Scope, Unbound, Work, Workqueue};
use machine::{Duration, now};
use sim::{Kinds, Scenario};

use super::hotplug::up;
use super::inheritance::{assert_shorter, thread};
use crate::kit::{Count, core, crowd, insist, join, ms, new_item, pick, until, us};

/// Scenarios of loans that are handed on.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("loan-leaves-an-idle-worker", 1, leaves_the_idle)
        .about("of two workers that run, the one that goes idle leaves what the pool is lent to the other (E6)")
        .endures(Kinds::SPURIOUS),
    Scenario::new("loan-leaves-a-lost-core", 2, leaves_a_lost_core)
        .about("when a core goes offline its pool is lent to whoever starts the next item, and not to who ran (M2)")
        .endures(Kinds::SPURIOUS),
    Scenario::new("loan-moves-with-its-queue", 1, moves_with_its_queue)
        .about("who waits for an item of an ordered queue that moves lends to the pool it comes to (D9)")
        .endures(Kinds::SPURIOUS),
    Scenario::new("loan-comes-with-a-slot", 2, comes_with_a_slot)
        .about("an item that gets its slot from another pool is started with what its waiters lend (D5)")
        .endures(Kinds::SPURIOUS),
    Scenario::new("loan-of-a-strange-slice", 1, strange_slices)
        .about("who asks for slices that nobody gets lends those that it gets itself (V8)")
        .endures(Kinds::SPURIOUS),
];

/// An item that waits and then computes, until it is let go.
#[derive(Default)]
struct Stage {
    worker: OnceLock<&'static Thread>,
    begun: Completion,
    awake: Completion,
    computes: Completion,
    over: Count,
}

impl Stage {
    fn item() -> (Arc<Self>, Arc<Work<Arc<Self>>>) {
        let stage = Arc::new(Self::default());
        let handler = |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Self>>| {
            let _first = run.worker.set(current());
            run.begun.complete_all();
            run.awake.wait(cx);
            run.computes.complete_all();
            while run.over.get() == 0 {
                machine::sync_point();
            }
        };
        (Arc::clone(&stage), new_item(stage, handler))
    }

    fn worker(&self) -> &'static Thread {
        self.worker.get().expect("it has begun")
    }

    fn is_lent_to(&self) -> bool {
        self.worker().effective_nice() == Nice::MIN
    }
}

type Brief = Arc<Work<Arc<Completion>>>;

/// A thread of nice -20 that waits for `item`, and does by the time this returns.
fn flusher(cx: &ThreadCx<'_>, item: &Brief) -> ThreadRef {
    let item = Arc::clone(item);
    let flusher = thread("flusher", -20, move |cx| {
        item.flush(cx).expect("the item ends");
    });
    until(cx, || flusher.state() == State::Sleeping);
    flusher
}

/// An item that says that it ran.
fn brief() -> (Arc<Completion>, Brief) {
    let over = Arc::new(Completion::new());
    let handler = |_: &ThreadCx<'_>, run: &Run<'_, Arc<Completion>>| run.complete_all();
    (Arc::clone(&over), new_item(over, handler))
}

fn bound() -> Workqueue<PerCpu> {
    // Nobody leaves concurrency management here.
    wq::set_cpu_intensive_threshold(Duration::ZERO);
    insist(|| Workqueue::<PerCpu>::builder("bound").build())
}

fn leaves_the_idle(cx: &ThreadCx<'_>) {
    let queue = bound();
    let (one, other) = (Stage::item(), Stage::item());
    // One blocks, so the other gets a worker; then both compute.
    for (stage, item) in [&one, &other] {
        let _ = queue.queue(item);
        stage.begun.wait(cx);
    }
    for (stage, _) in [&one, &other] {
        stage.awake.complete_all();
        stage.computes.wait(cx);
    }
    let (one, other) = (one.0, other.0);
    let last = brief().1;
    let _ = queue.queue(&last);
    let flusher = flusher(cx, &last);
    let (goes, stays) = if one.is_lent_to() {
        (one, other)
    } else {
        (other, one)
    };
    assert!(goes.is_lent_to() && !stays.is_lent_to(), "one has the loan");
    goes.over.up();
    until(cx, || goes.worker().state() == State::Sleeping);
    assert!(!goes.is_lent_to(), "it has nothing to do");
    assert!(stays.is_lent_to(), "the item waits for this one");
    stays.over.up();
    flusher.join(cx);
    assert!(!stays.is_lent_to());
    queue.destroy(cx).expect("the queue is not its own");
}

fn leaves_a_lost_core(cx: &ThreadCx<'_>) {
    let queue = bound();
    current().set_affinity(CpuMask::single(core(0)));
    let (runs, item) = Stage::item();
    let _ = queue.queue_on(core(1), &item);
    runs.begun.wait(cx);
    runs.awake.complete_all();
    runs.computes.wait(cx);
    let next = brief().1;
    let _ = queue.queue_on(core(1), &next);
    let flusher = flusher(cx, &next);
    assert!(runs.is_lent_to(), "the other item waits for it");
    let id = core(1);
    current().set_nice(Nice::MIN);
    insist(|| hotplug::offline(cx, id));
    assert!(!runs.is_lent_to(), "who starts the other item is not this");
    current().set_nice(Nice::ZERO);
    flusher.join(cx);
    up(cx, id);
    runs.over.up();
    queue.destroy(cx).expect("the queue is not its own");
}

/// An unbound or ordered queue's workers shall be of this nice value, each core's apart.
fn attrs(n: i8) -> Attrs {
    Attrs {
        nice: n,
        scope: Scope::Cpu,
        strict: true,
        ..Attrs::new()
    }
}

/// Beside so many computing threads on core `n`: lets the item in `holds` end, and waits for `item`, which cannot
/// start before, and starts on that core. How long that took; lending or not.
fn wait_behind(
    cx: &ThreadCx<'_>,
    lend: bool,
    (n, hogs): (usize, usize),
    holds: &Arc<Stage>,
    item: &Brief,
    over: &Arc<Completion>,
) -> Duration {
    let stop = Arc::new(Count::default());
    let hogs = {
        let stop = Arc::clone(&stop);
        crowd(hogs, move |_, _| {
            current().set_affinity(CpuMask::single(core(n)));
            while stop.get() == 0 {
                machine::sync_point();
            }
        })
    };
    holds.over.up();
    let end = Arc::new(Count::default());
    let waiter = {
        let (end, item, over) = (Arc::clone(&end), Arc::clone(item), Arc::clone(over));
        let body = Arc::new(move |cx: &ThreadCx<'_>| {
            if lend {
                item.flush(cx).expect("the item ends");
            } else {
                over.wait(cx);
            }
            end.set(now().as_nanos() as usize);
        });
        insist(|| {
            let body = Arc::clone(&body);
            // Its requests are short: who has those waits for the end of nobody's.
            let waiter = Builder::new("waiter").nice(Nice::MIN).slice(us(100));
            let waiter = waiter.affinity(CpuMask::single(core(0)));
            waiter.spawn(move |cx: &ThreadCx<'_>| body(cx))
        })
    };
    until(cx, || waiter.state() == State::Sleeping);
    let begin = now();
    holds.awake.complete_all();
    waiter.join(cx);
    stop.up();
    join(cx, &hogs);
    Duration::from_nanos(end.get() as u64 - begin.as_nanos())
}

fn moves_with_its_queue(cx: &ThreadCx<'_>) {
    let wait = |lend: bool| {
        let queue = insist(|| {
            Workqueue::<Ordered>::builder("line")
                .attrs(attrs(-20))
                .build()
        });
        let (first, (over, second)) = (Stage::item(), brief());
        let _ = queue.queue(&first.1);
        first.0.begun.wait(cx);
        let _ = queue.queue(&second);
        // Not before the first one is over, which nobody holds up.
        insist(|| queue.apply_attrs(cx, attrs(19)));
        let took = wait_behind(cx, lend, (0, 6), &first.0, &second, &over);
        queue.destroy(cx).expect("the queue is not its own");
        took
    };
    let (without, with) = (wait(false), wait(true));
    assert_shorter(with, without);
}

fn comes_with_a_slot(cx: &ThreadCx<'_>) {
    current().set_affinity(CpuMask::single(core(0)));
    let wait = |lend: bool| {
        let queue = insist(|| {
            Workqueue::<Unbound>::builder("few")
                .attrs(attrs(19))
                .max_active(1)
                .build()
        });
        // The first has the only slot, in the pool of core 0.
        let (first, (over, second)) = (Stage::item(), brief());
        let _ = queue.queue_on(core(0), &first.1);
        first.0.begun.wait(cx);
        let _ = queue.queue_on(core(1), &second);
        let took = wait_behind(cx, lend, (1, 8), &first.0, &second, &over);
        queue.destroy(cx).expect("the queue is not its own");
        took
    };
    let (without, with) = (wait(false), wait(true));
    assert_shorter(with, without);
}

fn strange_slices(cx: &ThreadCx<'_>) {
    let (mutex, held) = (Arc::new(Mutex::new(())), Arc::new(Completion::new()));
    let holder = {
        let (mutex, held) = (Arc::clone(&mutex), Arc::clone(&held));
        thread("holder", 0, move |cx| {
            let guard = mutex.lock(cx).expect("nobody dies");
            held.complete_all();
            sleep(cx, ms(2));
            drop(guard);
        })
    };
    held.wait(cx);
    let waiters = [0, 1, 99, 150, 3_000_000, 1 << 40].map(|asked| {
        let mutex = Arc::clone(&mutex);
        let slice = us(asked);
        insist(|| {
            let mutex = Arc::clone(&mutex);
            Builder::new("waiter")
                .slice(slice)
                .spawn(move |cx: &ThreadCx<'_>| {
                    let patience = us(pick(4_000) as u64);
                    drop(mutex.lock_timeout(cx, patience));
                })
        })
    });
    join(cx, &waiters);
    holder.join(cx);
}
