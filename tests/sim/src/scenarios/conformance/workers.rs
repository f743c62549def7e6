//! Who works, and how long he stays (E7, E12), and BH items that start at once (K3).

use std::sync::Arc;
use std::sync::Mutex as HostMutex;

use kernel::completion::Completion;
use kernel::softirq::BhCx;
use kernel::thread::{ThreadCx, current, sleep};
use kernel::wq::{self, Run, Softirq, Submitted};
use machine::{Duration, now};
use sim::{Kinds, Scenario};

use crate::kit::{Count, core, cpus, here, ms, new_bh_item, new_item, until, us};

/// Scenarios of workers.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("last-in-first-out", 2, last_in_first_out)
        .about("of many idle workers one serves all single items: the one that went idle last (E7)")
        .cpus_range(1, 8)
        .endures(Kinds::NONE),
    Scenario::new("idle-for-five-minutes", 1, idle_for_five_minutes)
        .about("workers that a burst needed stay for 300 s, then two are left (E12, A3)")
        .cpus_range(1, 4)
        .endures(Kinds::NONE),
    Scenario::new("bh-item-elsewhere", 2, bh_item_elsewhere)
        .about("a BH item that is queued to an idle core starts there within 20 us (K3)")
        .cpus_range(2, 8)
        .endures(Kinds::NONE),
];

/// Starts `n` items on core 0 that all sleep at once, and lets them end.
fn burst(cx: &ThreadCx<'_>, n: usize) {
    let room = Arc::new((Completion::new(), Count::default()));
    let wait = |cx: &ThreadCx<'_>, run: &Run<'_, Arc<(Completion, Count)>>| {
        run.1.up();
        run.0.wait(cx);
    };
    let items: Vec<_> = (0..n).map(|_| new_item(Arc::clone(&room), wait)).collect();
    for item in &items {
        assert_eq!(wq::percpu().queue_on(core(0), item), Submitted::Queued);
    }
    until(cx, || room.1.get() == n);
    room.0.complete_all();
    wq::percpu().flush(cx).expect("not its item");
}

/// Workers of core 0's normal pool, and how many of them are idle.
fn workers() -> (u32, u32) {
    let mut found = (0, 0);
    wq::for_each_pool(|p| {
        if p.cpu == Some(core(0)) && p.kind == "thread" && p.nice == 0 {
            found = (p.workers.total, p.workers.idle);
        }
    });
    found
}

fn last_in_first_out(cx: &ThreadCx<'_>) {
    burst(cx, 6);
    let at_rest = || {
        let (total, idle) = workers();
        total >= 7 && idle == total
    };
    until(cx, at_rest);
    let names = Arc::new(HostMutex::new(Vec::new()));
    for _ in 0..10 {
        let sign = |_: &ThreadCx<'_>, run: &Run<'_, Arc<HostMutex<Vec<u32>>>>| {
            run.lock().expect("no panic").push(current().id());
        };
        let item = new_item(Arc::clone(&names), sign);
        assert_eq!(wq::percpu().queue_on(core(0), &item), Submitted::Queued);
        until(cx, || Arc::strong_count(&item) == 1 && at_rest());
    }
    let mut names = names.lock().expect("no panic").clone();
    assert_eq!(names.len(), 10);
    names.dedup();
    assert_eq!(names.len(), 1, "single items of {names:?}");
}

fn idle_for_five_minutes(cx: &ThreadCx<'_>) {
    const N: usize = 12;
    burst(cx, N);
    let over = now();
    let burst_size = workers().0 as usize;
    assert!(burst_size > N, "{burst_size} workers for {N} sleepers");
    sleep(cx, Duration::from_secs(299));
    assert_eq!(workers().0 as usize, burst_size, "they leave too early");
    sleep(cx, Duration::from_secs(3));
    assert_eq!(
        workers().0,
        2,
        "{} s after the burst",
        now().since(over).as_millis() / 1_000
    );
}

fn bh_item_elsewhere(cx: &ThreadCx<'_>) {
    let start = |_: &BhCx<'_>, run: &Run<'_, (usize, Count), Softirq>| {
        assert_eq!(here().index(), run.0);
        run.1.set(now().as_nanos() as usize);
    };
    for round in 0..20 {
        sleep(cx, ms(1));
        let target = core(round % cpus());
        let item = new_bh_item((target.index(), Count::default()), start);
        let before = now();
        assert_eq!(wq::bh().queue_on(target, &item), Submitted::Queued);
        until(cx, || item.1.get() != 0);
        let took = item.1.get() as u64 - before.as_nanos();
        assert!(took <= us(50).as_nanos(), "{took} ns to core {target}");
    }
}
