//! What becomes of a core that may not leave after all, and of the cores that stay (M1-M5, K5, N8).

use std::sync::Arc;

use kernel::cpu::{CpuMask, online};
use kernel::hotplug::{self, HotplugError};
use kernel::softirq::BhCx;
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, Run, Softirq, Submitted, Work};
use machine::{CpuId, Duration};
use sim::{Scenario, refuse_leaving};

use super::hotplug::{any_core, assert_at_rest, plugger, present, up};
use crate::kit::{
    Count, HARDY, dawdle, here, insist, join, linger, ms, new_bh_item, new_item, one_in, pick,
    until, us, volunteers,
};

/// Scenarios of refusals, and of what follows for others.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("offline-refused", 3, refused)
        .about("a core that the firmware keeps has all it had, however scarce memory is (M1, M2, M3, K5, E1)")
        .cpus_range(2, 5)
        .endures(HARDY),
    Scenario::new("bh-of-many-cores", 3, many_pools)
        .about("one core with the BH pools of all others, each busy without end, still serves every one (K5, S14)")
        .cpus_range(2, 8)
        .endures(HARDY),
    Scenario::new("watchdog-on-two-cores", 3, two_watchers)
        .about("wherever cores go and come, two look after the rest while two are online (N7, N8 d)")
        .cpus_range(2, 5)
        .endures(HARDY),
];

fn refused(cx: &ThreadCx<'_>) {
    let home = any_core();
    let ran = Arc::new(Count::default());
    let mut queued = 0;
    let nap = |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>| {
        dawdle(cx);
        run.up();
    };
    let punch = |_: &BhCx<'_>, run: &Run<'_, Arc<Count>, Softirq>| {
        linger();
        run.up();
    };
    for _ in 0..5 {
        let crowd = volunteers(present(), |cx, _| (0..8).for_each(|_| dawdle(cx)));
        for _ in 0..4 {
            let item = new_item(Arc::clone(&ran), nap);
            assert_eq!(wq::percpu().queue_on(home, &item), Submitted::Queued);
            let item = new_bh_item(Arc::clone(&ran), punch);
            assert_eq!(wq::bh().queue_on(home, &item), Submitted::Queued);
            queued += 2;
        }
        refuse_leaving(true);
        assert_eq!(hotplug::offline(cx, home), Err(HotplugError::Refused));
        refuse_leaving(false);
        assert!(online().contains(home), "it is as it was");
        join(cx, &crowd);
        wq::percpu().flush(cx).expect("not one of its items");
        wq::bh().flush(cx).expect("not one of its items");
        assert_eq!(ran.get(), queued, "lost or doubled");
        // Concurrency management goes on, and both kinds of items keep to their core (C1).
        let at_home = new_item(home, |_: &ThreadCx<'_>, run: &Run<'_, CpuId>| {
            assert_eq!(here(), **run);
        });
        let below = new_bh_item(home, |_: &BhCx<'_>, run: &Run<'_, CpuId, Softirq>| {
            assert_eq!(here(), **run);
        });
        for _ in 0..3 {
            assert_eq!(wq::percpu().queue_on(home, &at_home), Submitted::Queued);
            assert_eq!(wq::bh().queue_on(home, &below), Submitted::Queued);
            at_home.flush(cx).expect("no panic");
            below.flush(cx).expect("no panic");
        }
        wq::for_each_pool(|p| {
            let its = wq::core_of_pool(p.id) == Some(home);
            assert!(!its || p.workers.total > 0 || is_bh(p.id), "M1");
        });
        assert_at_rest(cx);
        if one_in(2) {
            assert_eq!(hotplug::offline(cx, home), Ok(()));
            up(cx, home);
        }
    }
}

/// A core's pools of threads come before those of softirqs.
const fn is_bh(pool: usize) -> bool {
    pool % 4 >= 2
}

/// An item that queues itself again until all have had their turns.
struct Treadmill {
    home: CpuId,
    highpri: bool,
    /// How often each core's has run.
    turns: Arc<Vec<Count>>,
    itself: std::sync::OnceLock<std::sync::Weak<Work<Treadmill, Softirq>>>,
}

/// As often must each run.
const TURNS: usize = 6;

fn many_pools(cx: &ThreadCx<'_>) {
    fn tread(_: &BhCx<'_>, run: &Run<'_, Treadmill, Softirq>) {
        let all = &run.turns;
        let mine = all[run.home.index()].up();
        // Ten turns of one core between two of another would be as many as a whole softirq has.
        let most = all.iter().map(Count::get).min().expect("a core");
        assert!(mine < 60 * TURNS, "a pool waits behind others: {most}");
        if all.iter().all(|n| n.get() >= TURNS) {
            return;
        }
        let me = run.itself.get().and_then(std::sync::Weak::upgrade);
        let wq = if run.highpri {
            wq::bh_highpri()
        } else {
            wq::bh()
        };
        let _ = wq.queue_on(run.home, &me.expect("it runs"));
    }
    let stays = any_core();
    let others = (0..present()).map(CpuId::new).filter(|&c| c != stays);
    for c in others.clone() {
        assert_eq!(hotplug::offline(cx, c), Ok(()));
    }
    for highpri in [false, true] {
        let turns: Arc<Vec<Count>> = Arc::new((0..present()).map(|_| Count::default()).collect());
        let wq = if highpri { wq::bh_highpri() } else { wq::bh() };
        let items: Vec<_> = (0..present())
            .map(|n| {
                let data = Treadmill {
                    home: CpuId::new(n),
                    highpri,
                    turns: Arc::clone(&turns),
                    itself: std::sync::OnceLock::new(),
                };
                let item = new_bh_item(data, tread);
                let _ = item.itself.set(Arc::downgrade(&item));
                item
            })
            .collect();
        // None has turns before all are there.
        let together = sync::bh_disable();
        for item in &items {
            let _ = wq.queue_on(item.home, item);
        }
        drop(together);
        until(cx, || turns.iter().all(|n| n.get() >= TURNS));
        items.iter().for_each(|item| {
            let _ = item.cancel_sync(cx).expect("no panic");
        });
    }
    others.for_each(|c| up(cx, c));
    assert_at_rest(cx);
}

fn two_watchers(cx: &ThreadCx<'_>) {
    // So short that it looks often, so long that nothing is told.
    wq::set_watchdog(Duration::from_secs(4));
    let apart = || {
        let [first, second] = wq::watchdog_cores();
        let (Some(first), Some(second)) = (first, second) else {
            return false;
        };
        first != second && [first, second].iter().all(|&c| online().contains(c))
    };
    let soon = |cx: &ThreadCx<'_>| {
        let begin = machine::now();
        until(cx, apart);
        // Not only at the next look.
        assert!(machine::now().since(begin) < ms(500), "it took a look");
    };
    soon(cx);
    for _ in 0..6 {
        let id = any_core();
        if online() == CpuMask::single(id) || !online().contains(id) {
            up(cx, id);
        } else {
            assert_eq!(hotplug::offline(cx, id), Ok(()));
        }
        if online().count() > 1 {
            soon(cx);
        }
        sleep(cx, us(pick(3_000) as u64));
    }
    plugger(4).join(cx);
    soon(cx);
    // On one core only one can look; the second one comes with the second core.
    let stays = any_core();
    let others = (0..present()).map(CpuId::new).filter(|&c| c != stays);
    for c in others.clone() {
        assert_eq!(hotplug::offline(cx, c), Ok(()));
    }
    if one_in(2) {
        wq::set_watchdog(Duration::from_secs(3));
    }
    others.for_each(|c| up(cx, c));
    soon(cx);
    assert_eq!(wq::stall_count(), 0, "{:?}", wq::last_stalls());
    insist(|| {
        wq::set_watchdog(Duration::ZERO);
        wq::watchdog_limit().map_or(Ok(()), Err)
    });
    assert_at_rest(cx);
}
