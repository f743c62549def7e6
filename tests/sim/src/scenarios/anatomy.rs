//! Latency anatomy: where the time of items goes. That the parts of each are right is the oracle's
//! business; here are the lives that it shall see, and the sums.

use std::sync::Arc;

use kernel::thread::{ThreadCx, sleep, yield_now};
use kernel::wq::{
    self, Bh, Ordered, PerCpu, QueueLatency, Run, Submitted, Unbound, Work, Workqueue,
};
use machine::{Duration, now};
use sim::{Kinds, Scenario, refuse_threads};

use crate::kit::{
    Count, HARDY, burn, core, crowd, dawdle, insist, join, linger, ms, new_bh_item, new_delayed,
    new_item, one_in, pick, some_core, until, us,
};

/// Scenarios of the latency anatomy.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("anatomy-of-all-kinds", 2, all_kinds)
        .about("each item of each kind of queue is told in parts that add up, and none is left out (E17)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("anatomy-of-the-rescued", 1, rescued)
        .about("what a rescuer executes waited for its worker as long as that took (E17, H2)")
        .cpus_range(1, 4)
        .endures(HARDY),
    Scenario::new("anatomy-off-and-on", 2, off_and_on)
        .about("what was queued, waited or ran while the anatomy was off is left out, the rest told in full (E17)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("anatomy-by-hand", 1, by_hand)
        .about("the time an item computes, sleeps, waits for a slot and for its worker is told as such, and the slowest named (E17)")
        .endures(Kinds::NONE),
    Scenario::new("cpu-time-of-a-queue", 1, cpu_time)
        .about("the time that a queue's items compute is charged to it, and no time that they wait (E17, N4)")
        .endures(Kinds::NONE),
];

/// What is known of the queue called `name`.
fn latency(name: &str) -> QueueLatency {
    insist(|| {
        let mut found = None;
        let told = wq::for_each_latency(|q| {
            if q.name == name {
                found = Some(q);
            }
        });
        told.map_err(drop).and(found.ok_or(()))
    })
}

fn completed(name: &str) -> (u64, u64) {
    insist(|| {
        let mut found = Err(());
        wq::for_each_queue(|q| {
            if q.name == name {
                found = Ok((q.stats.completed, q.cpu_time_ns));
            }
        });
        found
    })
}

/// Everything that completed is told of.
fn whole(name: &str) {
    let told = latency(name);
    let (completed, cpu_time_ns) = completed(name);
    assert_eq!(told.items, completed, "{name}");
    if let Some(slowest) = told.slowest {
        assert_eq!(slowest.parts.total(), told.total.max, "{name}");
        assert!(slowest.parts.run <= cpu_time_ns, "{name}");
    }
}

/// What items do: they compute, sleep, and queue themselves again.
struct Restless {
    left: Count,
    done: Count,
}

impl Restless {
    fn new(times: usize) -> Self {
        Self {
            left: Count::new(times),
            done: Count::default(),
        }
    }

    /// One more time.
    fn again(&self) -> bool {
        let more = self.left.get() > 0;
        if more {
            self.left.down();
        }
        self.done.up();
        more
    }
}

type Item = Arc<Work<Restless>>;

fn all_kinds(cx: &ThreadCx<'_>) {
    let percpu = Arc::new(insist(|| {
        let builder = Workqueue::<PerCpu>::builder("percpu");
        builder.max_active(1 + pick(2) as u32).build()
    }));
    let unbound = Arc::new(insist(|| Workqueue::<Unbound>::builder("free").build()));
    let ordered = Arc::new(insist(|| Workqueue::<Ordered>::builder("row").build()));
    let bh = Arc::new(insist(|| Workqueue::<Bh>::builder("bh").build()));
    let heavy = Arc::new(insist(|| {
        Workqueue::<PerCpu>::builder("heavy")
            .cpu_intensive()
            .build()
    }));
    let queues = (&percpu, &unbound, &ordered, &bh, &heavy);
    let (a, b, c, d, e) = (
        Arc::clone(queues.0),
        Arc::clone(queues.1),
        Arc::clone(queues.2),
        Arc::clone(queues.3),
        Arc::clone(queues.4),
    );
    let threads = crowd(3, move |cx, _| {
        let visit = |cx: &ThreadCx<'_>, run: &Run<'_, Restless>| {
            if one_in(2) {
                dawdle(cx);
            }
            run.again();
        };
        let again = |cx: &ThreadCx<'_>, run: &Run<'_, (Restless, Arc<Workqueue<PerCpu>>)>| {
            if run.0.again() {
                // B5: its next life begins while this one goes on.
                let _pending = run.1.queue(run);
            }
            dawdle(cx);
        };
        for _ in 0..3 {
            let item: Item = new_item(Restless::new(0), visit);
            let delayed = new_delayed(Restless::new(0), visit);
            let mine = new_item((Restless::new(2), Arc::clone(&a)), again);
            let soft = new_bh_item(Restless::new(0), |_, run: &Run<'_, Restless, _>| {
                linger();
                run.again();
            });
            match pick(4) {
                0 => assert_eq!(a.queue_on(some_core(), &item), Submitted::Queued),
                1 => assert_eq!(b.queue(&item), Submitted::Queued),
                2 => assert_eq!(c.queue(&item), Submitted::Queued),
                _ => assert_eq!(e.queue(&item), Submitted::Queued),
            }
            assert_eq!(a.queue(&mine), Submitted::Queued);
            assert_eq!(d.queue(&soft), Submitted::Queued);
            let delay = us(pick(50) as u64);
            assert_eq!(b.queue_delayed(&delayed, delay), Submitted::Queued);
            if one_in(3) {
                item.cancel();
            }
            dawdle(cx);
            delayed.flush(cx).expect("no panic");
        }
    });
    // While they go on, the ordered queue moves, and the unbound one gets other pools.
    for nice in [5, -5] {
        let attrs = wq::Attrs {
            nice,
            ..wq::Attrs::default()
        };
        insist(|| ordered.apply_attrs(cx, attrs));
        insist(|| unbound.apply_attrs(cx, attrs));
    }
    join(cx, &threads);
    percpu.drain(cx).expect("not its item");
    unbound.flush(cx).expect("not its item");
    ordered.flush(cx).expect("not its item");
    heavy.flush(cx).expect("not its item");
    bh.flush(cx).expect("not its item");
    for name in ["percpu", "free", "row", "bh", "heavy"] {
        whole(name);
    }
    let soft = latency("bh");
    let none = wq::Summary::default();
    assert_eq!((soft.blocked, soft.preempted), (none, none));
    assert_eq!(latency("free").inactive, none);
    Workqueue::clone(&percpu).destroy(cx).expect("not its item");
    Workqueue::clone(&unbound)
        .destroy(cx)
        .expect("not its item");
    Workqueue::clone(&ordered)
        .destroy(cx)
        .expect("not its item");
    Workqueue::clone(&heavy).destroy(cx).expect("not its item");
    Workqueue::clone(&bh).destroy(cx).expect("not its item");
}

fn rescued(cx: &ThreadCx<'_>) {
    let wq = insist(|| {
        let builder = Workqueue::<PerCpu>::builder("rescued");
        builder.mem_reclaim().build()
    });
    let visit = |cx: &ThreadCx<'_>, run: &Run<'_, Restless>| {
        run.again();
        dawdle(cx);
    };
    // Busy workers sleep, and there are no others. On another queue: the rescuer must not have it.
    let gate = new_item(
        Count::default(),
        |cx: &ThreadCx<'_>, run: &Run<'_, Count>| {
            run.up();
            until(cx, || run.get() > 1);
        },
    );
    assert_eq!(wq::percpu().queue_on(core(0), &gate), Submitted::Queued);
    until(cx, || gate.get() == 1);
    refuse_threads(true);
    let items: Vec<Item> = (0..4).map(|_| new_item(Restless::new(0), visit)).collect();
    for item in &items {
        assert_eq!(wq.queue_on(core(0), item), Submitted::Queued);
    }
    until(cx, || items.iter().all(|i| i.done.get() == 1));
    refuse_threads(false);
    gate.up();
    gate.flush(cx).expect("no panic");
    wq.flush(cx).expect("not its item");
    whole("rescued");
    wq.destroy(cx).expect("not its item");
}

fn off_and_on(cx: &ThreadCx<'_>) {
    let began = now();
    let wq = insist(|| {
        let builder = Workqueue::<PerCpu>::builder("toggled");
        builder.max_active(2).build()
    });
    let visit = |cx: &ThreadCx<'_>, run: &Run<'_, Restless>| {
        run.again();
        dawdle(cx);
    };
    let mut on = true;
    for _ in 0..40 {
        let item: Item = new_item(Restless::new(0), visit);
        assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
        if one_in(3) {
            on = !on;
            wq::set_anatomy(on);
            assert_eq!(wq::anatomy(), on);
        }
        dawdle(cx);
    }
    wq::set_anatomy(true);
    wq.flush(cx).expect("not its item");
    let before = latency("toggled");
    let (done, _) = completed("toggled");
    assert_eq!(done, 40);
    assert!(before.items <= done);
    assert!(before.total.max <= now().since(began).as_nanos());
    // From here on all are told.
    for _ in 0..5 {
        let item: Item = new_item(Restless::new(0), visit);
        assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
    }
    wq.flush(cx).expect("not its item");
    assert_eq!(latency("toggled").items, before.items + 5);
    wq::set_anatomy(false);
    let item: Item = new_item(Restless::new(0), visit);
    assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
    wq.flush(cx).expect("not its item");
    assert_eq!(latency("toggled").items, before.items + 5);
    wq::set_anatomy(true);
    wq.destroy(cx).expect("not its item");
}

/// `ns` is what was meant, and what the scheduler and the handler need besides.
fn about(what: &str, ns: u64, meant: Duration) {
    let meant = meant.as_nanos();
    let most = meant + meant / 4 + 100_000;
    // A sleep begins a little after it was asked for.
    let least = meant.saturating_sub(20_000);
    assert!((least..most).contains(&ns), "{what}: {ns} ns, not {meant}");
}

/// What [`by_hand`] executes last.
struct Slow;

fn by_hand(cx: &ThreadCx<'_>) {
    type Next = (Arc<Workqueue<PerCpu>>, Arc<Work<Slow>>);
    let wq = Arc::new(insist(|| {
        let builder = Workqueue::<PerCpu>::builder("hand");
        builder.max_active(1).build()
    }));
    let second = new_item(Slow, |cx: &ThreadCx<'_>, _: &Run<'_, Slow>| {
        burn(ms(1));
        yield_now(cx);
    });
    let next = (Arc::clone(&wq), second);
    let first = new_item(next, |cx: &ThreadCx<'_>, run: &Run<'_, Next>| {
        assert_eq!(run.0.queue(&run.1), Submitted::Queued);
        burn(ms(2));
        sleep(cx, ms(3));
    });
    assert_eq!(wq.queue(&first), Submitted::Queued);
    // The one core is theirs.
    sleep(cx, ms(20));
    let told = latency("hand");
    assert_eq!(told.items, 2);
    about("inactive", told.inactive.max, ms(5));
    about("inactive of the first", told.inactive.p50, ms(0));
    about("pool", told.pool.max, ms(0));
    about("run", told.run.max, ms(2));
    about("blocked", told.blocked.max, ms(3));
    about("preempted", told.preempted.max, ms(0));
    about("total", told.total.max, ms(6));
    let slowest = told.slowest.expect("two were told of");
    assert_eq!(slowest.value, core::any::type_name::<Slow>());
    about("the slowest's run", slowest.parts.run, ms(1));
    about("the slowest's wait", slowest.parts.inactive, ms(5));
    assert_eq!(slowest.parts.total(), told.total.max);
    Workqueue::clone(&wq).destroy(cx).expect("not its item");
}

fn cpu_time(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<PerCpu>::builder("timed").build());
    for n in 1..6 {
        let item = new_item((), |cx: &ThreadCx<'_>, _| {
            burn(us(500));
            sleep(cx, ms(2));
            burn(us(500));
        });
        assert_eq!(wq.queue(&item), Submitted::Queued);
        item.flush(cx).expect("no panic");
        let (items, ns) = completed("timed");
        assert_eq!(items, n);
        about("CPU time", ns, ms(n));
    }
    wq.destroy(cx).expect("not its item");
}
