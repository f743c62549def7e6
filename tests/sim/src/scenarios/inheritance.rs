//! Priority inheritance: who waits lends nice value and slice to whoever it waits for (Beyond Linux 6).
//!
//! Each measures how long a thread of nice -20 waits for work of nice 19 beside computing threads of
//! nice 0, and how long it does where nobody knows whom it waits for (a completion): that is the control,
//! without which a wait would be short for another reason. They run on one core, where there is no other
//! way out, and endure no faults that take time away. That no loan is left, and none is wrong, is the
//! oracles' business (`lending`, `audit`).

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::hotplug;
use kernel::mutex::Mutex;
use kernel::thread::{Builder, Nice, ThreadCx, ThreadRef, current, sleep};
use kernel::wq::{Attrs, Ordered, PerCpu, Run, Unbound, Work, Workqueue};
use machine::{Duration, now};
use sim::{Kinds, Scenario};

use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, insist, join, ms, new_item, one_in, pick, until, us,
};

/// Scenarios of priority inheritance.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("loan-to-a-running-item", 1, flush_running)
        .about("a nice -20 flusher does not wait behind nice 0 for a nice 19 worker")
        .endures(Kinds::SPURIOUS),
    Scenario::new("loan-by-cancel-sync", 1, cancel_running)
        .about("a nice -20 thread that cancels and waits does not wait behind nice 0 for a nice 19 worker")
        .endures(Kinds::SPURIOUS),
    Scenario::new("loan-to-a-pool", 1, flush_queued)
        .about("what waits behind other items of its pool, or of its queue's slots, is pulled forward")
        .endures(Kinds::SPURIOUS),
    Scenario::new("loan-through-a-mutex", 1, lock_held)
        .about("the holder of a mutex has what its waiters have, and its successor what is left of that")
        .endures(Kinds::SPURIOUS),
    Scenario::new("loan-along-a-chain", 1, chain)
        .about("who waits for a mutex lends to the worker for whose item the holder waits")
        .endures(Kinds::SPURIOUS),
    Scenario::new("loan-taken-back", 1, taken_back)
        .about("a loan ends with the time that was given for the wait, and follows the waiter's nice value")
        .endures(Kinds::SPURIOUS),
    Scenario::new("loans-anywhere", 3, anywhere)
        .about("threads of all nice values that flush, cancel, lock and time out, while cores come and go, lend and get back what is right")
        .cpus_range(1, 4)
        .endures(HARDY),
];

/// How much work: at nice 19 beside two of nice 0 it takes a hundred times as long as it is.
const WORK: usize = 6_000;

fn nice(n: i8) -> Nice {
    Nice::new(n).expect("a nice level")
}

/// Computes, whoever else does.
fn labour(steps: usize) {
    (0..steps).for_each(|_| machine::sync_point());
}

pub(super) fn thread(
    name: &str,
    n: i8,
    body: impl Fn(&ThreadCx<'_>) + Send + Sync + 'static,
) -> ThreadRef {
    let body = Arc::new(body);
    insist(|| {
        let body = Arc::clone(&body);
        Builder::new(name)
            .nice(nice(n))
            .spawn(move |cx: &ThreadCx<'_>| body(cx))
    })
}

/// Runs `f` at nice -20 beside two computing threads of nice 0. How long it took.
fn beside_hogs(cx: &ThreadCx<'_>, f: impl FnOnce()) -> Duration {
    let stop = Arc::new(Count::default());
    let hogs = {
        let stop = Arc::clone(&stop);
        crowd(2, move |_, _| {
            while stop.get() == 0 {
                machine::sync_point();
            }
        })
    };
    current().set_nice(Nice::MIN);
    let begin = now();
    f();
    let took = now().since(begin);
    current().set_nice(Nice::ZERO);
    stop.up();
    join(cx, &hogs);
    took
}

/// The wait with loans is a small part of that without.
pub(super) fn assert_shorter(with: Duration, without: Duration) {
    assert!(
        with.as_nanos() * 8 < without.as_nanos(),
        "the wait took {with:?}, and {without:?} where nobody could lend"
    );
}

/// An unbound queue whose workers are of nice 19.
fn lowly(name: &str, max_active: u32) -> Workqueue<Unbound> {
    let mut attrs = Attrs::new();
    attrs.nice = 19;
    insist(|| {
        Workqueue::<Unbound>::builder(name)
            .attrs(attrs)
            .max_active(max_active)
            .build()
    })
}

/// What an item does: it says that it began, computes, and says that it is over.
#[derive(Default)]
struct Task {
    begun: Completion,
    over: Completion,
}

fn work(_: &ThreadCx<'_>, run: &Run<'_, Arc<Task>>) {
    run.begun.complete_all();
    labour(WORK);
    run.over.complete_all();
}

fn item() -> (Arc<Task>, Arc<Work<Arc<Task>>>) {
    let task = Arc::new(Task::default());
    (Arc::clone(&task), new_item(task, work))
}

/// Waits for an item that runs, in this way. How long that took.
fn wait_for_running(cx: &ThreadCx<'_>, how: impl FnOnce(&Task, &Arc<Work<Arc<Task>>>)) -> Duration {
    let queue = lowly("lowly", 4);
    let (task, item) = item();
    let _ = queue.queue(&item);
    task.begun.wait(cx);
    let took = beside_hogs(cx, || how(&task, &item));
    queue.destroy(cx).expect("the queue is not its own");
    took
}

fn flush_running(cx: &ThreadCx<'_>) {
    let without = wait_for_running(cx, |task, _| task.over.wait(cx));
    let with = wait_for_running(cx, |_, item| {
        item.flush(cx).expect("the item ends");
    });
    assert_shorter(with, without);
}

fn cancel_running(cx: &ThreadCx<'_>) {
    let without = wait_for_running(cx, |task, _| task.over.wait(cx));
    let with = wait_for_running(cx, |_, item| {
        item.cancel_sync(cx).expect("the item ends");
    });
    assert_shorter(with, without);
}

/// Queues three items and waits for the last one.
fn wait_for_queued(
    cx: &ThreadCx<'_>,
    max_active: u32,
    how: impl FnOnce(&Task, &Arc<Work<Arc<Task>>>),
) -> Duration {
    let queue = lowly("lowly", max_active);
    let items = [item(), item(), item()];
    let took = beside_hogs(cx, || {
        for (_, item) in &items {
            let _ = queue.queue(item);
        }
        how(&items[2].0, &items[2].1);
    });
    queue.destroy(cx).expect("the queue is not its own");
    took
}

fn flush_queued(cx: &ThreadCx<'_>) {
    let without = wait_for_queued(cx, 4, |task, _| task.over.wait(cx));
    for max_active in [4, 1] {
        let with = wait_for_queued(cx, max_active, |_, item| {
            item.flush(cx).expect("the item ends");
        });
        assert_shorter(with, without);
    }
}

fn lock_held(cx: &ThreadCx<'_>) {
    let wait = |lend: bool| {
        let (mutex, held) = (Arc::new(Mutex::new(())), Arc::new(Completion::new()));
        let over = Arc::new(Completion::new());
        let holder = {
            let (mutex, held, over) = (Arc::clone(&mutex), Arc::clone(&held), Arc::clone(&over));
            thread("holder", 19, move |cx| {
                let guard = mutex.lock(cx).expect("nobody dies");
                held.complete_all();
                labour(WORK);
                drop(guard);
                assert_eq!(current().effective_nice(), nice(19), "it has it back");
                over.complete_all();
            })
        };
        held.wait(cx);
        // Comes before the others, and hands on to them.
        let second = {
            let mutex = Arc::clone(&mutex);
            thread("second", 19, move |cx| {
                let guard = mutex.lock(cx).expect("nobody dies");
                labour(WORK / 2);
                drop(guard);
            })
        };
        until(cx, || second.state() == kernel::thread::State::Sleeping);
        let took = beside_hogs(cx, || {
            if lend {
                drop(mutex.lock(cx).expect("nobody dies"));
            } else {
                over.wait(cx);
            }
        });
        join(cx, &[holder, second]);
        took
    };
    let (without, with) = (wait(false), wait(true));
    assert_shorter(with, without);
}

/// A thread of nice 19 has a mutex, and flushes an item of nice 19.
fn chain(cx: &ThreadCx<'_>) {
    let wait = |lend: bool| {
        let queue = lowly("lowly", 4);
        let (task, item) = item();
        let _ = queue.queue(&item);
        task.begun.wait(cx);
        let mutex = Arc::new(Mutex::new(()));
        let middle = {
            let (mutex, item) = (Arc::clone(&mutex), Arc::clone(&item));
            thread("middle", 19, move |cx| {
                let _guard = mutex.lock(cx).expect("nobody dies");
                item.flush(cx).expect("the item ends");
            })
        };
        until(cx, || middle.state() == kernel::thread::State::Sleeping);
        let took = beside_hogs(cx, || {
            if lend {
                drop(mutex.lock(cx).expect("nobody dies"));
            } else {
                task.over.wait(cx);
            }
        });
        join(cx, &[middle]);
        queue.destroy(cx).expect("the queue is not its own");
        took
    };
    let (without, with) = (wait(false), wait(true));
    assert_shorter(with, without);
}

fn taken_back(cx: &ThreadCx<'_>) {
    let (mutex, held) = (Arc::new(Mutex::new(())), Arc::new(Completion::new()));
    let stop = Arc::new(Completion::new());
    let holder = {
        let (mutex, held, stop) = (Arc::clone(&mutex), Arc::clone(&held), Arc::clone(&stop));
        thread("holder", 19, move |cx| {
            let _guard = mutex.lock(cx).expect("nobody dies");
            held.complete_all();
            stop.wait(cx);
        })
    };
    held.wait(cx);
    let waiter = |n: i8, time: Duration| {
        let mutex = Arc::clone(&mutex);
        thread("waiter", n, move |cx| {
            assert!(mutex.lock_timeout(cx, time).is_err(), "it is held");
        })
    };
    let has = |n: i8| {
        until(cx, || holder.effective_nice() == nice(n));
        assert_eq!(holder.nice(), nice(19));
    };
    let (weak, strong) = (waiter(5, ms(40)), waiter(-20, ms(10)));
    has(-20);
    strong.set_nice(nice(-3));
    assert_eq!(holder.effective_nice(), nice(-3), "it follows");
    strong.set_nice(nice(10));
    assert_eq!(
        holder.effective_nice(),
        nice(5),
        "the other one is stronger"
    );
    holder.set_nice(nice(0));
    assert_eq!(holder.effective_nice(), nice(0), "its own is stronger");
    holder.set_nice(nice(19));
    strong.join(cx);
    assert_eq!(holder.effective_nice(), nice(5));
    weak.join(cx);
    assert_eq!(holder.effective_nice(), nice(19));
    stop.complete_all();
    holder.join(cx);
}

type Mutexes = Arc<[Mutex<()>; 2]>;

fn locking(cx: &ThreadCx<'_>, run: &Run<'_, Mutexes>) {
    dawdle(cx);
    if one_in(3) {
        let guard = run[pick(2)].lock_timeout(cx, us(200));
        dawdle(cx);
        drop(guard);
    }
}

/// Everything at once; the oracles judge.
fn anywhere(cx: &ThreadCx<'_>) {
    let queues = Arc::new((
        insist(|| Workqueue::<PerCpu>::builder("bound").max_active(2).build()),
        lowly("free", 2),
        insist(|| Workqueue::<Ordered>::builder("line").build()),
    ));
    let mutexes: Mutexes = Arc::new([const { Mutex::new(()) }; 2]);
    let items: Arc<Vec<_>> = {
        Arc::new(
            (0..5)
                .map(|_| new_item(Arc::clone(&mutexes), locking))
                .collect(),
        )
    };
    let shared = Arc::clone(&queues);
    let threads = crowd(4, move |cx, _| {
        let queues = &shared;
        for _ in 0..6 {
            current().set_nice(nice(pick(40) as i8 - 20));
            let item = &items[pick(items.len())];
            match pick(3) {
                0 => _ = queues.0.queue(item),
                1 => _ = queues.1.queue(item),
                _ => _ = queues.2.queue(item),
            }
            match pick(5) {
                0 => {
                    let _ = item.flush(cx);
                }
                1 => {
                    let _ = item.cancel_sync(cx);
                }
                2 => queues.2.flush(cx).expect("not from an item"),
                3 => {
                    let guard = mutexes[pick(2)].lock(cx);
                    dawdle(cx);
                    // With a mutex in hand: a chain.
                    let _ = item.flush(cx);
                    drop(guard);
                }
                _ => drop(mutexes[pick(2)].lock_timeout(cx, us(pick(60) as u64))),
            }
        }
    });
    if cpus() > 1 && one_in(2) {
        let id = core(cpus() - 1);
        if hotplug::offline(cx, id).is_ok() {
            sleep(cx, us(pick(200) as u64));
            insist(|| hotplug::online(cx, id));
        }
    }
    join(cx, &threads);
    let queues = Arc::into_inner(queues).expect("all threads have ended");
    queues.0.destroy(cx).expect("not from an item");
    queues.1.destroy(cx).expect("not from an item");
    queues.2.destroy(cx).expect("not from an item");
}
