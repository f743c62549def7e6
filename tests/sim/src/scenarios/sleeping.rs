//! Sleeping locks, completions, semaphores, wait queues: exclusion, no lost wake-up, honest timeouts.

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::mutex::Mutex;
use kernel::semaphore::Semaphore;
use kernel::thread::{ThreadCx, sleep};
use kernel::wait::WaitQueue;
use kernel::wq::{self, Run, Submitted};
use machine::now;
use sim::Scenario;

use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, join, new_item, one_in, pick, some_core, us,
};

/// Scenarios of sleeping primitives.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("mutex", 3, mutex)
        .about("a read and a write torn apart by a sleep are one step under a mutex")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("mutex-with-timeouts", 3, mutex_timeouts)
        .about("a timed lock holds or gives up, not before its time; none is lost")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("table-of-philosophers", 3, philosophers)
        .about("threads and work items that take two mutexes in order all get to eat (E2)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("completions-with-timeouts", 3, completions)
        .about("each completion lets one waiter through, also when others give up meanwhile")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("semaphore-with-timeouts", 3, semaphore)
        .about("never more inside than there are units; units of those who gave up come back")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("bounded-buffer", 3, bounded_buffer)
        .about("producers and consumers on two wait queues: nothing lost, nothing twice")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("wake-storm", 4, wake_storm)
        .about("twelve waiters are all woken, gate after gate")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("one-wake-up-each", 3, one_wakeup_each)
        .about("wake_one wakes somebody who waits, also beside timeouts and conditions come true")
        .cpus_range(1, 8)
        .endures(HARDY),
];

fn mutex(cx: &ThreadCx<'_>) {
    let count = Arc::new(Mutex::new(0));
    let threads = {
        let count = Arc::clone(&count);
        crowd(cpus() + 3, move |cx, _| {
            for _ in 0..8 {
                let mut guard = match one_in(4).then(|| count.try_lock(cx)).flatten() {
                    Some(guard) => guard.expect("nobody panics"),
                    None => count.lock(cx).expect("nobody panics"),
                };
                let seen = *guard;
                dawdle(cx);
                *guard = seen + 1;
            }
        })
    };
    join(cx, &threads);
    assert_eq!(*count.lock(cx).expect("nobody panics"), 8 * threads.len());
}

fn mutex_timeouts(cx: &ThreadCx<'_>) {
    let lock = Arc::new(Mutex::new(0));
    let taken = Arc::new(Count::default());
    let threads = {
        let (lock, taken) = (Arc::clone(&lock), Arc::clone(&taken));
        crowd(cpus() + 3, move |cx, _| {
            for _ in 0..8 {
                let (patience, begin) = (us(pick(25) as u64), now());
                match lock.lock_timeout(cx, patience) {
                    Ok(guard) => {
                        let mut guard = guard.expect("nobody panics");
                        let seen = *guard;
                        taken.up();
                        dawdle(cx);
                        *guard = seen + 1;
                    }
                    Err(_) => assert!(now().since(begin) >= patience, "gave up too early"),
                }
            }
        })
    };
    join(cx, &threads);
    // Free again, although waiters gave up while it was handed on.
    assert_eq!(*lock.lock(cx).expect("nobody panics"), taken.get());
}

fn philosophers(cx: &ThreadCx<'_>) {
    type Table = Arc<Vec<Mutex<usize>>>;
    fn eat(cx: &ThreadCx<'_>, table: &Table, seat: usize) {
        let (a, b) = (seat % table.len(), (seat + 1) % table.len());
        let mut left = table[a.min(b)].lock(cx).expect("nobody panics");
        dawdle(cx);
        let mut right = table[a.max(b)].lock(cx).expect("nobody panics");
        (*left, *right) = (*left + 1, *right + 1);
        dawdle(cx);
        // Not in the opposite order, to make it harder for the list of held mutexes.
        drop(left);
        drop(right);
    }
    fn guest(cx: &ThreadCx<'_>, run: &Run<'_, (Table, usize)>) {
        eat(cx, &run.0, run.1);
    }
    let table: Table = Arc::new((0..4).map(|_| Mutex::new(0)).collect());
    let threads = {
        let table = Arc::clone(&table);
        crowd(4, move |cx, seat| {
            (0..4).for_each(|_| eat(cx, &table, seat))
        })
    };
    for i in 0..12 {
        let item = new_item((Arc::clone(&table), i), guest);
        assert_eq!(wq::percpu().queue_on(some_core(), &item), Submitted::Queued);
    }
    join(cx, &threads);
    wq::percpu().flush(cx).expect("not one of its items");
    let eaten = |m: &Mutex<usize>| *m.lock(cx).expect("nobody panics");
    assert_eq!(table.iter().map(eaten).sum::<usize>(), 2 * (16 + 12));
}

fn completions(cx: &ThreadCx<'_>) {
    const EACH: usize = 6;
    let done = Arc::new(Completion::new());
    let through = Arc::new(Count::default());
    let waiters = {
        let (done, through) = (Arc::clone(&done), Arc::clone(&through));
        crowd(cpus() + 3, move |cx, i| {
            for _ in 0..EACH {
                if i % 2 == 0 {
                    done.wait(cx);
                } else {
                    while done.wait_timeout(cx, us(pick(20) as u64)).is_err() {}
                }
                through.up();
            }
        })
    };
    for given in 0..EACH * waiters.len() {
        assert!(through.get() <= given, "one went through for nothing");
        dawdle(cx);
        done.complete();
    }
    join(cx, &waiters);
    assert!(done.wait_timeout(cx, us(1)).is_err(), "one is left over");
}

fn semaphore(cx: &ThreadCx<'_>) {
    const UNITS: usize = 3;
    let units = Arc::new(Semaphore::new(UNITS));
    let inside = Arc::new(Count::default());
    let threads = {
        let units = Arc::clone(&units);
        crowd(cpus() + 5, move |cx, _| {
            for _ in 0..8 {
                match pick(3) {
                    0 => units.down(cx),
                    1 if units.try_down() => {}
                    _ => {
                        let (patience, begin) = (us(pick(15) as u64), now());
                        if units.down_timeout(cx, patience).is_err() {
                            assert!(now().since(begin) >= patience, "gave up too early");
                            continue;
                        }
                    }
                }
                assert!(inside.up() < UNITS, "too many inside");
                dawdle(cx);
                inside.down();
                units.up();
            }
        })
    };
    join(cx, &threads);
    assert_eq!(units.free(), UNITS, "units were lost or made");
}

fn bounded_buffer(cx: &ThreadCx<'_>) {
    const ROOM: usize = 3;
    const EACH: usize = 12;
    #[derive(Default)]
    struct Buffer {
        full: Count,
        room: WaitQueue,
        goods: WaitQueue,
    }
    impl Buffer {
        /// Moves one thing in or out if `from` and the bounds allow it.
        fn change(&self, put: bool) -> bool {
            let n = self.full.get();
            let ok = if put { n < ROOM } else { n > 0 };
            if ok {
                self.full.set(if put { n + 1 } else { n - 1 });
            }
            ok
        }
    }
    let buffer = Arc::new(Buffer::default());
    let pairs = cpus() + 1;
    let threads = {
        let buffer = Arc::clone(&buffer);
        crowd(2 * pairs, move |cx, i| {
            let put = i % 2 == 0;
            let (mine, theirs) = if put {
                (&buffer.room, &buffer.goods)
            } else {
                (&buffer.goods, &buffer.room)
            };
            for _ in 0..EACH {
                if one_in(2) {
                    mine.wait_until(cx, || buffer.change(put));
                } else {
                    while mine
                        .wait_timeout(cx, us(pick(30) as u64), || buffer.change(put))
                        .is_err()
                    {}
                }
                assert!(buffer.full.get() <= ROOM);
                theirs.wake_one();
                if one_in(3) {
                    dawdle(cx);
                }
            }
        })
    };
    join(cx, &threads);
    assert_eq!(buffer.full.get(), 0);
    assert!(buffer.room.is_empty() && buffer.goods.is_empty());
}

fn wake_storm(cx: &ThreadCx<'_>) {
    const WAITERS: usize = 12;
    let gates: Arc<Vec<Completion>> = Arc::new((0..4).map(|_| Completion::new()).collect());
    let arrived = Arc::new(Semaphore::new(0));
    let threads = {
        let (gates, arrived) = (Arc::clone(&gates), Arc::clone(&arrived));
        crowd(WAITERS, move |cx, _| {
            for gate in gates.iter() {
                arrived.up();
                gate.wait(cx);
            }
        })
    };
    for gate in gates.iter() {
        (0..WAITERS).for_each(|_| arrived.down(cx));
        dawdle(cx);
        gate.complete_all();
    }
    join(cx, &threads);
}

fn one_wakeup_each(cx: &ThreadCx<'_>) {
    #[derive(Default)]
    struct Tickets {
        free: Count,
        served: Count,
        queue: WaitQueue,
    }
    fn take(t: &Tickets) -> bool {
        let any = t.free.get() > 0;
        if any {
            t.free.down();
        }
        any
    }
    fn come(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Tickets>>) {
        run.queue.wait_until(cx, || take(run));
        run.served.up();
    }
    let tickets = Arc::new(Tickets::default());
    let n = 8 + 4 * cpus();
    let items: Vec<_> = (0..n)
        .map(|_| new_item(Arc::clone(&tickets), come))
        .collect();
    for (i, item) in items.iter().enumerate() {
        assert_eq!(wq::percpu().queue_on(core(i), item), Submitted::Queued);
    }
    for _ in 0..n {
        dawdle(cx);
        tickets.free.up();
        // Nobody there yet is no loss: who comes later looks before it waits.
        tickets.queue.wake_one();
    }
    wq::percpu().flush(cx).expect("not one of its items");
    assert_eq!((tickets.served.get(), tickets.free.get()), (n, 0));
    sleep(cx, us(1));
    assert!(tickets.queue.is_empty());
}
