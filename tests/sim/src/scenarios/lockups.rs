//! Lockups of cores: told with who it is, once, and never of a core that only has much to do.

use core::fmt;

use kernel::audit;
use kernel::completion::Completion;
use kernel::cpu::CpuMask;
use kernel::lockup::{self, Lockup, LockupKind, glimpse_of};
use kernel::thread::{Builder, ThreadCx, current, sleep};
use kernel::wq::{self, Submitted};
use machine::{CpuId, Duration};
use sim::{Kinds, Scenario};

use crate::kit::{burn, core, cpus, join, ms, new_bh_item, new_item, pick, until, us};

/// Scenarios of lockups.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("lockup-of-the-scheduler", 2, soft)
        .about("a thread with preemption off, and a softirq that does not end, are told by their core, once each")
        .cpus_range(1, 4)
        .endures(Kinds::SPURIOUS),
    Scenario::new("lockup-of-interrupts", 2, hard)
        .about("a core that stands with interrupts masked is told by another one, once, and can be told again")
        .cpus_range(2, 4)
        .endures(Kinds::SPURIOUS),
    Scenario::new("lockup-with-locks", 2, with_locks)
        .about("a core that stands with the locks of a queue and a pool, or of its timers, is told all the same: who looks leaves out what is locked")
        .cpus_range(2, 4)
        .endures(Kinds::SPURIOUS),
    Scenario::new("lockup-of-nobody", 2, nobody)
        .about("cores that compute, idle, sleep or come and go answer in time and are not told")
        .cpus_range(1, 4)
        .endures(Kinds::SPURIOUS),
    Scenario::new("glimpse-of-a-core", 2, glimpse)
        .about("each core says which thread and which item it runs, and one that is busy says so in time")
        .cpus_range(1, 4)
        .endures(Kinds::SPURIOUS.or(Kinds::IPI)),
];

const LIMIT: Duration = ms(3);

/// The lockup of core `core` that is told after `before` others.
fn told(cx: &ThreadCx<'_>, core: CpuId, before: u64) -> Lockup {
    until(cx, || lockup::lockup_count() > before);
    assert_eq!(lockup::lockup_count(), before + 1, "told once");
    let found = lockup::last_lockup(core).expect("of that core");
    assert_eq!(found.glimpse.core, core);
    assert!(
        found.lasted >= LIMIT && found.lasted <= LIMIT + LIMIT,
        "{found}"
    );
    found
}

fn soft(cx: &ThreadCx<'_>) {
    wq::set_watchdog(LIMIT);
    let last = core(cpus() - 1);
    let stuck = Builder::new("stuck").affinity(CpuMask::single(last));
    let stuck = stuck.spawn(|_| {
        let section = sync::preempt_disable();
        // The oracles let a slice be over for 10 ms.
        burn(ms(9));
        drop(section);
    });
    let stuck = stuck.expect("memory for a thread");
    // Nobody else wants its core meanwhile.
    stuck.join(cx);
    let found = told(cx, last, 0);
    assert_eq!(found.kind, LockupKind::Soft);
    assert_eq!(found.glimpse.thread, stuck.id());
    assert!(found.glimpse.in_softirq || found.glimpse.item.is_none());
    if cpus() > 1 {
        // On one core nobody looks before it is over.
        let item = new_bh_item((), |_, _| burn(ms(12)));
        assert_eq!(wq::bh().queue_on(last, &item), Submitted::Queued);
        item.flush(cx).expect("no panic");
        let found = told(cx, last, 1);
        assert_eq!(found.kind, LockupKind::Soft);
        assert!(found.glimpse.in_softirq && found.glimpse.item.is_some());
    }
    wq::set_watchdog(Duration::ZERO);
}

fn hard(cx: &ThreadCx<'_>) {
    wq::set_watchdog(LIMIT);
    let last = core(cpus() - 1);
    current().set_affinity(CpuMask(!CpuMask::single(last).0));
    sleep(cx, ms(1));
    for before in 0..2 {
        let item = new_bh_item((), |_, _| {
            let masked = sync::IrqGuard::new();
            burn(ms(14));
            drop(masked);
        });
        assert_eq!(wq::bh().queue_on(last, &item), Submitted::Queued);
        let found = told(cx, last, before);
        assert_eq!(found.kind, LockupKind::Hard);
        item.flush(cx).expect("no panic");
        // It answers again.
        sleep(cx, LIMIT);
    }
    wq::set_watchdog(Duration::ZERO);
    current().set_affinity(CpuMask::ALL);
}

/// Stands still where it is written to, which is under those locks.
struct Still(bool);

impl fmt::Write for Still {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.contains("pwq") && !core::mem::replace(&mut self.0, true) {
            burn(ms(30));
        }
        Ok(())
    }
}

fn with_locks(cx: &ThreadCx<'_>) {
    wq::set_watchdog(LIMIT);
    let last = core(cpus() - 1);
    current().set_affinity(CpuMask(!CpuMask::single(last).0));
    sleep(cx, ms(1));
    // Sleeps, so that there is something to be written about.
    let item = new_item(
        Default::default(),
        |cx, run: &wq::Run<'_, [Completion; 2]>| {
            // Its timer belongs to this core from now on.
            sleep(cx, us(10));
            run[0].complete_all();
            run[1].wait(cx);
        },
    );
    assert_eq!(wq::percpu().queue_on(last, &item), Submitted::Queued);
    item[0].wait(cx);
    // Nobody else wants its core.
    sleep(cx, ms(1));
    let still = Builder::new("still").affinity(CpuMask::single(last));
    let timers = pick(2) == 0;
    let still = still.spawn(move |_| {
        if timers {
            audit::with_timers_locked(last, || burn(ms(30)));
        } else {
            let _all_written = wq::show_all(&mut Still(false));
        }
    });
    until(cx, || lockup::lockup_count() > 0);
    let found = lockup::last_lockup(last).expect("just seen");
    assert_eq!((found.kind, found.glimpse.core), (LockupKind::Hard, last));
    still.expect("memory for a thread").join(cx);
    item[1].complete_all();
    item.flush(cx).expect("no panic");
    wq::set_watchdog(Duration::ZERO);
    current().set_affinity(CpuMask::ALL);
}

fn nobody(cx: &ThreadCx<'_>) {
    wq::set_watchdog(LIMIT);
    let hogs: Vec<_> = (0..cpus())
        .flat_map(|n| [n, n])
        .map(|n| {
            let hog = Builder::new("hog").affinity(CpuMask::single(core(n)));
            hog.spawn(|_| burn(ms(6))).expect("memory for a thread")
        })
        .collect();
    join(cx, &hogs);
    sleep(cx, LIMIT + LIMIT);
    if cpus() > 1 {
        let last = core(cpus() - 1);
        for _ in 0..2 {
            if kernel::hotplug::offline(cx, last).is_ok() {
                sleep(cx, LIMIT + LIMIT);
                crate::kit::insist(|| kernel::hotplug::online(cx, last));
            }
            sleep(cx, LIMIT + LIMIT);
        }
    }
    let told: Vec<_> = (0..cpus())
        .filter_map(|n| lockup::last_lockup(core(n)))
        .collect();
    assert!(lockup::lockup_count() == 0 && told.is_empty(), "{told:?}");
    wq::set_watchdog(Duration::ZERO);
}

fn glimpse(cx: &ThreadCx<'_>) {
    let patience = ms(50);
    let last = core(cpus() - 1);
    let item = new_item((), |_: &ThreadCx<'_>, _: &wq::Run<'_, ()>| burn(ms(3)));
    assert_eq!(wq::percpu().queue_on(last, &item), Submitted::Queued);
    until(cx, || {
        let seen = glimpse_of(cx, last, patience).expect("it answers");
        assert_eq!(seen.core, last);
        seen.item.is_some() || item.busy() == (false, false)
    });
    item.flush(cx).expect("no panic");
    for n in 0..cpus() {
        let seen = glimpse_of(cx, core(n), patience).expect("it answers");
        assert_eq!(seen.core, core(n));
        assert!(seen.at <= machine::now());
        sleep(cx, us(100));
    }
}
