//! Unbound queues: limits by memory node, and slots that go round (D3 to D6, D10).

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::cpu::topology;
use kernel::thread::ThreadCx;
use kernel::wq::{Attrs, Run, Scope, Submitted, Unbound, Workqueue};
use machine::{CpuId, CpuPlace, Topology};
use sim::Scenario;
use sync::{Rank, SpinLock};

use super::attributes::parted;
use crate::kit::{
    Count, core, cpus, crowd, dawdle, insist, join, linger, new_item, one_in, pick, some_core,
    until,
};

/// Scenarios of the limits of unbound queues.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("limit-of-each-node", 8, limit_of_each_node)
        .about("an unbound queue has in each memory node at most its part of max_active, and all items run (D3, D5)")
        .topology(parted)
        .cpus_range(2, 8),
    Scenario::new("one-limit-for-all-pods", 4, one_limit)
        .about("exactly max_active items start on one node, whatever cores queue them, and three more when it is raised by three (D3, D6)")
        .cpus_range(1, 8),
    Scenario::new("slots-go-round", 2, slots_go_round)
        .about("two pods that share one slot take turns (D5)")
        .cpus_range(2, 8),
    Scenario::new("chain-on-a-small-node", 8, chain)
        .about("eight items that wait for each other complete on the smallest node (D4)")
        .topology(one_alone)
        .cpus_range(2, 8),
];

/// The last core has a node to itself.
fn one_alone(n: usize) -> Topology {
    Topology::new((0..n).map(|i| CpuPlace {
        core: i as u8,
        cache: u8::from(i + 1 == n),
        node: u8::from(i + 1 == n),
        ..CpuPlace::default()
    }))
}

/// Who is inside, in each node.
struct Rooms {
    most: Vec<usize>,
    inside: Vec<Count>,
    runs: Count,
}

struct Visitor {
    rooms: Arc<Rooms>,
    node: usize,
}

fn visit(cx: &ThreadCx<'_>, run: &Run<'_, Visitor>) {
    let inside = run.rooms.inside[run.node].up();
    let most = run.rooms.most[run.node];
    assert!(inside < most, "{inside} inside, {most} allowed");
    dawdle(cx);
    run.rooms.inside[run.node].down();
    run.rooms.runs.up();
}

fn node_of(cpu: CpuId) -> usize {
    usize::from(topology().place(cpu).node)
}

fn limit_of_each_node(cx: &ThreadCx<'_>) {
    let (max, min) = (1 + pick(6), 1 + pick(2));
    let attrs = Attrs {
        scope: [Scope::Cpu, Scope::Smt, Scope::Numa][pick(3)],
        ..Attrs::new()
    };
    let queue = insist(|| {
        Workqueue::<Unbound>::builder("parted")
            .max_active(max as u32)
            .min_active(min as u32)
            .attrs(attrs)
            .build()
    });
    let nodes = topology().nodes();
    let most = (0..nodes).map(|n| {
        let here = (0..cpus()).filter(|&c| node_of(core(c)) == n).count();
        (max * here).div_ceil(cpus()).max(min).min(max)
    });
    let rooms = Arc::new(Rooms {
        most: most.collect(),
        inside: (0..nodes).map(|_| Count::default()).collect(),
        runs: Count::default(),
    });
    let users = {
        let (queue, rooms) = (queue.clone(), Arc::clone(&rooms));
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..8 {
                let cpu = some_core();
                let (rooms, node) = (Arc::clone(&rooms), node_of(cpu));
                let item = new_item(Visitor { rooms, node }, visit);
                let queued = if one_in(3) {
                    queue.queue_on_node(node, &item)
                } else {
                    queue.queue_on(cpu, &item)
                };
                assert_eq!(queued, Submitted::Queued);
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    queue.flush(cx).expect("not one of its items");
    assert_eq!(rooms.runs.get(), 8 * users.len());
    queue.destroy(cx).expect("not one of its items");
}

struct Room {
    started: Count,
    gate: Completion,
}

fn stay(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Room>>) {
    run.started.up();
    run.gate.wait(cx);
}

fn one_limit(cx: &ThreadCx<'_>) {
    let attrs = Attrs {
        scope: Scope::Cpu,
        ..Attrs::new()
    };
    let limit = 1 + pick(4);
    let queue = insist(|| {
        Workqueue::<Unbound>::builder("one limit")
            .max_active(limit as u32)
            .attrs(attrs)
            .build()
    });
    let (started, gate) = (Count::default(), Completion::new());
    let room = Arc::new(Room { started, gate });
    let wanted = limit + 3 + cpus();
    for n in 0..wanted {
        let item = new_item(Arc::clone(&room), stay);
        assert_eq!(queue.queue_on(core(n), &item), Submitted::Queued);
    }
    let holds = |limit: usize| {
        until(cx, || room.started.get() >= limit);
        dawdle(cx);
        assert_eq!(room.started.get(), limit);
    };
    holds(limit);
    assert!((0..cpus()).any(|n| queue.is_congested(core(n))), "D10");
    queue.set_max_active(limit as u32 + 3);
    holds(limit + 3);
    room.gate.complete_all();
    queue.flush(cx).expect("not one of its items");
    assert_eq!(room.started.get(), wanted);
    assert!(!(0..cpus()).any(|n| queue.is_congested(core(n))), "D10");
    queue.destroy(cx).expect("not one of its items");
}

fn slots_go_round(cx: &ThreadCx<'_>) {
    const EACH: usize = 8;
    struct Turns {
        gate: Completion,
        order: SpinLock<Vec<usize>>,
    }
    struct Turn {
        turns: Arc<Turns>,
        pod: usize,
    }
    fn take(cx: &ThreadCx<'_>, run: &Run<'_, Turn>) {
        run.turns.gate.wait(cx);
        let mut order = run.turns.order.lock();
        order.push(run.pod);
        drop(order);
        linger();
    }
    let attrs = Attrs {
        scope: Scope::Cpu,
        ..Attrs::new()
    };
    let queue = insist(|| {
        Workqueue::<Unbound>::builder("turns")
            .max_active(1)
            .attrs(attrs)
            .build()
    });
    let order = SpinLock::new(Rank::Service, "order", Vec::with_capacity(2 * EACH));
    let turns = Arc::new(Turns {
        gate: Completion::new(),
        order,
    });
    for n in 0..2 * EACH {
        // All of one pod, and then all of the other.
        let (turns, pod) = (Arc::clone(&turns), n / EACH);
        let item = new_item(Turn { turns, pod }, take);
        assert_eq!(queue.queue_on(core(pod), &item), Submitted::Queued);
    }
    turns.gate.complete_all();
    queue.flush(cx).expect("not one of its items");
    let order = turns.order.lock().clone();
    let mut ahead = 0_isize;
    for (n, pod) in order.iter().enumerate() {
        ahead += if *pod == 0 { 1 } else { -1 };
        assert!(ahead.abs() <= 2, "out of turn at {n}: {order:?}");
    }
    assert_eq!(order.len(), 2 * EACH);
    queue.destroy(cx).expect("not one of its items");
}

fn chain(cx: &ThreadCx<'_>) {
    struct Link {
        nth: usize,
        gates: Arc<Vec<Completion>>,
    }
    fn wait_for_next(cx: &ThreadCx<'_>, run: &Run<'_, Link>) {
        if let Some(next) = run.gates.get(run.nth + 1) {
            next.wait(cx);
        }
        dawdle(cx);
        run.gates[run.nth].complete_all();
    }
    let attrs = Attrs {
        scope: Scope::Numa,
        ..Attrs::new()
    };
    let queue = insist(|| {
        let builder = Workqueue::<Unbound>::builder("chain").max_active(16);
        builder.attrs(attrs).build()
    });
    let alone = core(cpus() - 1);
    for _ in 0..2 {
        let gates: Arc<Vec<_>> = Arc::new((0..8).map(|_| Completion::new()).collect());
        for nth in 0..8 {
            let gates = Arc::clone(&gates);
            let item = new_item(Link { nth, gates }, wait_for_next);
            assert_eq!(queue.queue_on(alone, &item), Submitted::Queued);
        }
        queue.flush(cx).expect("not one of its items");
    }
    queue.destroy(cx).expect("not one of its items");
}
