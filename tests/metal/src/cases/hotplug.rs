//! 57, 58: cores switched off by the firmware and on again, under load (M1-M3, M5, K5, S14).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use kernel::cpu::online;
use kernel::hotplug::{self, HotplugError};
use kernel::ipi::{CallError, call_on};
use kernel::softirq::BhCx;
use kernel::thread::{Builder, ThreadCx, sleep, yield_now};
use kernel::wq::{self, DelayedWork, Run, Submitted, Work};
use machine::CpuId;

use super::work_kit::{ms, us};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "57_m5_hotplug_every_core_leaves_and_returns",
    every_core,
    Needs::new().cpus(2)
);
ktest!(
    "58_m2_m5_hotplug_under_load",
    under_load,
    Needs::new().cpus(2).timeout(120)
);

/// Each core, the boot core too, goes and comes; what is queued on it runs elsewhere, and there again.
fn every_core(cx: &ThreadCx<'_>) {
    let all = online();
    for id in all.iter() {
        let item = Arc::new(Work::new(
            AtomicU32::new(0),
            |_: &ThreadCx<'_>, run: &Run<'_, AtomicU32>| {
                let here = kernel::cpu::this_cpu().id();
                run.store(1 + here.index() as u32, Ordering::Relaxed);
            },
        ));
        assert_eq!(hotplug::offline(cx, id), Ok(()));
        assert_eq!(hotplug::offline(cx, id), Err(HotplugError::Already));
        assert!(!online().contains(id));
        assert_eq!(call_on(id, |_| {}, 0), Err(CallError::Offline));
        assert_eq!(wq::percpu().queue_on(id, &item), Submitted::Queued);
        item.flush(cx).expect("no panic");
        let there = item.load(Ordering::Relaxed);
        assert!(
            there != 0 && there != 1 + id.index() as u32,
            "ran on {there}"
        );
        assert_eq!(hotplug::online(cx, id), Ok(()));
        assert_eq!(online(), all);
        assert_eq!(wq::percpu().queue_on(id, &item), Submitted::Queued);
        item.flush(cx).expect("no panic");
        assert_eq!(item.load(Ordering::Relaxed), 1 + id.index() as u32);
    }
}

/// What a kind of item counts.
#[derive(Default)]
struct Runs(AtomicU32);

/// 100 sleeping items, 100 pending ones, BH items and delayed ones on a core that leaves: all run once.
fn round(cx: &ThreadCx<'_>, id: CpuId) {
    const EACH: u32 = 100;
    let runs = Arc::new(Runs::default());
    let sleeper = |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Runs>>| {
        sleep(cx, ms(2));
        run.0.fetch_add(1, Ordering::Relaxed);
    };
    let short = |_: &ThreadCx<'_>, run: &Run<'_, Arc<Runs>>| {
        run.0.fetch_add(1, Ordering::Relaxed);
    };
    let sleepers: Vec<_> = (0..EACH)
        .map(|_| Arc::new(<Work<_>>::new(Arc::clone(&runs), sleeper)))
        .collect();
    let shorts: Vec<_> = (0..EACH)
        .map(|_| Arc::new(<Work<_>>::new(Arc::clone(&runs), short)))
        .collect();
    let late: Vec<_> = (0..10)
        .map(|_| Arc::new(<DelayedWork<_>>::new(Arc::clone(&runs), short)))
        .collect();
    let bh: Vec<_> = (0..10)
        .map(|_| {
            Arc::new(Work::new(
                Arc::clone(&runs),
                |_: &BhCx<'_>, run: &Run<'_, Arc<Runs>, wq::Softirq>| {
                    run.0.fetch_add(1, Ordering::Relaxed);
                },
            ))
        })
        .collect();
    for item in sleepers.iter().chain(&shorts) {
        assert_eq!(wq::percpu().queue_on(id, item), Submitted::Queued);
    }
    for item in &late {
        let done = wq::percpu().queue_delayed_on(id, item, ms(1));
        assert_eq!(done, Submitted::Queued);
    }
    for item in &bh {
        assert_eq!(wq::bh().queue_on(id, item), Submitted::Queued);
    }
    hotplug::offline(cx, id).expect("it was online and not alone");
    hotplug::online(cx, id).expect("the firmware starts it again");
    late.iter().for_each(|item| {
        item.flush(cx).expect("no panic");
    });
    wq::percpu().flush(cx).expect("not one of its items");
    wq::bh().flush(cx).expect("not one of its items");
    assert_eq!(runs.0.load(Ordering::Relaxed), 2 * EACH + 20);
}

fn under_load(cx: &ThreadCx<'_>) {
    const ROUNDS: usize = 12;
    let all = online();
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..all.count())
        .map(|n| {
            let stop = Arc::clone(&stop);
            let body = move |cx: &ThreadCx<'_>| {
                while !stop.load(Ordering::Relaxed) {
                    match n % 2 {
                        0 => yield_now(cx),
                        _ => sleep(cx, us(100)),
                    }
                }
            };
            Builder::new("busy")
                .spawn(body)
                .expect("memory for a thread")
        })
        .collect();
    for n in 0..ROUNDS {
        let id = all.iter().nth(n % all.count()).expect("a core");
        round(cx, id);
    }
    stop.store(true, Ordering::Relaxed);
    busy.iter().for_each(|t| t.join(cx));
    // E1: with nothing to do nobody counts as running.
    sleep(cx, ms(20));
    wq::for_each_pool(|p| assert_eq!(p.nr_running, 0, "pool {} counts somebody", p.id));
    kernel::audit::check().expect("all counters are right");
    assert_eq!(online(), all);
}
