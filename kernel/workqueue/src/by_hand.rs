//! Situations of the simulated pool worked out by hand: numbers, times, and what the views say.

use std::vec::Vec;

use links::Arena;
use machine::{Duration, Instant};

use crate::item::On;
use crate::sim::{Act, Sim};
use crate::{
    Cull, DEFAULT_ACTIVE, Item, Kind, MAX_ACTIVE, Phase, Pool, Pwq, Tuning, Worker,
    clamp_max_active,
};

const fn secs(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000_000_000)
}

/// A bound pool, one queue with this limit, eight items.
fn bound(max_active: u32) -> Sim {
    Sim::new(Kind::Bound, &[(max_active, false)], 8)
}

/// Items `0..n` are queued.
fn queue(sim: &mut Sim, n: usize) {
    for i in 0..n {
        assert!(sim.queue(0, i));
    }
}

/// The worker that executes item `i`.
fn runner(sim: &Sim, i: usize) -> Option<usize> {
    sim.workers.iter().position(|w| w.act == Act::Running(i))
}

/// Lets the first worker that can advance do so until item `i` is executed; by whom.
fn start(sim: &mut Sim, i: usize) -> usize {
    while runner(sim, i).is_none() {
        let advanced = (0..sim.workers.len()).any(|w| sim.step(w));
        assert!(advanced, "item {i} does not start");
    }
    runner(sim, i).expect("it runs")
}

/// Items `0..n` block, each on a worker of its own.
fn blocked(sim: &mut Sim, n: usize) {
    for i in 0..n {
        sim.queue(0, i);
        let w = start(sim, i);
        assert!(sim.block(w));
    }
}

/// (pending, workers, idle, running, a manager)
fn numbers(pool: &Pool) -> (u32, u32, u32, u32, bool) {
    (
        pool.pending(),
        pool.nr_workers(),
        pool.nr_idle(),
        pool.nr_running(),
        pool.has_manager(),
    )
}

#[test]
fn pool_shows_its_numbers() {
    let mut sim = bound(2);
    assert_eq!(sim.pool.kind(), Kind::Bound);
    assert_eq!(numbers(&sim.pool), (0, 1, 1, 0, false));
    queue(&mut sim, 3);
    assert_eq!(
        numbers(&sim.pool),
        (2, 1, 1, 0, false),
        "the third waits for a slot"
    );
    sim.step(0);
    assert_eq!(
        numbers(&sim.pool),
        (2, 1, 0, 0, true),
        "the last idle one creates"
    );
    sim.step(0);
    assert_eq!(numbers(&sim.pool), (2, 2, 1, 0, false));
    sim.step(0);
    assert_eq!(numbers(&sim.pool), (1, 2, 1, 1, false));
    sim.block(0);
    assert_eq!(numbers(&sim.pool), (1, 2, 1, 0, false));
    assert_eq!(start(&mut sim, 1), 1);
    assert_eq!(numbers(&sim.pool), (0, 3, 1, 1, false));
    sim.resume(0);
    assert_eq!(
        numbers(&sim.pool),
        (0, 3, 1, 2, false),
        "both have the core in turn"
    );
    sim.drain();
    assert_eq!(numbers(&sim.pool), (0, 3, 3, 0, false));
}

#[test]
fn item_shows_where_it_is() {
    let mut sim = bound(1);
    let views = |sim: &Sim, i: usize| {
        let it = sim.item(sim.items[i]);
        (it.is_queued(), it.is_inactive(), it.runner())
    };
    assert_eq!(views(&sim, 0), (false, false, None));
    sim.queue(0, 0);
    sim.queue(0, 1);
    assert_eq!(views(&sim, 0), (true, false, None));
    assert_eq!(views(&sim, 1), (true, true, None));
    let w = start(&mut sim, 0);
    assert_eq!(views(&sim, 0), (false, false, Some(sim.workers[w].h)));
    let node = sim.worker(sim.workers[w].h);
    assert_eq!(node.current(), Some(sim.items[0]));
    assert_eq!(node.current_pwq(), Some(sim.pwqs[0]));
    sim.drain();
    assert_eq!(views(&sim, 0), (false, false, None));
    let node = sim.worker(sim.workers[w].h);
    assert_eq!((node.current(), node.current_pwq()), (None, None));
    assert!(Item::barrier().is_barrier() && !Item::new().is_barrier());
}

#[test]
fn share_counts_what_happened() {
    let mut sim = bound(3);
    assert!(sim.pwq(0).is_empty());
    queue(&mut sim, 6);
    let pwq = sim.pwq(0);
    assert_eq!((pwq.active(), pwq.inactive(), pwq.max_active()), (3, 3, 3));
    assert!(!pwq.is_empty());
    sim.cancel(1);
    sim.cancel(5);
    for i in [0, 2] {
        let w = start(&mut sim, i);
        sim.block(w);
    }
    let last = start(&mut sim, 3);
    sim.block(last);
    for w in 0..3 {
        sim.resume(w);
        sim.budget(w);
    }
    sim.panic(0);
    sim.drain();
    let stats = sim.pwq(0).stats();
    assert_eq!((stats.started, stats.completed, stats.panicked), (4, 4, 1));
    assert_eq!(
        (stats.cm_wakeup, stats.cpu_intensive),
        (2, 3),
        "the last one left no work"
    );
    assert_eq!(stats.cancelled, 2);
    assert!(sim.pwq(0).is_empty());
}

/// E2, E7: who blocks wakes the idle worker, and it has the next item.
#[test]
fn next_worker_is_woken_when_the_last_running_one_blocks() {
    let mut sim = bound(4);
    queue(&mut sim, 3);
    let first = start(&mut sim, 0);
    sim.step(1);
    assert_eq!(
        sim.workers[1].act,
        Act::Asleep,
        "one running worker is enough"
    );
    assert!(!sim.worker(sim.workers[first].h).is_sleeping());
    sim.block(first);
    assert_eq!(sim.workers[1].act, Act::Awake);
    assert_eq!(start(&mut sim, 1), 1);
    assert!(sim.worker(sim.workers[first].h).is_sleeping());
}

/// E14: a hog does not hold back the others.
#[test]
fn next_worker_is_woken_when_the_running_one_used_its_budget() {
    let mut sim = bound(4);
    queue(&mut sim, 2);
    let first = start(&mut sim, 0);
    sim.step(1);
    assert_eq!(sim.workers[1].act, Act::Asleep);
    sim.budget(first);
    assert_eq!(sim.workers[1].act, Act::Awake);
    sim.budget(first);
    assert_eq!(sim.pwq(0).stats().cpu_intensive, 1, "it is out already");
}

#[test]
fn share_refuses_when_told() {
    let mut pwq = Pwq::new(1, false);
    pwq.set_refuse(true);
    assert!(pwq.refuses());
    pwq.set_refuse(false);
    assert!(!pwq.refuses());
}

/// D1.
#[test]
fn limits_are_clamped() {
    assert_eq!(
        [0, 1, 2047, 2048, 2049].map(clamp_max_active),
        [DEFAULT_ACTIVE, 1, 2047, MAX_ACTIVE, MAX_ACTIVE]
    );
}

#[test]
fn flush_is_under_way_until_everything_before_is_over() {
    let mut sim = bound(1);
    assert!(sim.flushes[0].is_idle());
    sim.queue(0, 0);
    sim.flush(0);
    assert!(!sim.flushes[0].is_idle());
    sim.queue(0, 1);
    sim.flush(0);
    let w = start(&mut sim, 0);
    sim.step(w);
    assert!(!sim.flushes[0].is_idle(), "the second one is first now");
    sim.drain();
    assert!(sim.flushes[0].is_idle());
}

/// E10: as long as there is work and nobody else to do it.
#[test]
fn manager_goes_on_while_somebody_is_needed() {
    let mut sim = bound(4);
    sim.fail_creation = true;
    sim.queue(0, 0);
    sim.step(0);
    assert_eq!(sim.workers[0].act, Act::Creating);
    assert!(sim.pool.keep_creating() && sim.pool.has_manager());
    sim.cancel(0);
    assert!(
        !sim.pool.keep_creating() && !sim.pool.has_manager(),
        "no work"
    );

    let mut sim = bound(4);
    sim.queue(0, 0);
    sim.step(0);
    sim.step(0);
    assert_eq!(sim.pool.nr_idle(), 1);
    assert!(!sim.pool.keep_creating(), "somebody is idle");
}

/// E11: one idle worker above two for each four busy ones; the manager counts as idle.
#[test]
fn too_many_workers_by_the_numbers() {
    let mut pool = Pool::new(Kind::Bound, Tuning::LINUX);
    for (workers, idle, manager, expected) in [
        (2, 2, false, false),
        (3, 3, false, true),
        (7, 3, false, true),
        (8, 3, false, false),
        (7, 2, true, true),
        (8, 2, true, false),
        (12, 4, false, true),
        (13, 4, false, false),
        (17, 5, false, true),
    ] {
        (pool.nr_workers, pool.nr_idle, pool.manager) = (workers, idle, manager);
        assert_eq!(
            pool.too_many_workers(),
            expected,
            "{workers} workers, {idle} idle, manager: {manager}"
        );
    }
}

/// E12: the worker that has been idle longest ends, five minutes after it went idle.
#[test]
fn reaper_ends_the_oldest_after_its_time() {
    let mut sim = bound(4);
    blocked(&mut sim, 3);
    sim.settle();
    assert_eq!(numbers(&sim.pool), (0, 4, 1, 0, false));
    assert_eq!(sim.reap_at, None, "one idle worker is not too many");
    for w in 0..3 {
        sim.pass(Duration::from_secs(10));
        sim.resume(w);
        sim.settle();
    }
    assert_eq!(sim.pool.nr_idle(), 4);
    // Worker 3 has been idle since the beginning. With the second one back there were three.
    assert_eq!(sim.reap_at, Some(secs(300)));
    assert_eq!(sim.pool.cull(&mut sim.s, secs(299)), Cull::At(secs(300)));
    let oldest = sim.workers[3].h;
    assert_eq!(
        sim.pool.cull(&mut sim.s, secs(300)),
        Cull::End {
            worker: oldest,
            wake: None
        }
    );
    assert_eq!((sim.pool.nr_workers(), sim.pool.nr_idle()), (3, 3));
    assert_eq!(sim.pool.cull(&mut sim.s, secs(300)), Cull::At(secs(310)));
    let next = sim.workers[0].h;
    assert!(
        matches!(sim.pool.cull(&mut sim.s, secs(310)), Cull::End { worker, .. } if worker == next)
    );
    assert_eq!(
        sim.pool.cull(&mut sim.s, secs(1000)),
        Cull::Enough,
        "two stay"
    );
}

/// A worker that was on its way to some work is culled: another one goes.
#[test]
fn reaper_wakes_another_for_waiting_work() {
    let mut sim = bound(4);
    blocked(&mut sim, 2);
    sim.drain();
    sim.queue(0, 0);
    let woken = sim.workers.iter().position(|w| w.act == Act::Awake);
    assert_eq!(woken.map(|w| sim.workers[w].h), sim.pool.idle.front(), "E7");
    let end = sim.pool.cull(&mut sim.s, secs(1000));
    assert!(matches!(end, Cull::End { wake: Some(w), .. } if Some(w) == sim.pool.idle.front()));
}

#[test]
fn new_tuning_reaps_by_its_own_time() {
    let short = Tuning {
        idle_timeout: Duration::from_secs(7),
        ..Tuning::LINUX
    };
    let mut sim = bound(4);
    assert_eq!(
        sim.pool.set_tuning(&sim.s, short),
        None,
        "there is one worker"
    );
    assert_eq!(sim.pool.tuning(), short);
    assert_eq!(sim.pool.set_tuning(&sim.s, Tuning::LINUX), None);
    sim.pass(Duration::from_secs(10));
    blocked(&mut sim, 2);
    sim.drain();
    assert_eq!(sim.reap_at, Some(secs(310)), "armed");
    assert_eq!(
        sim.pool.set_tuning(&sim.s, short),
        Some(secs(17)),
        "armed anew"
    );
}

#[test]
fn nothing_to_wait_for_takes_no_barrier() {
    let mut sim = bound(1);
    assert_eq!(sim.flush_item(0), None);
    sim.queue(0, 0);
    assert!(sim.flush_item(0).is_some());
    sim.drain();
    assert_eq!(sim.flush_item(0), None);
}

/// D6: waiting items move up when the limit is raised, in order.
#[test]
fn raised_limit_activates() {
    let mut sim = bound(1);
    queue(&mut sim, 4);
    let w = start(&mut sim, 0);
    sim.block(w);
    let p = sim.pwqs[0];
    let wake = sim.pool.set_max_active(&mut sim.s, p, 3);
    assert!(wake.is_some(), "nobody runs, and there is work now");
    let pwq = sim.pwq(0);
    assert_eq!((pwq.active(), pwq.inactive(), pwq.max_active()), (3, 1, 3));
    let waiting: Vec<_> = (0..4)
        .filter(|&i| sim.item(sim.items[i]).is_inactive())
        .collect();
    assert_eq!(waiting, [3]);
}

/// K2, K4: the softirq is the only worker; what its turn leaves it raises itself for again.
#[test]
fn bh_pool_has_one_worker_and_takes_turns() {
    let mut sim = Sim::new(Kind::Bh, &[(u32::MAX, false)], 8);
    queue(&mut sim, 3);
    assert_eq!(sim.workers[0].act, Act::Awake, "the softirq is raised");
    assert_eq!(start(&mut sim, 0), 0);
    assert_eq!(
        numbers(&sim.pool),
        (2, 1, 0, 0, false),
        "nobody creates workers"
    );
    let me = sim.workers[0].h;
    sim.flush_item(0);
    assert_eq!(sim.pool.finish(&mut sim.s, me).flushed, None);
    assert!(sim.pool.pause(&mut sim.s, me, sim.now), "items are left");
    assert_eq!(sim.pool.nr_idle(), 1);
    assert_eq!(
        sim.pool.pending(),
        3,
        "the barrier does not wait on the worker's own list"
    );
    assert!(
        sim.pool.pause(&mut sim.s, me, sim.now),
        "still, between turns"
    );
}

/// K4: only a barrier is left on the worker's own list.
#[test]
fn bh_pool_goes_on_for_a_barrier() {
    let mut sim = Sim::new(Kind::Bh, &[(u32::MAX, false)], 8);
    queue(&mut sim, 1);
    start(&mut sim, 0);
    sim.flush_item(0);
    let me = sim.workers[0].h;
    assert_eq!(sim.pool.finish(&mut sim.s, me).flushed, None);
    assert!(sim.pool.pause(&mut sim.s, me, sim.now));
    assert_eq!(sim.pool.pending(), 1);
}

#[test]
fn bh_pool_without_items_is_done() {
    let mut sim = Sim::new(Kind::Bh, &[(u32::MAX, false)], 8);
    queue(&mut sim, 1);
    start(&mut sim, 0);
    let me = sim.workers[0].h;
    assert_eq!(sim.pool.finish(&mut sim.s, me).flushed, None);
    assert!(!sim.pool.pause(&mut sim.s, me, sim.now));
    assert_eq!(numbers(&sim.pool), (0, 1, 1, 0, false));
}

/// Audits name what was broken on purpose, and nothing else.
#[test]
fn checks_find_what_is_broken() {
    fn pool(break_it: impl FnOnce(&mut Sim)) -> Result<(), &'static str> {
        let mut sim = bound(1);
        queue(&mut sim, 3);
        let w = start(&mut sim, 0);
        sim.step(1);
        assert_eq!(w, 0);
        break_it(&mut sim);
        sim.pool.check(&sim.s)?;
        sim.pwq(0).check(&sim.s)
    }
    let item = |sim: &mut Sim, i: usize, on: On| sim.s.items.get_mut(sim.items[i]).on = on;
    let share = |sim: &mut Sim, f: fn(&mut Pwq)| f(sim.s.pwqs.get_mut(sim.pwqs[0]));
    assert_eq!(pool(|_| ()), Ok(()));
    let wrong = [
        pool(|sim| sim.pool.nr_idle = 0),
        pool(|sim| sim.pool.nr_workers = 0),
        pool(|sim| sim.pool.pending = 1),
        pool(|sim| sim.pool.nr_running = 2),
        pool(|sim| item(sim, 1, On::Worklist)),
        pool(|sim| share(sim, |p| p.nr_inactive = 1)),
        pool(|sim| share(sim, |p| p.max_active = 2)),
        pool(|sim| share(sim, |p| p.nr_in_flight = 2)),
        pool(|sim| share(sim, |p| (p.nr_active, p.max_active) = (2, 2))),
    ];
    let words = wrong.map(|w| w.expect_err("a break that nobody finds"));
    assert_eq!(
        words,
        [
            "the number of idle workers is wrong",
            "more idle workers than workers",
            "the number of pending items is wrong",
            "6: more workers run than work",
            "a waiting item does not know it",
            "the number of waiting items is wrong",
            "3: an item waits for a slot and one is free",
            "4: the colours do not add up",
            "4: more items are active than in flight",
        ]
    );
}

/// What is on the pool's own lists.
#[test]
fn checks_find_strangers_on_the_lists() {
    let mut sim = bound(2);
    queue(&mut sim, 2);
    assert_eq!(sim.pool.check(&sim.s), Ok(()));
    let (first, me) = (sim.items[0], sim.workers[0].h);
    sim.s.items.get_mut(first).on = On::Inactive;
    let stranger = Err("an item on the list does not know it");
    assert_eq!(sim.pool.check(&sim.s), stranger);
    sim.s.items.get_mut(first).on = On::Worklist;
    sim.s.items.get_mut(first).pwq = None;
    assert_eq!(sim.pool.check(&sim.s), stranger);
    sim.s.items.get_mut(first).pwq = Some(sim.pwqs[0]);
    assert_eq!(sim.pool.check(&sim.s), Ok(()));
    Arena::<Worker>::get_mut(&mut sim.s, me).phase = Phase::Prep;
    assert_eq!(
        sim.pool.check(&sim.s),
        Err("a worker on the idle list is not idle")
    );
}

/// An unbound pool counts nobody as running.
#[test]
fn checks_know_the_kinds_of_pools() {
    let mut sim = Sim::new(Kind::Unbound, &[(1, false)], 2);
    queue(&mut sim, 1);
    start(&mut sim, 0);
    assert_eq!(sim.pool.check(&sim.s), Ok(()));
    sim.pool.nr_running = 1;
    assert_eq!(sim.pool.check(&sim.s), Err("6: more workers run than work"));
}
