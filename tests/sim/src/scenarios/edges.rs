//! The ends of queues: who drains or destroys one meets whoever changes it, and its last items.

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{
    self, Attrs, AttrsError, Ordered, PerCpu, Placed, Run, Scope, Submitted, Threaded, Unbound,
    WaitError, Workqueue,
};
use machine::CpuId;
use sim::{Held, Scenario, refuse_threads};

use super::attributes::{parted, some_attrs, unbound_pools};
use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, here, insist, join, linger, ms, new_delayed, new_item,
    one_in, pick, some_core, until, us,
};

/// Scenarios of how queues end.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("changes-after-the-end", 3, changes_after_the_end)
        .about("a destroyed queue refuses attributes, items and nothing else, and holds no pool though its handles live (I10, A1, D9)")
        .topology(parted)
        .cpus_range(1, 8)
        .leaves(&[Held::Blocks], "the system's unbound queue keeps every share it once needed")
        .endures(HARDY),
    Scenario::new("refused-drain", 2, refused_drain)
        .about("a drain or destroy that is refused leaves the queue as it was (I9, I10, H6)")
        .cpus_range(1, 4)
        .endures(HARDY),
    Scenario::new("refused-is-not-pending", 3, refused_is_not_pending)
        .about("what a draining or destroyed queue refuses, at once or when its delay is over, is idle, and runs elsewhere (N8 c, C10, J8)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("chains-across-pods", 4, chains_across_pods)
        .about("while a queue drains and its attributes change, what its items queue runs (C10, I9, G1)")
        .topology(parted)
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("drain-of-a-moving-chain", 4, moving_chain)
        .about("a drain ends when nothing is left, also where items queue the next ones on other cores (I9, I10)")
        .cpus_range(2, 8)
        .endures(HARDY),
    Scenario::new("end-with-a-slot-on-its-way", 4, slot_on_its_way)
        .about("a queue is destroyed while a slot goes to a share whose items were cancelled (D5, I10, J7)")
        .topology(parted)
        .cpus_range(2, 8),
    Scenario::new("end-of-a-rescuer-that-panicked", 2, successor_and_end)
        .about("a queue is destroyed while its rescuer dies and makes a successor (F4, I10)")
        .cpus_range(1, 4)
        .endures(HARDY)
        .leaves(&[Held::Blocks], "the stack of a thread that panicked stays, with what it referred to"),
    Scenario::new("end-without-a-rescuer", 2, without_a_rescuer)
        .about("a queue that calls for a rescuer which died and has no successor is destroyed, and its pool goes (I10, A1)")
        .cpus_range(1, 4)
        .leaves(&[Held::Blocks], "the stack of a thread that panicked stays, with what it referred to"),
];

fn count(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>) {
    dawdle(cx);
    run.up();
}

fn changes_after_the_end(cx: &ThreadCx<'_>) {
    let pools = unbound_pools();
    let ordered = insist(|| Workqueue::<Ordered>::builder("ordered").build());
    end_while_it_changes(cx, &ordered);
    let unbound = insist(|| Workqueue::<Unbound>::builder("unbound").build());
    end_while_it_changes(cx, &unbound);
    unbound.set_max_active(3);
    unbound.set_min_active(2);
    insist(|| wq::set_default_scope(cx, Scope::Default));
    assert_eq!(unbound_pools(), pools, "a destroyed queue holds pools");
}

fn end_while_it_changes<K>(cx: &ThreadCx<'_>, queue: &Workqueue<K>)
where
    K: Placed<Context = Threaded> + 'static,
{
    let runs = Arc::new(Count::default());
    let changers = {
        let queue = queue.clone();
        crowd(2, move |cx, n| {
            for _ in 0..12 {
                if n == 0 {
                    let _without_memory =
                        wq::set_default_scope(cx, [Scope::Cpu, Scope::Numa][pick(2)]);
                }
                if queue.apply_attrs(cx, some_attrs()) == Err(AttrsError::Destroyed) {
                    break;
                }
                dawdle(cx);
            }
        })
    };
    for _ in 0..3 {
        let item = new_item(Arc::clone(&runs), count);
        assert_eq!(queue.queue_on(some_core(), &item), Submitted::Queued);
        dawdle(cx);
    }
    let enders = {
        let queue = queue.clone();
        crowd(1, move |cx, _| {
            dawdle(cx);
            queue.clone().destroy(cx).expect("not one of its items");
        })
    };
    if one_in(2) {
        queue.clone().destroy(cx).expect("not one of its items");
    }
    join(cx, &enders);
    assert_eq!(runs.get(), 3);
    join(cx, &changers);
    let before = queue.attrs();
    let refused = insist(|| match queue.apply_attrs(cx, some_attrs()) {
        Err(AttrsError::NoMemory) => Err(()),
        other => Ok(other),
    });
    assert_eq!(refused, Err(AttrsError::Destroyed));
    assert_eq!(queue.attrs(), before);
    let late = new_item(Arc::clone(&runs), count);
    assert_eq!(queue.queue(&late), Submitted::Draining);
    assert!(!late.is_pending());
    queue.flush(cx).expect("not one of its items");
    queue.drain(cx).expect("not one of its items");
    assert_eq!(queue.queue(&late), Submitted::Draining, "a drain opened it");
}

/// N8 c: in Linux the second of each pair is pending for ever, on no list.
fn refused_is_not_pending(cx: &ThreadCx<'_>) {
    fn wait(cx: &ThreadCx<'_>, run: &Run<'_, Completion>) {
        run.wait(cx);
    }
    let queue = insist(|| Workqueue::<PerCpu>::builder("ends").build());
    let runs = Arc::new(Count::default());
    let (early, at_once) = (
        new_delayed(Arc::clone(&runs), count),
        new_item(Arc::clone(&runs), count),
    );
    let gate = new_item(Completion::new(), wait);
    let cpu = some_core();
    assert_eq!(queue.queue_on(cpu, &gate), Submitted::Queued);
    // Its delay is over while the queue drains, and its timer finds that out.
    assert_eq!(queue.queue_delayed(&early, ms(1)), Submitted::Queued);
    let destroyed = one_in(2);
    let ender = {
        let queue = queue.clone();
        crowd(1, move |cx, _| {
            let ended = if destroyed {
                queue.clone().destroy(cx)
            } else {
                queue.drain(cx)
            };
            ended.expect("not one of its items");
        })
    };
    // Until the drain has begun it is queued, and runs.
    until(cx, || {
        queue.queue_on(cpu, &at_once) != Submitted::Queued || {
            at_once.flush(cx).expect("no panic");
            false
        }
    });
    assert!(!at_once.is_pending() && at_once.busy() == (false, false));
    assert_eq!(at_once.flush(cx), Ok(false), "it is idle");
    until(cx, || !early.is_pending());
    early.flush(cx).expect("no panic");
    gate.complete_all();
    join(cx, &ender);
    let accepted = runs.get();
    // Nobody has it: it goes wherever it is queued next, and runs.
    assert_eq!(wq::percpu().queue_on(cpu, &at_once), Submitted::Queued);
    at_once.flush(cx).expect("no panic");
    assert_eq!(wq::percpu().queue_delayed(&early, us(5)), Submitted::Queued);
    until(cx, || runs.get() == accepted + 2);
    early.flush(cx).expect("no panic");
    assert_eq!(early.busy(), (false, false));
    if !destroyed {
        queue.destroy(cx).expect("not one of its items");
    }
}

fn refused_drain(cx: &ThreadCx<'_>) {
    struct Trial {
        mine: Workqueue<PerCpu>,
        other: Workqueue<Unbound>,
        done: Count,
    }
    fn try_all(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Trial>>) {
        let Trial { mine, other, done } = &***run;
        assert_eq!(other.drain(cx), Err(WaitError::NoProgress));
        assert_eq!(other.clone().destroy(cx), Err(WaitError::NoProgress));
        assert_eq!(mine.drain(cx), Err(WaitError::SelfWait));
        assert_eq!(mine.clone().destroy(cx), Err(WaitError::SelfWait));
        done.up();
    }
    let trial = Arc::new(Trial {
        mine: insist(|| Workqueue::<PerCpu>::builder("mine").mem_reclaim().build()),
        other: insist(|| Workqueue::<Unbound>::builder("other").build()),
        done: Count::default(),
    });
    let runs = Arc::new(Count::default());
    for n in 1..4 {
        let item = new_item(Arc::clone(&trial), try_all);
        assert_eq!(trial.mine.queue(&item), Submitted::Queued);
        // Not even for a moment does it refuse.
        let own = new_item(Arc::clone(&runs), count);
        while trial.done.get() < n {
            assert!(trial.other.queue(&own).is_pending());
            dawdle(cx);
        }
        own.flush(cx).expect("no panic");
        assert_eq!(trial.other.queue(&own), Submitted::Queued);
        own.flush(cx).expect("no panic");
        assert_eq!(trial.mine.queue(&own), Submitted::Queued);
        own.flush(cx).expect("no panic");
        item.flush(cx).expect("no panic");
    }
    trial.other.clone().destroy(cx).expect("a thread may");
    trial.mine.clone().destroy(cx).expect("a thread may");
}

/// A chain of items, each of which queues the next.
struct Chain<K> {
    queue: Workqueue<K>,
    left: Count,
    runs: Count,
    /// Where the next item goes.
    hop: fn() -> CpuId,
}

impl<K: wq::Kind<Context = Threaded> + 'static> Chain<K> {
    /// A chain on `queue` of which `ends` items are queued and `left` are to come.
    fn start(queue: &Workqueue<K>, ends: usize, left: usize, hop: fn() -> CpuId) -> Arc<Self> {
        let chain = Arc::new(Self {
            queue: queue.clone(),
            left: Count::new(left),
            runs: Count::default(),
            hop,
        });
        for _ in 0..ends {
            let item = new_item(Arc::clone(&chain), Self::next);
            assert_eq!(queue.queue_on(hop(), &item), Submitted::Queued);
        }
        chain
    }

    fn next(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Self>>) {
        if one_in(3) {
            dawdle(cx);
        }
        if run.left.get() > 0 {
            run.left.down();
            let item = new_item(Arc::clone(run), Self::next);
            assert_eq!(run.queue.queue_on((run.hop)(), &item), Submitted::Queued);
            linger();
        }
        run.runs.up();
    }

    fn is_over(&self, items: usize) {
        assert_eq!((self.left.get(), self.runs.get()), (0, items));
    }
}

fn chains_across_pods(cx: &ThreadCx<'_>) {
    let pools = unbound_pools();
    for _ in 0..2 {
        let queue = insist(|| Workqueue::<Unbound>::builder("chained").build());
        let chain = Chain::start(&queue, 3, 24, some_core);
        let changers = {
            let queue = queue.clone();
            crowd(1, move |cx, _| {
                for _ in 0..12 {
                    let _without_memory = queue.apply_attrs(cx, some_attrs());
                    linger();
                }
            })
        };
        if one_in(2) {
            queue.drain(cx).expect("not one of its items");
            chain.is_over(27);
        }
        queue.destroy(cx).expect("not one of its items");
        chain.is_over(27);
        join(cx, &changers);
        assert_eq!(unbound_pools(), pools, "a destroyed queue holds pools");
    }
}

fn moving_chain(cx: &ThreadCx<'_>) {
    // Against the order in which shares are looked at.
    fn down() -> CpuId {
        core(here().index() + cpus() - 1)
    }
    for round in 0..3 {
        let queue = insist(|| Workqueue::<PerCpu>::builder("chained").build());
        let chain = Chain::start(&queue, 1, 30, down);
        if round > 0 {
            queue.drain(cx).expect("not one of its items");
            chain.is_over(31);
        }
        queue.destroy(cx).expect("not one of its items");
        chain.is_over(31);
    }
}

fn slot_on_its_way(cx: &ThreadCx<'_>) {
    let pools = unbound_pools();
    for _ in 0..4 {
        let queue = insist(|| {
            let builder = Workqueue::<Unbound>::builder("narrow");
            let attrs = Attrs {
                scope: Scope::Cpu,
                strict: true,
                ..Attrs::new()
            };
            builder.max_active(1).min_active(1).attrs(attrs).build()
        });
        let runs = Arc::new(Count::default());
        let items: Vec<_> = (0..2 * cpus())
            .map(|_| new_item(Arc::clone(&runs), count))
            .collect();
        for (n, item) in items.iter().enumerate() {
            assert_eq!(queue.queue_on(core(n), item), Submitted::Queued);
        }
        // Shares whose items were all cancelled stay in line.
        let cancelled = items[1..].iter().filter(|_| !one_in(4));
        let cancelled = cancelled.filter(|item| item.cancel()).count();
        queue.destroy(cx).expect("not one of its items");
        assert_eq!(runs.get(), items.len() - cancelled);
        assert_eq!(unbound_pools(), pools, "a destroyed queue holds pools");
    }
}

fn fail_in_a_rescuer(_: &ThreadCx<'_>, run: &Run<'_, bool>) {
    if wq::current_is_rescuer() {
        if **run {
            refuse_threads(false);
        }
        panic!("on purpose");
    }
}

fn successor_and_end(cx: &ThreadCx<'_>) {
    for _ in 0..3 {
        let queue = insist(|| {
            Workqueue::<PerCpu>::builder("brittle")
                .mem_reclaim()
                .build()
        });
        let runs = Arc::new(Count::default());
        refuse_threads(true);
        let bad = new_item(true, fail_in_a_rescuer);
        let good = new_item(Arc::clone(&runs), count);
        let cpu = some_core();
        assert_eq!(queue.queue_on(cpu, &bad), Submitted::Queued);
        assert_eq!(queue.queue_on(cpu, &good), Submitted::Queued);
        while bad.is_pending() {
            sleep(cx, us(200));
        }
        dawdle(cx);
        queue.destroy(cx).expect("not one of its items");
        assert_eq!(runs.get(), 1);
        refuse_threads(false);
    }
}

fn without_a_rescuer(cx: &ThreadCx<'_>) {
    let pools = unbound_pools();
    let queue = insist(|| {
        let builder = Workqueue::<Unbound>::builder("brittle").mem_reclaim();
        let attrs = Attrs {
            nice: 7,
            ..Attrs::new()
        };
        builder.attrs(attrs).build()
    });
    let runs = Arc::new(Count::default());
    refuse_threads(true);
    let bad = new_item(false, fail_in_a_rescuer);
    assert_eq!(queue.queue(&bad), Submitted::Queued);
    for _ in 0..3 {
        let item = new_item(Arc::clone(&runs), count);
        assert_eq!(queue.queue(&item), Submitted::Queued);
    }
    until(cx, || bad.is_poisoned());
    // The others have called since; the worker comes before the successor, which tries each second.
    sleep(cx, ms(300));
    assert_eq!(runs.get(), 0, "somebody was made");
    refuse_threads(false);
    queue.clone().destroy(cx).expect("not one of its items");
    assert_eq!(runs.get(), 3);
    assert_eq!(unbound_pools(), pools, "a destroyed queue holds a pool");
}
