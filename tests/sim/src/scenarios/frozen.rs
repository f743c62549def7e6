//! The freezer, and suspending the machine (F5).

use std::sync::Arc;
use std::sync::Mutex as HostMutex;

use kernel::completion::Completion;
use kernel::cpu::CpuMask;
use kernel::power::{SuspendError, Woken, suspend_to_idle, suspend_to_idle_within};
use kernel::thread::{Builder, ThreadCx, sleep};
use kernel::wq::{self, Ordered, PerCpu, Run, Submitted, Unbound, Workqueue};
use kernel::{freezer, timer};
use machine::{Duration, now};
use sim::{Kinds, Scenario};

use super::hotplug::{plugger, present};
use crate::kit::{
    Count, HARDY, burn, core, cpus, crowd, dawdle, insist, join, linger, ms, new_item, one_in,
    pick, some_core, until, us,
};

/// Scenarios of the freezer.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("frozen-queues", 3, frozen_queues)
        .about("frozen queues start nothing, others do; thawed, all run, those of one share in order (F5, C9)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("suspended-machine", 3, suspended)
        .about("a suspended machine does nothing before its time, and then everything that came due (F5)")
        .cpus_range(1, 8)
        .endures(Kinds::IPI),
    Scenario::new("suspend-among-others", 3, among_others)
        .about("one at a time suspends, cores go and come before or after, and a core that computes only delays it (F5, M2)")
        .cpus_range(1, 6)
        .endures(HARDY),
    Scenario::new("freeze-against-suspend", 3, freeze_against_suspend)
        .about("what is frozen while the machine is suspended stays frozen after, and a thaw meanwhile waits for its end (F5)")
        .cpus_range(1, 6)
        .endures(HARDY),
];

/// Items of a queue, by number, in the order in which they ran.
type Log = Arc<HostMutex<Vec<usize>>>;

fn sign(cx: &ThreadCx<'_>, run: &Run<'_, (Log, usize)>) {
    run.0.lock().expect("no panic").push(run.1);
    if one_in(3) {
        dawdle(cx);
    } else {
        linger();
    }
}

fn frozen_queues(cx: &ThreadCx<'_>) {
    type Gate = Arc<(Completion, Count)>;
    fn wait(cx: &ThreadCx<'_>, run: &Run<'_, Gate>) {
        run.0.wait(cx);
        run.1.up();
    }
    let bound = insist(|| Workqueue::<PerCpu>::builder("bound").freezable().build());
    let row = insist(|| Workqueue::<Ordered>::builder("row").freezable().build());
    let free = insist(|| {
        let builder = Workqueue::<Unbound>::builder("free").freezable();
        builder.max_active(2).build()
    });
    let gate = Gate::default();
    let running = new_item(Arc::clone(&gate), wait);
    assert_eq!(bound.queue(&running), Submitted::Queued);
    for round in 1..4 {
        freezer::freeze();
        assert!(freezer::is_on());
        // One that is made meanwhile is frozen too.
        let late = insist(|| Workqueue::<PerCpu>::builder("late").freezable().build());
        let logs: [Log; 3] = Default::default();
        let cpu = some_core();
        let n = 5 + pick(10);
        for i in 0..n {
            let item = |log: &Log| new_item((Arc::clone(log), i), sign);
            assert_eq!(bound.queue_on(cpu, &item(&logs[0])), Submitted::Queued);
            assert_eq!(row.queue(&item(&logs[1])), Submitted::Queued);
            let third = item(&logs[2]);
            let queued = if one_in(2) {
                free.queue(&third)
            } else {
                late.queue(&third)
            };
            assert_eq!(queued, Submitted::Queued);
            dawdle(cx);
        }
        // Others go on.
        let other = new_item((Log::default(), 0), sign);
        assert_eq!(wq::percpu().queue_on(cpu, &other), Submitted::Queued);
        other.flush(cx).expect("no panic");
        sleep(cx, ms(20));
        let empty = |log: &Log| log.lock().expect("no panic").is_empty();
        assert!(logs.iter().all(empty), "a frozen queue starts items");
        assert_eq!(freezer::busy(), gate.1.get() == 0, "round {round}");
        gate.0.complete_all();
        until(cx, || !freezer::busy());
        freezer::thaw();
        bound.flush(cx).expect("not one of its items");
        row.flush(cx).expect("not one of its items");
        free.flush(cx).expect("not one of its items");
        late.destroy(cx).expect("not one of its items");
        for log in &logs[..2] {
            let mut ran = log.lock().expect("no panic").clone();
            assert_eq!(ran.len(), n);
            // Items of the per-CPU queue may overtake each other once they run.
            if !Arc::ptr_eq(log, &logs[1]) {
                ran.sort_unstable();
            }
            assert!(ran.is_sorted(), "{ran:?}");
        }
        assert_eq!(logs[2].lock().expect("no panic").len(), n);
    }
    bound.destroy(cx).expect("not one of its items");
    row.destroy(cx).expect("not one of its items");
    free.destroy(cx).expect("not one of its items");
}

fn suspended(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<PerCpu>::builder("naps").freezable().build());
    let times = Log::default();
    let tick = |_: &ThreadCx<'_>, run: &Run<'_, (Log, usize)>| {
        let at = now().as_nanos() as usize;
        run.0.lock().expect("no panic").push(at);
    };
    for _ in 0..3 {
        times.lock().expect("no panic").clear();
        // Timers on every core, due in the middle of the night.
        let items: Vec<_> = (0..cpus())
            .map(|n| crate::kit::new_delayed((Arc::clone(&times), n), tick))
            .collect();
        for (n, item) in items.iter().enumerate() {
            let wq = if n % 2 == 0 { &wq } else { wq::percpu() };
            let due = us(1_000 + 300 * n as u64);
            assert_eq!(wq.queue_delayed_on(core(n), item, due), Submitted::Queued);
        }
        let begin = now();
        let end = begin + Duration::from_millis(50);
        let woken = suspend_to_idle(cx, end);
        assert_ne!(woken, Err(SuspendError::Busy));
        assert!(!freezer::is_on());
        let up = now();
        if woken == Ok(Woken::Time) {
            assert!(
                up >= end && up.since(end) < ms(2),
                "{:?} late",
                up.since(end)
            );
        }
        for item in &items {
            item.flush(cx).expect("no panic");
        }
        let times = times.lock().expect("no panic").clone();
        assert_eq!(times.len(), cpus());
        if woken == Ok(Woken::Time) {
            // Those that came due before the cores were parked, or after the night.
            let night = (begin + ms(8)).as_nanos() as usize..end.as_nanos() as usize;
            assert!(times.iter().all(|t| !night.contains(t)), "{times:?}");
        }
    }
    assert_eq!(timer::armed(), 0);
    wq.destroy(cx).expect("not one of its items");
}

fn among_others(cx: &ThreadCx<'_>) {
    // Several want to: each sleeps, or is told why not. Meanwhile cores go and come.
    let plug = plugger(3);
    let sleepers = crowd(3, |cx, _| {
        for _ in 0..3 {
            let before = kernel::cpu::online();
            match suspend_to_idle(cx, now() + us(pick(2_000) as u64)) {
                Ok(_) | Err(SuspendError::Already | SuspendError::NoMemory) => {}
                Err(e) => panic!("{e}, with {before:?} online"),
            }
            dawdle(cx);
        }
    });
    join(cx, &sleepers);
    plug.join(cx);
    assert!(!freezer::is_on());
    assert_eq!(cpus(), present());
    // What somebody else froze before stays frozen.
    freezer::freeze();
    let _ = suspend_to_idle(cx, now() + ms(1));
    assert!(freezer::is_on());
    freezer::thaw();
    // Threads that compute longer than anybody is willing to wait.
    let enough = Arc::new(Count::default());
    let hogs: Vec<_> = (0..cpus())
        .map(|n| {
            insist(|| {
                let enough = Arc::clone(&enough);
                let hog = Builder::new("hog").affinity(CpuMask::single(core(n)));
                hog.spawn(move |_| {
                    while enough.get() == 0 {
                        burn(us(50));
                    }
                })
            })
        })
        .collect();
    let told = suspend_to_idle_within(cx, now() + ms(50), ms(4));
    enough.up();
    assert!(
        matches!(told, Err(SuspendError::Restless | SuspendError::NoMemory)),
        "{told:?}"
    );
    assert!(!freezer::is_on());
    join(cx, &hogs);
    let slept = insist(|| match suspend_to_idle(cx, now() + ms(1)) {
        Err(SuspendError::NoMemory) => Err(()),
        other => Ok(other),
    });
    assert!(slept.is_ok(), "{slept:?}");
}

fn freeze_against_suspend(cx: &ThreadCx<'_>) {
    let sleepers = crowd(1 + pick(2), |cx, _| {
        for _ in 0..8 {
            let until = now() + us(pick(2_000) as u64);
            // It may fail: a worker that cannot be made comes after a second only.
            let _ = suspend_to_idle_within(cx, until, ms(20));
            dawdle(cx);
        }
    });
    let wq = insist(|| Workqueue::<PerCpu>::builder("cold").freezable().build());
    let log = Log::default();
    for n in 0..8 {
        freezer::freeze();
        let item = new_item((Arc::clone(&log), n), sign);
        assert_eq!(wq.queue_on(some_core(), &item), Submitted::Queued);
        for _ in 0..1 + pick(3) {
            sleep(cx, us(pick(3_000) as u64));
            assert!(freezer::is_on(), "round {n}");
        }
        assert_eq!(log.lock().expect("no panic").len(), n, "it was frozen");
        freezer::thaw();
        item.flush(cx).expect("no panic");
        assert_eq!(log.lock().expect("no panic").len(), n + 1);
    }
    join(cx, &sleepers);
    assert!(!freezer::is_on());
    wq.destroy(cx).expect("not one of its items");
}
