//! Panicking work items: one worker dies, nothing else notices but through errors.

use std::sync::Arc;

use kernel::mutex::{LockError, Mutex, Poisoned};
use kernel::thread::ThreadCx;
use kernel::wq::{self, PerCpu, Run, Submitted, Unbound, WaitError, Workqueue};
use sim::Scenario;

use crate::kit::{Count, HARDY, cpus, crowd, dawdle, insist, join, new_item, some_core};

/// Scenarios of panics.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("panics-under-load", 3, panics_under_load)
        .about("items that panic die alone: others run, flushes return, slots are freed (D2, E9)")
        .cpus_range(1, 4)
        .endures(HARDY),
    Scenario::new("poisoned-mutex", 3, poisoned_mutex)
        .about("a mutex whose holder panics is handed on, poisoned, to all who wait for it")
        .cpus_range(1, 4)
        .endures(HARDY),
    Scenario::new("poisoned-item", 2, poisoned_item)
        .about("an item that panicked refuses submissions until its poison is cleared (B4)")
        .cpus_range(1, 4)
        .endures(HARDY),
];

fn panics_under_load(cx: &ThreadCx<'_>) {
    type Job = (Arc<Count>, bool);
    fn work(cx: &ThreadCx<'_>, run: &Run<'_, Job>) {
        dawdle(cx);
        run.0.up();
        assert!(!run.1, "this one was meant to");
    }
    let runs = Arc::new(Count::default());
    let bound = insist(|| Workqueue::<PerCpu>::builder("bound").max_active(2).build());
    let free = insist(|| Workqueue::<Unbound>::builder("free").max_active(2).build());
    let users = {
        let (runs, bound, free) = (Arc::clone(&runs), bound.clone(), free.clone());
        crowd(cpus() + 1, move |cx, i| {
            for round in 0..8 {
                let bad = i < 2 && round == 3;
                let item = new_item((Arc::clone(&runs), bad), work);
                let done = if i % 2 == 0 {
                    bound.queue_on(some_core(), &item)
                } else {
                    free.queue(&item)
                };
                assert_eq!(done, Submitted::Queued);
                dawdle(cx);
                if bad {
                    assert_eq!(item.flush(cx), Err(WaitError::Poisoned));
                }
            }
        })
    };
    join(cx, &users);
    bound.destroy(cx).expect("not one of its items");
    free.destroy(cx).expect("not one of its items");
    assert_eq!(runs.get(), 8 * users.len());
}

fn poisoned_mutex(cx: &ThreadCx<'_>) {
    type Shared = Arc<Mutex<usize>>;
    fn die_holding(cx: &ThreadCx<'_>, run: &Run<'_, Shared>) {
        let mut guard = match run.lock(cx) {
            Ok(guard) | Err(LockError::Poisoned(Poisoned(guard))) => guard,
            Err(LockError::Deadlock(d)) => panic!("{d}"),
        };
        *guard += 1;
        dawdle(cx);
        panic!("while holding a mutex");
    }
    let shared: Shared = Arc::new(Mutex::new(0));
    let users = {
        let shared = Arc::clone(&shared);
        crowd(4, move |cx, _| {
            for _ in 0..8 {
                dawdle(cx);
                let mut guard = match shared.lock(cx) {
                    Ok(guard) | Err(LockError::Poisoned(Poisoned(guard))) => guard,
                    Err(LockError::Deadlock(d)) => panic!("{d}"),
                };
                *guard += 1;
                dawdle(cx);
            }
        })
    };
    for _ in 0..2 {
        let item = new_item(Arc::clone(&shared), die_holding);
        assert_eq!(wq::percpu().queue_on(some_core(), &item), Submitted::Queued);
        assert_eq!(item.flush(cx), Err(WaitError::Poisoned));
        assert!(shared.lock(cx).is_err(), "the mutex is not poisoned");
    }
    join(cx, &users);
    let Err(LockError::Poisoned(Poisoned(guard))) = shared.lock(cx) else {
        panic!("the poison is gone");
    };
    assert_eq!(*guard, 4 * 8 + 2);
}

fn poisoned_item(cx: &ThreadCx<'_>) {
    struct Moody {
        bad: Count,
        runs: Count,
    }
    fn work(cx: &ThreadCx<'_>, run: &Run<'_, Moody>) {
        dawdle(cx);
        run.runs.up();
        assert!(run.bad.take() == 0, "this one was meant to");
    }
    let (bad, runs) = (Count::default(), Count::default());
    let item = new_item(Moody { bad, runs }, work);
    let mut queued = 0;
    for round in 0..9 {
        item.bad.set(usize::from(round % 4 == 1));
        assert_eq!(wq::percpu().queue_on(some_core(), &item), Submitted::Queued);
        queued += 1;
        let waiters = {
            let item = Arc::clone(&item);
            crowd(3, move |cx, _| {
                dawdle(cx);
                let _ = item.flush(cx);
                let _ = item.cancel_sync(cx);
            })
        };
        join(cx, &waiters);
        if item.is_poisoned() {
            assert_eq!(item.flush(cx), Err(WaitError::Poisoned));
            assert_eq!(wq::percpu().queue(&item), Submitted::Poisoned);
            item.clear_poison();
        }
        // One of the waiters may have taken it off its list.
        assert!(item.runs.get() <= queued);
    }
    item.bad.set(0);
    assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
    assert_eq!(item.flush(cx).map(|_| ()), Ok(()));
}
