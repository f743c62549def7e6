//! Rescuers: progress while no thread can be made (H rows, E10, F4, 7.12).

use std::sync::Arc;
use std::sync::Mutex as HostMutex;

use kernel::completion::Completion;
use kernel::thread::{ThreadCx, sleep, sleep_until};
use kernel::wq::{
    self, Ordered, PerCpu, QueueInfo, Run, Submitted, Unbound, WaitError, Work, WorkerCounts,
    Workqueue,
};
use machine::{CpuId, Duration, Instant, now};
use sim::{Held, Kinds, Scenario, refuse_threads};

use crate::kit::{
    Count, HARDY, core, cpus, dawdle, here, insist, linger, ms, new_item, one_in, pick, some_core,
    until,
};

/// Scenarios of rescuers.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("rescued-items", 2, rescued_items)
        .about("without threads items of queues with a rescuer complete, others stay and run when memory returns (H2, H3, 7.12)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("rescued-for-ever", 2, rescued_for_ever)
        .about("a queue with a rescuer cannot be made or makes progress, whatever fails for ever (F4, H2, 7.12)")
        .cpus_range(1, 8)
        .endures(Kinds::DELAYS.or(Kinds::FOREVER)),
    Scenario::new("one-rescuer-a-queue", 1, one_rescuer_a_queue)
        .about("without threads an item waits for another of its own queue in vain, and for one of another queue not (H5)")
        .cpus_range(1, 4),
    Scenario::new("mayday-times", 1, mayday_times)
        .about("rescuers are called 10 ms after a creation began and then each 100 ms; it is tried again after 1 s (E10, H1)")
        .cpus_range(1, 4)
        .endures(Kinds::SPURIOUS),
    Scenario::new("rescuer-between-cores", 4, rescuer_between_cores)
        .about("a rescuer serves all cores that call in turns of sixteen, each on the core itself (H2, H4, C1)")
        .cpus_range(2, 8),
    Scenario::new("rescuer-panics", 2, rescuer_panics)
        .about("a rescuer whose item panics has a successor when there is memory for it (F4)")
        .cpus_range(1, 4)
        .endures(HARDY)
        .leaves(&[Held::Blocks], "the stack of a thread that panicked stays, with what it referred to"),
    Scenario::new("promised-progress", 2, promised_progress)
        .about("an item with a rescuer is refused to wait for one without, but may cancel it (H6, H7)")
        .cpus_range(1, 4)
        .endures(HARDY),
];

type Item = Arc<Work<Arc<Ward>>>;

/// What items do that count themselves.
#[derive(Default)]
struct Ward {
    started: Count,
    done: Count,
    rescued: Count,
}

fn visit(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Ward>>) {
    run.started.up();
    if wq::current_is_rescuer() {
        run.rescued.up();
    }
    dawdle(cx);
    run.done.up();
}

fn items(n: usize, ward: &Arc<Ward>) -> Vec<Item> {
    (0..n).map(|_| new_item(Arc::clone(ward), visit)).collect()
}

fn percpu(name: &str) -> Workqueue<PerCpu> {
    insist(|| Workqueue::<PerCpu>::builder(name).mem_reclaim().build())
}

/// Workers of core `cpu`'s normal pool, or of the unbound one.
fn workers(cpu: Option<CpuId>) -> WorkerCounts {
    let mut found = WorkerCounts::default();
    wq::for_each_pool(|p| {
        if p.cpu == cpu && p.kind == "thread" && p.nice == 0 {
            found = p.workers;
        }
    });
    found
}

/// What is known of the queue called `name`.
fn info(name: &str) -> QueueInfo {
    // The list needs memory.
    insist(|| {
        let mut found = Err(());
        wq::for_each_queue(|q| found = if q.name == name { Ok(q) } else { found.clone() });
        found
    })
}

fn rescued_items(cx: &ThreadCx<'_>) {
    type Gates = Arc<(Completion, Count)>;
    fn wait(cx: &ThreadCx<'_>, run: &Run<'_, Gates>) {
        run.1.up();
        run.0.wait(cx);
    }
    let bound = percpu("bound");
    let unbound = insist(|| Workqueue::<Unbound>::builder("free").mem_reclaim().build());
    let ordered = insist(|| Workqueue::<Ordered>::builder("row").mem_reclaim().build());
    let ward = Arc::new(Ward::default());
    for _ in 0..1 + pick(2) {
        refuse_threads(true);
        // As many as there are workers, and some: from here on every pool is starved.
        let gates = Gates::default();
        let cpu = some_core();
        let mut others = Vec::new();
        for _ in 0..workers(Some(cpu)).total + 2 {
            let item = new_item(Arc::clone(&gates), wait);
            assert_eq!(wq::percpu().queue_on(cpu, &item), Submitted::Queued);
            others.push(item);
        }
        for _ in 0..workers(None).total + 2 {
            let item = new_item(Arc::clone(&gates), wait);
            assert_eq!(wq::unbound().queue(&item), Submitted::Queued);
            others.push(item);
        }
        let before = ward.done.get();
        let batch = items(3 + pick(20), &ward);
        for item in &batch {
            let queued = match pick(4) {
                0 => unbound.queue(item),
                1 => ordered.queue(item),
                _ => bound.queue_on(if one_in(3) { some_core() } else { cpu }, item),
            };
            assert_eq!(queued, Submitted::Queued);
            if one_in(8) {
                dawdle(cx);
            }
        }
        until(cx, || ward.done.get() == before + batch.len());
        bound.flush(cx).expect("not one of its items");
        ordered.flush(cx).expect("not one of its items");
        assert!(gates.1.get() < others.len(), "somebody was made");
        refuse_threads(false);
        until(cx, || gates.1.get() == others.len());
        gates.0.complete_all();
        wq::percpu().flush(cx).expect("not one of its items");
        wq::unbound().flush(cx).expect("not one of its items");
    }
    let calls: u64 = ["bound", "free", "row"]
        .iter()
        .map(|n| info(n).stats.rescued)
        .sum();
    assert_eq!(calls as usize, ward.rescued.get(), "N4");
    bound.destroy(cx).expect("not one of its items");
    unbound.destroy(cx).expect("not one of its items");
    ordered.destroy(cx).expect("not one of its items");
}

fn rescued_for_ever(cx: &ThreadCx<'_>) {
    let ward = Arc::new(Ward::default());
    let mut queued = 0;
    for _ in 0..6 {
        let Ok(wq) = Workqueue::<PerCpu>::builder("progress")
            .mem_reclaim()
            .build()
        else {
            // No thread for its rescuer: better no queue than one that may stand still.
            continue;
        };
        let batch = items(2 + pick(12), &ward);
        for item in &batch {
            assert_eq!(wq.queue_on(some_core(), item), Submitted::Queued);
            dawdle(cx);
        }
        queued += batch.len();
        wq.destroy(cx).expect("not one of its items");
        assert_eq!(ward.done.get(), queued);
    }
}

fn one_rescuer_a_queue(cx: &ThreadCx<'_>) {
    type Pair = Arc<(Completion, Count)>;
    fn first(cx: &ThreadCx<'_>, run: &Run<'_, Pair>) {
        run.0.wait(cx);
        run.1.up();
    }
    fn second(_: &ThreadCx<'_>, run: &Run<'_, Pair>) {
        run.0.complete();
    }
    let (one, two) = (percpu("one"), percpu("two"));
    let pair = Pair::default();
    let (a, b) = (
        new_item(Arc::clone(&pair), first),
        new_item(Arc::clone(&pair), second),
    );
    refuse_threads(true);
    // A worker that is there beside the first would help.
    let cpu = core(0);
    let gate = Arc::new((Completion::new(), Count::default()));
    let hogs: Vec<_> = (0..workers(Some(cpu)).idle)
        .map(|_| new_item(Arc::clone(&gate), first))
        .collect();
    for hog in &hogs {
        assert_eq!(wq::percpu().queue_on(cpu, hog), Submitted::Queued);
    }
    assert_eq!(one.queue_on(cpu, &a), Submitted::Queued);
    assert_eq!(two.queue_on(cpu, &b), Submitted::Queued);
    until(cx, || pair.1.get() == 1);
    assert_eq!(one.queue_on(cpu, &a), Submitted::Queued);
    assert_eq!(one.queue_on(cpu, &b), Submitted::Queued);
    sleep(cx, Duration::from_secs(5));
    assert_eq!(pair.1.get(), 1, "one rescuer executes two items at once");
    refuse_threads(false);
    until(cx, || pair.1.get() == 2);
    gate.0.complete_all();
    for wq in [one, two] {
        wq.destroy(cx).expect("not one of its items");
    }
    wq::percpu().flush(cx).expect("not one of its items");
}

fn mayday_times(cx: &ThreadCx<'_>) {
    type Times = Arc<HostMutex<Vec<u64>>>;
    fn sign(_: &ThreadCx<'_>, run: &Run<'_, Times>) {
        run.lock().expect("no panic").push(now().as_nanos());
    }
    let wq = percpu("timed");
    let (times, late) = (Times::default(), Times::default());
    let other = new_item(Arc::clone(&late), sign);
    refuse_threads(true);
    let cpu = core(0);
    let begin = now();
    // The only worker becomes the manager and stays it.
    let gate = new_item(Arc::clone(&late), sign);
    assert_eq!(wq::percpu().queue_on(cpu, &gate), Submitted::Queued);
    assert_eq!(wq::percpu().queue_on(cpu, &other), Submitted::Queued);
    let at = |d: Duration| -> Instant { begin + d };
    for wanted in [10, 110, 210, 310] {
        let item = new_item(Arc::clone(&times), sign);
        assert_eq!(wq.queue_on(cpu, &item), Submitted::Queued);
        sleep_until(cx, at(ms(wanted + 50)));
    }
    refuse_threads(false);
    wq::percpu().flush(cx).expect("not one of its items");
    let since = |t: &u64| (t - begin.as_nanos()) / 1_000;
    let times: Vec<_> = times.lock().expect("no panic").iter().map(since).collect();
    let within = |t: u64, wanted: u64, late: u64| t >= wanted && t < wanted + late;
    // One may be late, and the next go with it: a core can be held up while the others' time goes on.
    let wanted = [10_000, 110_000, 210_000, 310_000];
    let both = || times.iter().zip(wanted);
    let exact = both().filter(|&(&t, at)| within(t, at, 500)).count();
    let in_time = times[0] >= wanted[0] && both().all(|(&t, at)| t < at + 100_000);
    assert!(
        exact >= 2 && in_time,
        "{times:?}: rescued so many us after the creation began"
    );
    assert_eq!(times.len(), 4);
    let retry = late.lock().expect("no panic").first().map_or(0, since);
    assert!(
        within(retry, 1_000_000, 100_000),
        "tried again after {retry} us"
    );
    let stats = info("timed").stats;
    assert_eq!(stats.rescued, 4);
    assert!((3..=4).contains(&stats.mayday), "{stats:?}");
    wq.destroy(cx).expect("not one of its items");
}

fn rescuer_between_cores(cx: &ThreadCx<'_>) {
    type Log = Arc<HostMutex<Vec<usize>>>;
    fn sign(cx: &ThreadCx<'_>, run: &Run<'_, (Log, CpuId)>) {
        assert!(wq::current_is_rescuer());
        assert_eq!(here(), run.1, "C1");
        let first = run.0.lock().expect("no panic").is_empty();
        if first {
            // All others call meanwhile.
            sleep(cx, ms(30));
            assert_eq!(here(), run.1, "C1");
        }
        run.0.lock().expect("no panic").push(here().index());
        linger();
    }
    let wq = percpu("everywhere");
    let log = Log::default();
    refuse_threads(true);
    for n in 0..cpus() {
        for _ in 0..40 {
            let item = new_item((Arc::clone(&log), core(n)), sign);
            assert_eq!(wq.queue_on(core(n), &item), Submitted::Queued);
        }
    }
    wq.flush(cx).expect("not one of its items");
    refuse_threads(false);
    let log = log.lock().expect("no panic").clone();
    assert_eq!(log.len(), 40 * cpus());
    let turns: Vec<_> = log.chunk_by(|a, b| a == b).map(<[usize]>::len).collect();
    let wanted = [16, 16, 8]
        .iter()
        .flat_map(|&n| std::iter::repeat_n(n, cpus()));
    assert!(turns.iter().copied().eq(wanted), "{turns:?}");
    wq.destroy(cx).expect("not one of its items");
}

fn rescuer_panics(cx: &ThreadCx<'_>) {
    fn fail(_: &ThreadCx<'_>, _: &Run<'_, ()>) {
        assert!(!wq::current_is_rescuer(), "on purpose");
    }
    let wq = percpu("brittle");
    let ward = Arc::new(Ward::default());
    for _ in 0..2 {
        let before = ward.done.get();
        refuse_threads(true);
        let bad = new_item((), fail);
        let cpu = some_core();
        assert_eq!(wq.queue_on(cpu, &bad), Submitted::Queued);
        let good = items(5, &ward);
        for item in &good {
            assert_eq!(wq.queue_on(cpu, item), Submitted::Queued);
        }
        until(cx, || !bad.is_pending());
        sleep(cx, ms(300));
        refuse_threads(false);
        until(cx, || ward.done.get() == before + good.len());
        // The successor may have to try again, each second.
        sleep(cx, Duration::from_secs(60));
    }
    wq.destroy(cx).expect("not one of its items");
}

fn promised_progress(cx: &ThreadCx<'_>) {
    struct Trial {
        mine: Workqueue<PerCpu>,
        other: Item,
        friend: Item,
        friends: Workqueue<Unbound>,
        done: Count,
    }
    fn try_all(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Trial>>) {
        let t = &**run;
        if t.other.is_pending() {
            // Unless it is over by now.
            let waited = t.other.flush(cx);
            assert!(matches!(waited, Err(WaitError::NoProgress) | Ok(false)));
        }
        assert_eq!(wq::unbound().flush(cx), Err(WaitError::NoProgress));
        assert_eq!(t.mine.flush(cx), Err(WaitError::SelfWait));
        t.friend.flush(cx).expect("its queue has a rescuer");
        t.friends.flush(cx).expect("it has a rescuer");
        t.other
            .cancel_sync(cx)
            .expect("a cancel waits for nothing new");
        t.done.up();
    }
    let ward = Arc::new(Ward::default());
    let trial = Arc::new(Trial {
        mine: percpu("mine"),
        other: new_item(Arc::clone(&ward), visit),
        friend: new_item(Arc::clone(&ward), visit),
        friends: insist(|| {
            Workqueue::<Unbound>::builder("friends")
                .mem_reclaim()
                .build()
        }),
        done: Count::default(),
    });
    for n in 1..4 {
        let item = new_item(Arc::clone(&trial), try_all);
        assert!(wq::unbound().queue(&trial.other).is_pending());
        assert!(trial.friends.queue(&trial.friend).is_pending());
        assert_eq!(trial.mine.queue(&item), Submitted::Queued);
        until(cx, || trial.done.get() == n);
    }
    assert!(!wq::current_is_rescuer());
    wq::unbound()
        .flush(cx)
        .expect("a thread waits for what it likes");
    let Trial { mine, friends, .. } = &*trial;
    mine.clone().destroy(cx).expect("not one of its items");
    friends.clone().destroy(cx).expect("not one of its items");
}
