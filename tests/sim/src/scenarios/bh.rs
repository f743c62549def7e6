//! Items in BH context (K rows, J3).

use std::sync::Arc;

use kernel::softirq::BhCx;
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, Bh, Run, Softirq, Submitted, Work, Workqueue};
use machine::{CpuId, now};
use sim::Scenario;

use crate::kit::{
    Count, HARDY, burn, core, cpus, crowd, dawdle, here, insist, join, linger, new_bh_item,
    new_delayed_bh, new_item, one_in, pick, some_core, until, us,
};

/// Scenarios of BH items.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("bh-order", 3, order)
        .about("BH items run in order, one at a time, on the core they were queued on (K2, K3, K4)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("bh-item-hammered", 3, hammered)
        .about("a BH item queued and cancelled by all cores never runs twice at once (B4, K6, S8)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("bh-cancels-bh", 3, cancel_from_bh)
        .about("BH items cancel others and spin until their runs are over (J3, K6, S8)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("bh-queues-threads", 3, hand_over)
        .about("BH items hand work to threads and threads hand it back, without loss (B4, K2, K3)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("bh-delayed", 3, delayed)
        .about("delayed BH items run on their core, not early, as often as accepted (J8, K2)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("bh-flushed-and-destroyed", 3, flushed_and_destroyed)
        .about("flush and destroy of BH queues wait for all their items (I1, I10, K2)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("bh-heavy-items", 2, heavy)
        .about("BH items of both priorities that compute for long all run, a thread among them (F6, K2, K4, S4, S11)")
        .cpus_range(1, 4)
        .endures(HARDY),
    Scenario::new("bh-many-urgent-ones", 2, many_urgent)
        .about("more urgent BH items than one batch: normal ones that were queued as early do not wait for all (K4, S1, S4)")
        .cpus_range(1, 4)
        .endures(HARDY),
];

fn order(cx: &ThreadCx<'_>) {
    struct Ticket {
        cpu: CpuId,
        nth: usize,
        cores: Arc<Vec<(Count, Count)>>,
    }
    fn stamp(_: &BhCx<'_>, run: &Run<'_, Ticket, Softirq>) {
        assert_eq!(here(), run.cpu, "it runs on another core");
        let (inside, next) = &run.cores[run.cpu.index()];
        assert_eq!(inside.up(), 0, "beside another one");
        assert_eq!(next.up(), run.nth, "out of order");
        linger();
        inside.down();
    }
    let cores: Arc<Vec<(Count, Count)>> =
        Arc::new((0..cpus()).map(|_| Default::default()).collect());
    let mut queued = vec![0; cpus()];
    for _ in 0..35 * cpus() {
        let cpu = some_core();
        let (nth, cores) = (queued[cpu.index()], Arc::clone(&cores));
        queued[cpu.index()] += 1;
        let item = new_bh_item(Ticket { cpu, nth, cores }, stamp);
        assert_eq!(wq::bh().queue_on(cpu, &item), Submitted::Queued);
        if one_in(6) {
            dawdle(cx);
        }
    }
    wq::bh().flush(cx).expect("not one of its items");
    for (n, queued) in queued.iter().enumerate() {
        assert_eq!(cores[n].1.get(), *queued, "core {n}");
    }
}

#[derive(Default)]
struct Ledger {
    inside: Count,
    runs: Count,
    queued: Count,
    cancelled: Count,
}

fn enter_and_leave(_: &BhCx<'_>, run: &Run<'_, Ledger, Softirq>) {
    assert_eq!(run.inside.up(), 0, "it runs twice at once");
    linger();
    if one_in(4) {
        // Longer than it takes another core to be interrupted and to begin.
        burn(us(5));
    }
    run.runs.up();
    run.inside.down();
}

fn hammered(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<Bh>::builder("bh").highpri().build());
    let item = new_bh_item(Ledger::default(), enter_and_leave);
    let users = {
        let (wq, item) = (wq.clone(), Arc::clone(&item));
        crowd(cpus() + 2, move |cx, _| {
            for _ in 0..12 {
                match pick(6) {
                    0 => item.cancelled.up_if(item.cancel()),
                    1 => {
                        let was = item.cancel_sync(cx).expect("no panic");
                        item.cancelled.up_if(was);
                    }
                    2 => {
                        let was = item.disable_sync(cx).expect("no panic");
                        item.cancelled.up_if(was);
                        assert_eq!(item.inside.get(), 0);
                        assert_eq!(wq.queue(&item), Submitted::Disabled);
                        let _ = item.enable();
                    }
                    _ => {
                        let done = wq.queue_on(some_core(), &item);
                        item.queued.up_if(done == Submitted::Queued);
                    }
                }
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    item.flush(cx).expect("no panic");
    assert_eq!(item.queued.get(), item.runs.get() + item.cancelled.get());
    wq.destroy(cx).expect("not one of its items");
}

fn cancel_from_bh(cx: &ThreadCx<'_>) {
    type Victim = Arc<Work<Ledger, Softirq>>;
    fn hunt(bh: &BhCx<'_>, run: &Run<'_, Victim, Softirq>) {
        let victim: &Victim = run;
        // Any core's hunter but its own: `SelfWait` says that the item runs below it on this core.
        if let Ok(was) = victim.cancel_sync_bh(bh) {
            victim.cancelled.up_if(was);
        }
    }
    let victim: Victim = new_bh_item(Ledger::default(), enter_and_leave);
    let users = {
        let victim = Arc::clone(&victim);
        crowd(cpus() + 1, move |cx, _| {
            let hunter = new_bh_item(Arc::clone(&victim), hunt);
            for _ in 0..12 {
                let done = wq::bh().queue_on(some_core(), &victim);
                victim.queued.up_if(done == Submitted::Queued);
                if one_in(2) {
                    assert!(wq::bh().queue_on(some_core(), &hunter).is_pending());
                }
                dawdle(cx);
            }
            hunter.flush(cx).expect("no panic");
        })
    };
    join(cx, &users);
    victim.flush(cx).expect("no panic");
    assert_eq!(
        victim.queued.get(),
        victim.runs.get() + victim.cancelled.get()
    );
}

fn hand_over(cx: &ThreadCx<'_>) {
    struct Pair {
        left: Count,
        back: Arc<Work<Count, Softirq>>,
    }
    fn count(_: &BhCx<'_>, run: &Run<'_, Count, Softirq>) {
        linger();
        run.add(run.submissions() as usize);
    }
    fn forth(cx: &ThreadCx<'_>, run: &Run<'_, Pair>) {
        dawdle(cx);
        assert!(
            wq::bh_highpri()
                .queue_on(some_core(), &run.back)
                .is_pending()
        );
        if run.left.down() > 1 {
            assert!(wq::percpu().queue_on(some_core(), run).is_pending());
        }
    }
    type Trigger = Arc<Work<Pair>>;
    fn trigger(_: &BhCx<'_>, run: &Run<'_, Trigger, Softirq>) {
        let item: &Trigger = run;
        assert_eq!(wq::percpu().queue_on(some_core(), item), Submitted::Queued);
    }
    let back = new_bh_item(Count::default(), count);
    for i in 0..3 * cpus() {
        let (left, back) = (Count::new(4), Arc::clone(&back));
        let pair = new_item(Pair { left, back }, forth);
        let start = new_bh_item(pair, trigger);
        assert_eq!(wq::bh().queue_on(core(i), &start), Submitted::Queued);
    }
    until(cx, || back.get() == 4 * 3 * cpus());
}

fn delayed(cx: &ThreadCx<'_>) {
    struct Parcel {
        cpu: CpuId,
        due: Count,
        runs: Count,
    }
    fn arrive(_: &BhCx<'_>, run: &Run<'_, Parcel, Softirq>) {
        assert_eq!(here(), run.cpu, "it runs where its timer fired");
        assert!(now().as_nanos() as usize >= run.due.get(), "too early");
        run.runs.up();
    }
    let senders = crowd(cpus() + 1, |cx, _| {
        let (cpu, due, runs) = (some_core(), Count::default(), Count::default());
        let parcel = new_delayed_bh(Parcel { cpu, due, runs }, arrive);
        let mut sent = 0;
        for _ in 0..8 {
            let delay = us(1 + pick(40) as u64);
            parcel.due.set((now() + delay).as_nanos() as usize);
            let done = wq::bh().queue_delayed_on(cpu, &parcel, delay);
            assert_eq!(done, Submitted::Queued);
            sleep(cx, us(pick(60) as u64));
            sent += usize::from(!parcel.cancel());
            parcel.flush(cx).expect("no panic");
            assert_eq!(parcel.runs.get(), sent);
        }
    });
    join(cx, &senders);
}

fn flushed_and_destroyed(cx: &ThreadCx<'_>) {
    fn count(_: &BhCx<'_>, run: &Run<'_, Arc<Count>, Softirq>) {
        linger();
        run.up();
    }
    let owners = crowd(cpus() + 1, |cx, i| {
        for _ in 0..3 {
            let wq = insist(|| {
                let b = Workqueue::<Bh>::builder("short");
                if i % 2 == 0 { b.highpri() } else { b }.build()
            });
            let runs = Arc::new(Count::default());
            for n in 1..15 {
                let item = new_bh_item(Arc::clone(&runs), count);
                assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
                if one_in(5) {
                    wq.flush(cx).expect("not one of its items");
                    assert_eq!(runs.get(), n, "flush returned too early");
                }
            }
            wq.destroy(cx).expect("not one of its items");
            assert_eq!(runs.get(), 14, "destroyed with items left");
        }
    });
    join(cx, &owners);
}

fn heavy(cx: &ThreadCx<'_>) {
    type Urgent = Arc<Work<Arc<Count>, Softirq>>;
    fn count(_: &BhCx<'_>, run: &Run<'_, Arc<Count>, Softirq>) {
        run.up();
    }
    fn toil(_: &BhCx<'_>, run: &Run<'_, Urgent, Softirq>) {
        burn(us(200 + pick(300) as u64));
        // While the normal vector runs: it is next.
        assert_eq!(wq::bh_highpri().queue_on(here(), &**run), Submitted::Queued);
        burn(us(pick(100) as u64));
    }
    const ITEMS: usize = 12;
    let (cpu, runs) = (some_core(), Arc::new(Count::default()));
    for _ in 0..ITEMS {
        let urgent = new_bh_item(Arc::clone(&runs), count);
        let item = new_bh_item(urgent, toil);
        assert_eq!(wq::bh().queue_on(cpu, &item), Submitted::Queued);
    }
    dawdle(cx);
    wq::bh().flush(cx).expect("not one of its items");
    wq::bh_highpri().flush(cx).expect("not one of its items");
    assert_eq!(runs.get(), ITEMS);
}

fn many_urgent(cx: &ThreadCx<'_>) {
    type Counts = Arc<(Count, Count)>;
    const BATCH: usize = 10;
    fn urgent(_: &BhCx<'_>, run: &Run<'_, Counts, Softirq>) {
        run.0.up();
    }
    fn normal(_: &BhCx<'_>, run: &Run<'_, Counts, Softirq>) {
        if run.1.up() == 0 {
            assert!(run.0.get() <= BATCH, "all urgent ones came first");
        }
    }
    let counts = Counts::default();
    // All before any of them can run.
    let off = sync::bh_disable();
    for _ in 0..2 * BATCH + 5 {
        let item = new_bh_item(Arc::clone(&counts), urgent);
        assert_eq!(wq::bh_highpri().queue(&item), Submitted::Queued);
    }
    for _ in 0..BATCH + 2 {
        let item = new_bh_item(Arc::clone(&counts), normal);
        assert_eq!(wq::bh().queue(&item), Submitted::Queued);
    }
    drop(off);
    wq::bh().flush(cx).expect("not one of its items");
    wq::bh_highpri().flush(cx).expect("not one of its items");
    assert_eq!((counts.0.get(), counts.1.get()), (2 * BATCH + 5, BATCH + 2));
}
