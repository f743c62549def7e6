//! Waits that close a circle are refused, and no others (D11, I4).

use std::sync::{Arc, OnceLock, Weak};

use kernel::completion::Completion;
use kernel::mutex::{LockError, Mutex};
use kernel::thread::ThreadCx;
use kernel::waits::Deadlock;
use kernel::wq::{self, Ordered, PerCpu, Run, Submitted, Unbound, WaitError, Work, Workqueue};
use sim::Scenario;

use crate::kit::{
    Count, HARDY, core, crowd, dawdle, insist, join, new_item, one_in, pick, some_core,
};

/// Scenarios of refused waits.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("items-flush-each-other", 3, items_flush_each_other)
        .about("of two items that wait for each other at once exactly one is refused (I4, I5, J2)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("queues-flush-each-other", 3, queues_flush_each_other)
        .about("of two items that flush each other's queue exactly one is refused (I1, I4)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("chain-beyond-the-limit", 3, chain_beyond_the_limit)
        .about("a chain of items one longer than max_active is refused at one place, by name (D11)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("mutexes-crosswise", 3, mutexes_crosswise)
        .about("of two threads that take two mutexes crosswise exactly one is refused (I4)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("flush-with-the-mutex-held", 3, flush_with_the_mutex_held)
        .about("a flush holding a mutex that the item takes: one of the two is refused (I4)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("honest-waits", 3, honest_waits)
        .about("waits that somebody ends are never refused, however deep they go (D11, I4)")
        .cpus_range(1, 8)
        .endures(HARDY),
];

const ROUNDS: usize = 6;

/// Two parties that both are there before either goes on.
#[derive(Default)]
struct Gate([Completion; 2]);

impl Gate {
    fn meet(&self, cx: &ThreadCx<'_>, me: usize) {
        self.0[me].complete_all();
        self.0[1 - me].wait(cx);
    }
}

/// The chain in words must begin with the running item or thread and name `parts`.
fn names(d: Deadlock, parts: &[&str]) {
    let chain = d.chain().expect("nobody else is refused meanwhile");
    for part in parts {
        assert!(chain.contains(part), "{part} is not in: {chain}");
    }
}

type Other = Arc<OnceLock<Weak<Work<Partner>>>>;

struct Partner {
    me: usize,
    other: Other,
    gate: Arc<Gate>,
    refused: Arc<Count>,
}

fn wait_for_partner(cx: &ThreadCx<'_>, run: &Run<'_, Partner>) {
    run.gate.meet(cx, run.me);
    dawdle(cx);
    let other = run.other.get().and_then(Weak::upgrade);
    let other = other.expect("set before it was queued");
    let waited = match pick(3) {
        0 => other.flush(cx),
        1 => other.cancel_sync(cx),
        _ => {
            let waited = other.disable_sync(cx);
            other.enable();
            waited
        }
    };
    match waited {
        Ok(_) => {}
        Err(WaitError::Deadlock(d)) => {
            names(d, &["Partner", "queue each-other", "run by"]);
            run.refused.up();
        }
        Err(e) => panic!("{e}"),
    }
}

fn items_flush_each_other(cx: &ThreadCx<'_>) {
    let q = insist(|| Workqueue::<Unbound>::builder("each-other").build());
    for _ in 0..ROUNDS {
        let (gate, refused) = (Arc::new(Gate::default()), Arc::new(Count::default()));
        let others: [Other; 2] = Default::default();
        let items = [0, 1].map(|me| {
            let partner = Partner {
                me,
                other: Arc::clone(&others[1 - me]),
                gate: Arc::clone(&gate),
                refused: Arc::clone(&refused),
            };
            new_item(partner, wait_for_partner)
        });
        for (other, item) in others.iter().zip(&items) {
            assert!(other.set(Arc::downgrade(item)).is_ok());
        }
        for item in &items {
            assert_eq!(q.queue_on(some_core(), item), Submitted::Queued);
        }
        q.flush(cx).expect("a thread for whom nobody waits");
        assert_eq!(refused.get(), 1, "exactly one closes the circle");
    }
    q.destroy(cx).expect("not one of its items");
}

struct Flusher {
    me: usize,
    other: Workqueue<Unbound>,
    gate: Arc<Gate>,
    refused: Arc<Count>,
}

fn queues_flush_each_other(cx: &ThreadCx<'_>) {
    fn flush(cx: &ThreadCx<'_>, run: &Run<'_, Flusher>) {
        run.gate.meet(cx, run.me);
        dawdle(cx);
        let waited = if one_in(3) {
            run.other.drain(cx)
        } else {
            run.other.flush(cx)
        };
        match waited {
            Ok(()) => {}
            Err(WaitError::Deadlock(d)) => {
                names(d, &["Flusher", "queue left", "queue right"]);
                run.refused.up();
            }
            Err(e) => panic!("{e}"),
        }
    }
    let queues = ["left", "right"].map(|n| insist(|| Workqueue::<Unbound>::builder(n).build()));
    for _ in 0..ROUNDS {
        let (gate, refused) = (Arc::new(Gate::default()), Arc::new(Count::default()));
        let items = [0, 1].map(|me| {
            let flusher = Flusher {
                me,
                other: queues[1 - me].clone(),
                gate: Arc::clone(&gate),
                refused: Arc::clone(&refused),
            };
            new_item(flusher, flush)
        });
        for (q, item) in queues.iter().zip(&items) {
            assert_eq!(q.queue_on(some_core(), item), Submitted::Queued);
        }
        for item in &items {
            item.flush(cx).expect("a thread for whom nobody waits");
        }
        assert_eq!(refused.get(), 1, "exactly one closes the circle");
    }
    for q in queues {
        q.destroy(cx).expect("not one of its items");
    }
}

type Queueing = dyn Fn(&Arc<Work<Link>>) -> Submitted + Send + Sync;

/// One of a chain of items: it waits for the next, on the same queue.
struct Link {
    queue: Box<Queueing>,
    next: Option<Arc<Work<Self>>>,
    refused: Arc<Count>,
}

/// Queues a chain of `n` items; how many waits were refused.
fn run_chain<Q>(cx: &ThreadCx<'_>, n: usize, queue: &Q) -> usize
where
    Q: Fn(&Arc<Work<Link>>) -> Submitted + Clone + Send + Sync + 'static,
{
    fn follow(cx: &ThreadCx<'_>, run: &Run<'_, Link>) {
        let Some(next) = &run.next else { return };
        dawdle(cx);
        assert_eq!((run.queue)(next), Submitted::Queued);
        dawdle(cx);
        match next.flush(cx) {
            Ok(_) => {}
            Err(WaitError::Deadlock(d)) => {
                names(d, &["Link", "(queue chain,"]);
                run.refused.up();
            }
            Err(e) => panic!("{e}"),
        }
    }
    let refused = Arc::new(Count::default());
    let mut next = None;
    let mut links = Vec::new();
    for _ in 0..n {
        let link = Link {
            queue: Box::new(queue.clone()),
            next,
            refused: Arc::clone(&refused),
        };
        let item = new_item(link, follow);
        links.push(Arc::clone(&item));
        next = Some(item);
    }
    let first = links.last().expect("a chain of some length");
    assert_eq!(queue(first), Submitted::Queued);
    for link in links.iter().rev() {
        link.flush(cx).expect("a thread for whom nobody waits");
    }
    refused.get()
}

fn chain_beyond_the_limit(cx: &ThreadCx<'_>) {
    let ordered = insist(|| Workqueue::<Ordered>::builder("chain").build());
    let percpu = insist(|| Workqueue::<PerCpu>::builder("chain").max_active(3).build());
    let unbound = insist(|| {
        let builder = Workqueue::<Unbound>::builder("chain");
        builder.max_active(2).min_active(1).build()
    });
    for _ in 0..2 {
        let q = ordered.clone();
        assert_eq!(run_chain(cx, 2, &move |i: &_| q.queue(i)), 1);
        let (q, c) = (percpu.clone(), some_core());
        assert_eq!(run_chain(cx, 4, &move |i: &_| q.queue_on(c, i)), 1);
        // What is left of the limit on one memory node may be less than two.
        let (q, c) = (unbound.clone(), core(0));
        assert!(run_chain(cx, 3, &move |i: &_| q.queue_on(c, i)) >= 1);
    }
    ordered.destroy(cx).expect("not one of its items");
    percpu.destroy(cx).expect("not one of its items");
    unbound.destroy(cx).expect("not one of its items");
}

fn mutexes_crosswise(cx: &ThreadCx<'_>) {
    for _ in 0..ROUNDS {
        let gate = Gate::default();
        let refused = Arc::new(Count::default());
        let both = [Mutex::new(0_u32), Mutex::new(0)];
        let shared = Arc::new((gate, both));
        let threads = {
            let refused = Arc::clone(&refused);
            crowd(2, move |cx, me| {
                let (gate, both) = &*shared;
                let _mine = both[me].lock(cx).expect("it is free");
                gate.meet(cx, me);
                dawdle(cx);
                match both[1 - me].lock(cx) {
                    Ok(mut other) => *other += 1,
                    Err(LockError::Deadlock(d)) => {
                        names(d, &["thread", "a mutex held by"]);
                        refused.up();
                    }
                    Err(LockError::Poisoned(_)) => panic!("nobody died"),
                }
            })
        };
        join(cx, &threads);
        assert_eq!(refused.get(), 1, "exactly one closes the circle");
    }
    let again = Mutex::new(());
    let _held = again.lock(cx).expect("it is free");
    assert!(matches!(again.lock(cx), Err(LockError::Deadlock(_))));
}

fn flush_with_the_mutex_held(cx: &ThreadCx<'_>) {
    struct Taker {
        mutex: Mutex<u32>,
        started: Completion,
        refused: Count,
    }
    fn take(cx: &ThreadCx<'_>, run: &Run<'_, Taker>) {
        run.started.complete_all();
        dawdle(cx);
        if let Err(e) = run.mutex.lock(cx) {
            assert!(matches!(e, LockError::Deadlock(_)), "nobody died");
            run.refused.up();
        }
    }
    for _ in 0..ROUNDS {
        let taker = Taker {
            mutex: Mutex::new(0),
            started: Completion::new(),
            refused: Count::default(),
        };
        let item = new_item(taker, take);
        let held = item.mutex.lock(cx).expect("it is free");
        assert_eq!(wq::percpu().queue_on(some_core(), &item), Submitted::Queued);
        item.started.wait(cx);
        dawdle(cx);
        match item.flush(cx) {
            Ok(_) => {}
            Err(WaitError::Deadlock(d)) => {
                names(d, &["thread", "Taker", "a mutex held by"]);
                item.refused.up();
            }
            Err(e) => panic!("{e}"),
        }
        drop(held);
        item.flush(cx).expect("no mutex is held");
        assert_eq!(item.refused.get(), 1, "exactly one closes the circle");
    }
}

fn honest_waits(cx: &ThreadCx<'_>) {
    let percpu = insist(|| Workqueue::<PerCpu>::builder("chain").max_active(4).build());
    let rank = Arc::new([0, 1, 2].map(|_| Mutex::new(0_u32)));
    let crowd = {
        let (percpu, rank) = (percpu.clone(), Arc::clone(&rank));
        crowd(3, move |cx, me| {
            for _ in 0..3 {
                // In order, so there is no circle; the last holds the first while it waits for items.
                let _a = rank[0].lock(cx).expect("nobody waits for it");
                let _b = rank[1].lock(cx).expect("nobody waits for it");
                let _c = rank[2].lock(cx).expect("nobody waits for it");
                let (q, c) = (percpu.clone(), core(me));
                assert_eq!(run_chain(cx, 4, &move |i: &_| q.queue_on(c, i)), 0);
                percpu.flush(cx).expect("its items wait for none of these");
            }
        })
    };
    join(cx, &crowd);
    percpu.destroy(cx).expect("not one of its items");
}
