//! Workers by hand: the manager, the reaper and its times, and the turns of a BH pool.

use links::Arena;
use machine::{Duration, Instant};

use crate::by_hand::{blocked, bound, numbers, queue, start};
use crate::sim::{Act, Sim};
use crate::{Cull, Eyes, Kind, Over, Pool, Tuning};

const fn secs(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000_000_000)
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
fn e11_too_many_workers_by_the_numbers() {
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
fn e12_reaper_ends_the_oldest_after_its_time() {
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
    // As if the others had gone idle since.
    let (first, last) = (sim.pool.idle.front(), sim.pool.idle.back());
    for (w, woken) in [(first, false), (last, true)] {
        sim.s.workers.get_mut(w.expect("three are idle")).woken = woken;
    }
    let end = sim.pool.cull(&mut sim.s, secs(1000));
    assert!(matches!(end, Cull::End { wake, .. } if wake.is_some() && wake == first));
    assert_eq!(sim.pool.kick(&mut sim.s), None, "it is on its way");
}

#[test]
fn new_tuning_reaps_by_its_own_time() {
    let short = Tuning {
        idle_timeout: Duration::from_secs(7),
        ..Tuning::LINUX
    };
    let mut sim = bound(4);
    assert_eq!(
        sim.pool.set_tuning(&mut sim.s, short),
        None,
        "there is one worker"
    );
    assert_eq!(sim.pool.tuning(), short);
    assert_eq!(sim.pool.set_tuning(&mut sim.s, Tuning::LINUX), None);
    sim.pass(Duration::from_secs(10));
    blocked(&mut sim, 2);
    sim.drain();
    assert_eq!(sim.reap_at, Some(secs(310)), "armed");
    assert_eq!(
        sim.pool.set_tuning(&mut sim.s, short),
        Some(secs(17)),
        "armed anew"
    );
}

/// E14: a worker that goes from item to item does not do so past a change of the pool's numbers, so that its next item has the
/// new budget.
#[test]
fn e14_new_tuning_is_looked_at_before_the_next_item() {
    let mut sim = bound(4);
    queue(&mut sim, 3);
    let w = start(&mut sim, 0);
    let h = sim.workers[w].h;
    let goes_on = |sim: &Sim| sim.s.workers.get(h).goes_on.is(sim.pool.stand);
    assert!(goes_on(&sim));
    let _reap_at = sim.pool.set_tuning(&mut sim.s, Tuning::LINUX);
    assert!(!goes_on(&sim));
    assert_eq!(start(&mut sim, 1), w);
    assert!(goes_on(&sim), "it has looked");
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
        (2, 1, 1, 0, false),
        "nobody creates workers"
    );
    let me = sim.workers[0].h;
    assert_eq!(sim.pool.nr_resting(&sim.s), 0);
    sim.flush_item(0);
    assert_eq!(sim.finish(me).flushed, None);
    assert!(sim.pool.end_turn(&mut sim.s, me), "items are left");
    assert_eq!(sim.pool.nr_resting(&sim.s), 1);
    assert_eq!(sim.pool.starts(), 1);
    assert_eq!(
        sim.pool.pending(),
        3,
        "the barrier does not wait on the worker's own list"
    );
    assert!(sim.pool.end_turn(&mut sim.s, me), "still, between turns");
}

/// K2: it is called once, until a turn has left nothing.
#[test]
fn bh_pool_calls_its_softirq_once() {
    let mut sim = Sim::new(Kind::Bh, &[(u32::MAX, false)], 8);
    let calls = |sim: &mut Sim, i: usize| {
        let queued = sim.pool.queue(&mut sim.s, sim.pwqs[0], sim.items[i]);
        assert!(queued.active);
        queued.wake.is_some()
    };
    assert!(calls(&mut sim, 0));
    assert!(!calls(&mut sim, 1), "it was called");
    let me = sim.workers[0].h;
    let (first, p) = sim
        .pool
        .turn_to::<_, { Eyes::NONE }>(&mut sim.s, me, sim.pwqs[0])
        .expect("an item");
    assert_eq!((first, p), (sim.items[0], sim.pwqs[0]));
    assert!(!calls(&mut sim, 2), "its turn will tell");
    assert_eq!(sim.pool.turn_over(&mut sim.s, me, (first, p)), Over::Goes);
    assert!(sim.pool.end_turn(&mut sim.s, me));
    assert!(!calls(&mut sim, 3), "it calls itself");
    for _ in 1..4 {
        let next = sim
            .pool
            .turn_to::<_, { Eyes::NONE }>(&mut sim.s, me, sim.pwqs[0])
            .expect("an item");
        let over = sim.pool.turn_over(&mut sim.s, me, next);
        assert!(!matches!(over, Over::Follows(_)));
    }
    assert_eq!(
        sim.pool
            .turn_to::<_, { Eyes::NONE }>(&mut sim.s, me, sim.pwqs[0]),
        None
    );
    assert_eq!(sim.pool.turn_aside(&mut sim.s, me), None);
    assert!(!sim.pool.end_turn(&mut sim.s, me));
    assert_eq!(sim.pool.starts(), 4);
    assert!(calls(&mut sim, 0), "a new call");
}

/// K4: only a barrier is left on the worker's own list.
#[test]
fn bh_pool_goes_on_for_a_barrier() {
    let mut sim = Sim::new(Kind::Bh, &[(u32::MAX, false)], 8);
    queue(&mut sim, 1);
    start(&mut sim, 0);
    sim.flush_item(0);
    let me = sim.workers[0].h;
    assert_eq!(sim.finish(me).flushed, None);
    assert!(sim.pool.end_turn(&mut sim.s, me));
    assert_eq!(sim.pool.pending(), 1);
}

#[test]
fn bh_pool_without_items_is_done() {
    let mut sim = Sim::new(Kind::Bh, &[(u32::MAX, false)], 8);
    queue(&mut sim, 1);
    start(&mut sim, 0);
    let me = sim.workers[0].h;
    assert_eq!(sim.finish(me).flushed, None);
    assert!(!sim.pool.end_turn(&mut sim.s, me));
    assert_eq!(numbers(&sim.pool), (0, 1, 1, 0, false));
}
