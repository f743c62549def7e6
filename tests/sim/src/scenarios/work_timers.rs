//! Delayed items: timers that own items, and everybody who takes them away (I8, J8-J10).

use std::sync::Arc;

use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, DelayedWork, Run, Submitted, Work};
use machine::{Duration, now};
use sim::{Kinds, Scenario};

use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, here, join, new_delayed, new_item, one_in, pick,
    some_core, until, us,
};

/// Scenarios of delayed items.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("delayed-storm", 3, delayed_storm)
        .about(
            "submissions with a delay are runs plus cancellations, and never run early (J8, J10)",
        )
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("moved-deadlines", 3, moved_deadlines)
        .about("an item that everybody puts off runs once, after the last deadline (J9)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("armed-item", 2, armed)
        .about("disable, cancel and flush reach an item whose timer is armed (I8, J10)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("interrupted-timer", 3, interrupted)
        .about("interrupts cancel a delayed item while its timer fires (B3, J10)")
        .cpus_range(1, 4)
        .endures(HARDY),
    Scenario::new("delayed-on-its-core", 4, on_its_core)
        .about("a delayed item runs on the core it was meant for last, not where its timer fires (J8, J9)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("flushed-early", 3, flushed_early)
        .about("flush of an armed item brings its run forward and waits for it (I8)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("periodic-item", 3, periodic)
        .about("a delayed item sets its own timer again, until a cancel ends it (J2, J8, J10)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("exact-delay", 2, exact)
        .about("a delayed item starts within 100 us of its time on idle cores (J8, J9)")
        .cpus_range(1, 4)
        .endures(Kinds::SPURIOUS),
];

#[derive(Default)]
struct Ledger {
    /// Nothing may run before this, in nanoseconds.
    earliest: Count,
    runs: Count,
    queued: Count,
    cancelled: Count,
    /// Interrupts asked for and over.
    called: Count,
    answered: Count,
}

fn note_run(cx: &ThreadCx<'_>, run: &Run<'_, Ledger>) {
    assert!(now().as_nanos() as usize >= run.earliest.get(), "too early");
    run.runs.up();
    dawdle(cx);
}

fn delayed_storm(cx: &ThreadCx<'_>) {
    let item = new_delayed(Ledger::default(), note_run);
    let users = {
        let item = Arc::clone(&item);
        crowd(cpus() + 2, move |cx, _| {
            for _ in 0..10 {
                match pick(6) {
                    0 => item.cancelled.up_if(item.cancel()),
                    1 => {
                        let was = item.cancel_sync(cx).expect("no panic");
                        item.cancelled.up_if(was);
                    }
                    2 => {
                        item.cancelled.up_if(item.disable().expect("not so deep"));
                        let _ = item.enable();
                    }
                    3 => {
                        let _ = item.flush(cx).expect("no panic");
                    }
                    _ => {
                        let delay = us(pick(30) as u64);
                        let done = wq::percpu().queue_delayed_on(some_core(), &item, delay);
                        item.queued.up_if(done == Submitted::Queued);
                    }
                }
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    item.flush(cx).expect("no panic");
    assert!(!item.is_pending());
    assert_eq!(item.queued.get(), item.runs.get() + item.cancelled.get());
}

fn moved_deadlines(cx: &ThreadCx<'_>) {
    let item = new_delayed(Ledger::default(), note_run);
    // Far away, until nobody moves it any more.
    let far = Duration::from_secs(1);
    let movers = {
        let item = Arc::clone(&item);
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..12 {
                assert!(wq::percpu().mod_delayed(&item, far).is_pending());
                dawdle(cx);
            }
        })
    };
    join(cx, &movers);
    let earliest = now() + us(50);
    item.earliest.set(earliest.as_nanos() as usize);
    let last = wq::percpu().mod_delayed(&item, us(50));
    assert_eq!(
        last,
        Submitted::AlreadyPending(1),
        "it was pending all along"
    );
    until(cx, || item.runs.get() > 0);
    sleep(cx, far + far);
    assert_eq!(item.runs.get(), 1, "an old deadline came back");
}

fn armed(cx: &ThreadCx<'_>) {
    for _ in 0..6 {
        let item = new_delayed(Ledger::default(), note_run);
        let arm = || wq::percpu().queue_delayed_on(some_core(), &item, Duration::from_secs(600));
        let inside: &Work<Ledger> = &item;
        assert_eq!(arm(), Submitted::Queued);
        assert_eq!(item.disable_sync(cx), Ok(true));
        assert_eq!(arm(), Submitted::Disabled);
        assert!(item.enable());
        assert_eq!(arm(), Submitted::Queued);
        dawdle(cx);
        assert!(inside.cancel(), "the item inside is the item");
        assert_eq!(arm(), Submitted::Queued);
        dawdle(cx);
        assert_eq!(inside.disable(), Ok(true));
        assert!(inside.enable());
        assert_eq!(item.runs.get(), 0);
        assert_eq!(arm(), Submitted::Queued);
        assert_eq!(item.flush(cx), Ok(true));
        assert_eq!(item.runs.get(), 1);
        assert_eq!(item.flush(cx), Ok(false));
    }
}

fn periodic(cx: &ThreadCx<'_>) {
    const PERIOD: u64 = 20;
    fn tick(cx: &ThreadCx<'_>, run: &Run<'_, Ledger>) {
        note_run(cx, run);
        let earliest = now() + us(PERIOD);
        run.earliest.set(earliest.as_nanos() as usize);
        let item = run.delayed().expect("a delayed item");
        let done = wq::percpu().queue_delayed(item, us(PERIOD));
        assert!(done.is_pending() || done == Submitted::Disabled);
    }
    let plain = new_item(
        Count::default(),
        |_: &ThreadCx<'_>, run: &Run<'_, Count>| {
            run.up_if(run.delayed().is_none());
        },
    );
    assert_eq!(wq::percpu().queue(&plain), Submitted::Queued);
    plain.flush(cx).expect("no panic");
    assert_eq!(plain.get(), 1);

    let item = new_delayed(Ledger::default(), tick);
    for round in 1..4 {
        let before = item.runs.get();
        assert_eq!(wq::percpu().queue_delayed(&item, us(1)), Submitted::Queued);
        until(cx, || item.runs.get() >= before + 3);
        dawdle(cx);
        let _pending = item.cancel_sync(cx).expect("no panic");
        let runs = item.runs.get();
        sleep(cx, us(10 * PERIOD));
        assert_eq!(item.runs.get(), runs, "it goes on after round {round}");
        item.earliest.set(0);
    }
}

fn interrupted(cx: &ThreadCx<'_>) {
    type Item = DelayedWork<Ledger>;
    #[expect(unsafe_code, reason = "an interrupt is given an address")]
    fn cancel(item: usize) {
        let item = std::ptr::with_exposed_provenance::<Item>(item);
        // SAFETY: the scenario keeps the item until all interrupts are answered, which is said last.
        let item = unsafe { &*item };
        item.cancelled.up_if(item.cancel());
        item.answered.up();
    }
    let item = Arc::new(Item::new(Ledger::default(), note_run));
    let at = Arc::as_ptr(&item).expose_provenance();
    let cancellers = {
        let item = Arc::clone(&item);
        crowd(cpus(), move |cx, _| {
            for _ in 0..12 {
                for n in 0..cpus() {
                    // A full mailbox refuses: so much less to cancel.
                    let called = kernel::ipi::call_on(core(n), cancel, at);
                    item.called.up_if(called.is_ok());
                }
                dawdle(cx);
            }
        })
    };
    for _ in 0..20 {
        let done = wq::percpu().queue_delayed(&item, us(1 + pick(7) as u64));
        item.queued.up_if(done == Submitted::Queued);
        dawdle(cx);
    }
    join(cx, &cancellers);
    // An interrupt may still be on its way, however long its core is held up.
    until(cx, || item.answered.get() == item.called.get());
    item.flush(cx).expect("no panic");
    assert_eq!(item.queued.get(), item.runs.get() + item.cancelled.get());
}

fn on_its_core(cx: &ThreadCx<'_>) {
    struct Parcel {
        cpu: machine::CpuId,
        arrived: Arc<Count>,
    }
    fn arrive(_: &ThreadCx<'_>, run: &Run<'_, Parcel>) {
        assert_eq!(here(), run.cpu, "it runs where its timer fired");
        run.arrived.up();
    }
    let arrived = Arc::new(Count::default());
    let senders = {
        let arrived = Arc::clone(&arrived);
        crowd(cpus(), move |cx, _| {
            let parcels: Vec<_> = (0..6)
                .map(|_| {
                    let (cpu, arrived) = (some_core(), Arc::clone(&arrived));
                    new_delayed(Parcel { cpu, arrived }, arrive)
                })
                .collect();
            for p in &parcels {
                let delay = us(5 * pick(12) as u64);
                let hour = Duration::from_secs(3_600);
                let (done, moved) = match one_in(2) {
                    true => (wq::percpu().queue_delayed_on(p.cpu, p, delay), None),
                    false => (
                        wq::percpu().queue_delayed(p, hour),
                        Some(wq::percpu().mod_delayed_on(p.cpu, p, delay)),
                    ),
                };
                assert_eq!(done, Submitted::Queued);
                assert!(moved.is_none_or(|m| m == Submitted::AlreadyPending(1)));
                dawdle(cx);
            }
        })
    };
    join(cx, &senders);
    until(cx, || arrived.get() == 6 * senders.len());
}

fn flushed_early(cx: &ThreadCx<'_>) {
    let items: Arc<Vec<_>> = Arc::new(
        (0..4)
            .map(|_| new_delayed(Ledger::default(), note_run))
            .collect(),
    );
    let users = {
        let items = Arc::clone(&items);
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..6 {
                let item = &items[pick(4)];
                let runs = item.runs.get();
                let wq = if one_in(2) {
                    wq::percpu()
                } else {
                    wq::highpri()
                };
                let done = wq.queue_delayed(item, Duration::from_secs(600));
                item.queued.up_if(done == Submitted::Queued);
                let begin = now();
                item.flush(cx).expect("no panic");
                let took = now().since(begin);
                assert!(took < Duration::from_secs(300), "it waited for the timer");
                if done == Submitted::Queued {
                    assert!(item.runs.get() > runs, "flush returned before the run");
                }
            }
        })
    };
    join(cx, &users);
    for item in items.iter() {
        item.flush(cx).expect("no panic");
        assert_eq!(item.runs.get(), item.queued.get());
    }
}

fn exact(cx: &ThreadCx<'_>) {
    let item = new_delayed(
        Count::default(),
        |_: &ThreadCx<'_>, run: &Run<'_, Count>| run.set(now().as_nanos() as usize),
    );
    for round in 0..8 {
        item.set(0);
        let (first, last) = (us(400 + 40 * round), us(150 + pick(300) as u64));
        let wq = wq::percpu();
        assert_eq!(wq.queue_delayed(&item, first), Submitted::Queued);
        sleep(cx, us(pick(80) as u64));
        let begin = now();
        assert!(wq.mod_delayed(&item, last).is_pending());
        sleep(cx, last + us(200));
        let ran = item.get() as u64;
        let due = (begin + last).as_nanos();
        assert!(ran >= due, "round {round}: not run, or early");
        let late = ran - due;
        assert!(late < 100_000, "round {round}: {late} ns late");
    }
}
