//! The formulas one by one, with numbers worked out by hand.

use links::{Arena, Handle, Slab};
use machine::{Duration, Instant};
use sched::{Decision, Dequeue, Dequeued, Enqueue, Entity, Loan, Nice, RunQueue, base_slice};

type Queue = RunQueue<Slab<Entity>>;

/// Slices are 2.8 ms.
fn queue(nices: &[i8]) -> (Queue, Vec<Handle<Entity>>) {
    let mut slab = Slab::new();
    let new = |&n: &i8| slab.insert(Entity::new(Nice::new(n).expect("a nice value"), None));
    let all = nices.iter().map(new).collect();
    (RunQueue::new(slab, 8), all)
}

const fn us(n: u64) -> Instant {
    Instant::from_nanos(n * 1000)
}

fn start(rq: &mut Queue, all: &[Handle<Entity>]) {
    for &h in all {
        assert_eq!(rq.enqueue(h, Enqueue::New, us(0)), Decision::Resched);
    }
    assert_eq!(rq.pick_next(us(0)), Some(all[0]));
}

#[test]
fn base_slice_grows_with_cores() {
    let by_cores = [
        (0, 700),
        (1, 700),
        (2, 1400),
        (3, 1400),
        (4, 2100),
        (7, 2100),
        (8, 2800),
        (64, 2800),
    ];
    for (cores, slice_us) in by_cores {
        assert_eq!(
            base_slice(cores),
            Duration::from_micros(slice_us),
            "{cores} cores"
        );
    }
}

#[test]
fn slices_are_clamped() {
    let slice = |us| Entity::new(Nice::ZERO, Some(Duration::from_micros(us))).slice();
    assert_eq!(slice(1), Duration::from_micros(100));
    assert_eq!(slice(5_000), Duration::from_micros(5_000));
    assert_eq!(slice(1_000_000), Duration::from_millis(100));
}

#[test]
fn running_advances_virtual_runtime_inversely_to_weight() {
    for (nice, expected) in [(0, 1_000_000), (-20, 11_536), (19, 68_266_666)] {
        let (mut rq, all) = queue(&[nice]);
        start(&mut rq, &all);
        let _ = rq.update(us(1000));
        assert_eq!(rq.entity(all[0]).vruntime(), expected);
        assert_eq!(rq.entity(all[0]).sum_exec(), Duration::from_millis(1));
    }
}

#[test]
fn many_small_charges_equal_one_large() {
    let (mut rq, all) = queue(&[-20]);
    start(&mut rq, &all);
    for ns in 0..1_000_000 {
        let _ = rq.update(Instant::from_nanos(ns));
    }
    let _ = rq.update(us(1000));
    assert_eq!(rq.entity(all[0]).vruntime(), 11_536);
}

#[test]
fn new_thread_gets_half_a_slice_and_later_requests_a_whole_one() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    assert_eq!(rq.entity(all[0]).deadline(), 1_400_000);
    assert_eq!(rq.slice_end(us(0)), Some(us(1400)));
    assert_eq!(rq.update(Instant::from_nanos(1_399_999)), Decision::Keep);
    assert_eq!(rq.update(us(1400)), Decision::Resched);
    assert_eq!(rq.entity(all[0]).deadline(), 1_400_000 + 2_800_000);
    assert_eq!(rq.pick_next(us(1400)), Some(all[1]));
}

#[test]
fn slice_that_is_over_ends_now() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    assert_eq!(rq.slice_end(us(1399)), Some(us(1400)));
    assert_eq!(rq.slice_end(us(1401)), Some(us(1401)));
}

#[test]
fn alone_there_is_no_slice_timer_and_no_reschedule() {
    let (mut rq, all) = queue(&[0]);
    start(&mut rq, &all);
    assert_eq!(rq.slice_end(us(0)), None);
    assert_eq!(rq.update(us(50_000)), Decision::Keep);
    rq.yield_current(us(50_000));
    assert_eq!(rq.pick_next(us(50_000)), Some(all[0]));
    assert_eq!(
        rq.entity(all[0]).vruntime(),
        50_000_000,
        "yielding to nobody costs nothing"
    );
}

#[test]
fn yield_forfeits_the_rest_of_the_request() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    rq.yield_current(us(0));
    let se = rq.entity(all[0]);
    assert_eq!(
        (se.vruntime(), se.deadline()),
        (1_400_000, 1_400_000 + 2_800_000)
    );
    assert_eq!(rq.pick_next(us(0)), Some(all[1]));
}

#[test]
fn yield_of_a_thread_in_debt_only_lets_others_go_first() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    rq.yield_current(us(10));
    assert_eq!(
        (rq.entity(all[0]).vruntime(), rq.entity(all[0]).deadline()),
        (10_000, 1_400_000)
    );
    assert_eq!(rq.pick_next(us(10)), Some(all[1]));
}

#[test]
fn two_threads_that_yield_alternate() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    let mut switches = 0;
    for i in 1..1000 {
        let before = rq.current();
        rq.yield_current(us(i));
        switches += u32::from(rq.pick_next(us(i)) != before);
    }
    assert!(switches >= 990, "only {switches} of 999 yields switched");
}

/// Two equal threads, the first has run 1 ms: V is 0.5 ms, so their lags are -0.5 and +0.5 ms.
#[test]
fn lag_is_what_is_owed() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    let _ = rq.update(us(1000));
    assert_eq!(rq.avg_vruntime(), 500_000);
    assert_eq!((rq.lag_ns(all[0]), rq.lag_ns(all[1])), (-500_000, 500_000));
}

#[test]
fn blocking_in_debt_is_delayed_and_settled_by_the_next_pick_of_it() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    assert_eq!(
        rq.dequeue(all[0], Dequeue::Sleep, us(1000)),
        Dequeued::Delayed
    );
    assert!(rq.entity(all[0]).is_delayed());
    assert_eq!((rq.nr_runnable(), rq.nr_queued()), (1, 2));
    assert_eq!(
        rq.pull_candidate(|_| true),
        Some(all[1]),
        "a delayed entity is never pulled"
    );
    assert_eq!(rq.pick_next(us(1000)), Some(all[1]));
    // Its deadline is at 1.4 ms too, and from 1.0 ms on the delayed one is eligible again.
    assert_eq!(rq.slice_end(us(1000)), Some(us(2400)));
    assert_eq!(rq.update(us(2400)), Decision::Resched);
    assert_eq!(
        rq.pick_next(us(2400)),
        Some(all[1]),
        "the delayed one was met and removed"
    );
    assert!(!rq.entity(all[0]).is_queued());
    assert_eq!(
        rq.entity(all[0]).saved_vlag(),
        0,
        "waiting while asleep earns nothing"
    );
    assert_eq!((rq.nr_runnable(), rq.nr_queued()), (1, 1));
}

#[test]
fn waking_a_delayed_thread_keeps_its_debt() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    assert_eq!(
        rq.dequeue(all[0], Dequeue::Sleep, us(1000)),
        Dequeued::Delayed
    );
    assert_eq!(rq.pick_next(us(1000)), Some(all[1]));
    assert_eq!(
        rq.enqueue(all[0], Enqueue::Wakeup, us(1100)),
        Decision::Keep
    );
    assert_eq!(rq.entity(all[0]).vruntime(), 1_000_000);
    assert_eq!((rq.nr_runnable(), rq.nr_queued()), (2, 2));
}

#[test]
fn waking_a_delayed_thread_late_starts_it_at_zero_lag() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    assert_eq!(
        rq.dequeue(all[0], Dequeue::Sleep, us(1000)),
        Dequeued::Delayed
    );
    assert_eq!(rq.pick_next(us(1000)), Some(all[1]));
    // The other one has run 2 ms: V = (1 + 2) / 2 ms is past the sleeper's 1 ms.
    let _ = rq.enqueue(all[0], Enqueue::Wakeup, us(3000));
    assert_eq!(rq.entity(all[0]).vruntime(), 2_000_000, "V of the others");
    assert_eq!(rq.lag_ns(all[0]), 0);
}

#[test]
fn exit_is_never_delayed() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    assert_eq!(rq.dequeue(all[0], Dequeue::Exit, us(1000)), Dequeued::Gone);
    assert_eq!(rq.nr_queued(), 1);
}

/// Saved lag +0.5 ms; W = 1024 remains: placed 0.5 * (1024 + 1024) / 1024 = 1 ms before V, so that
/// after joining it has 0.5 ms again.
#[test]
fn placement_restores_the_lag_left_with() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    assert_eq!(rq.dequeue(all[1], Dequeue::Sleep, us(1000)), Dequeued::Gone);
    assert_eq!(rq.entity(all[1]).saved_vlag(), 500_000);
    assert_eq!(rq.avg_vruntime(), 1_000_000);
    let _ = rq.enqueue(all[1], Enqueue::Wakeup, us(1000));
    let se = rq.entity(all[1]);
    assert_eq!((se.vruntime(), se.deadline()), (0, 2_800_000));
    assert_eq!(rq.lag_ns(all[1]), 500_000);
}

#[test]
fn saved_lag_is_clamped_to_two_slices() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    // 100 ms without a reschedule: a lag of 50 ms.
    assert_eq!(
        rq.dequeue(all[1], Dequeue::Sleep, us(100_000)),
        Dequeued::Gone
    );
    assert_eq!(rq.entity(all[1]).saved_vlag(), 5_600_000);
    assert_eq!(rq.entity(all[1]).vlag_limit(), 5_600_000);
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    assert_eq!(
        rq.dequeue(all[0], Dequeue::Migrate, us(100_000)),
        Dequeued::Gone
    );
    assert_eq!(rq.entity(all[0]).saved_vlag(), -5_600_000);
}

#[test]
fn migration_keeps_lag_and_relative_deadline() {
    let (mut rq, all) = queue(&[0, 0, 0]);
    start(&mut rq, &all);
    let _ = rq.update(us(900));
    assert_eq!(
        rq.dequeue(all[1], Dequeue::Migrate, us(900)),
        Dequeued::Gone
    );
    assert_eq!(rq.entity(all[1]).saved_vlag(), 300_000);
    // Same queue again, as if it were another one: 1.4 ms until the deadline, as before.
    let _ = rq.enqueue(all[1], Enqueue::Migrate, us(900));
    let se = rq.entity(all[1]);
    assert_eq!(se.deadline() - se.vruntime(), 1_400_000);
    assert_eq!(rq.lag_ns(all[1]), 300_000);
}

/// V9 by hand: V = 0.5 ms, the waiting thread has v = 0; ten steps of weight later its distance to
/// V has shrunk by 1024 / 9548 and V has not moved.
#[test]
fn reweight_keeps_average_and_lag() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    let _ = rq.update(us(1000));
    let _ = rq.set_nice(all[1], Nice::new(-10).expect("a nice value"), us(1000));
    assert_eq!(
        rq.entity(all[1]).vruntime(),
        500_000 - 500_000 * 1024 / 9548
    );
    assert!(rq.avg_vruntime().abs_diff(500_000) <= 1);
    assert!(rq.lag_ns(all[1]).abs_diff(500_000) <= 10);
    assert_eq!(rq.entity(all[1]).nice().get(), -10);
}

#[test]
fn reweight_while_asleep_scales_the_saved_lag() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    assert_eq!(rq.dequeue(all[1], Dequeue::Sleep, us(1000)), Dequeued::Gone);
    assert_eq!(rq.set_nice(all[1], Nice::MAX, us(1000)), Decision::Keep);
    assert_eq!(rq.entity(all[1]).saved_vlag(), 500_000 * 1024 / 15);
}

/// Nice 19 in debt by nearly a whole slice beside a nice 0: with what a nice -20 waiter lends it is
/// eligible after as much time as it owes, and not after 68 times that.
#[test]
fn who_is_lent_weight_pays_its_debt_in_its_own_time() {
    let wait = |lend: bool| {
        let (mut rq, all) = queue(&[19, 0]);
        start(&mut rq, &all[..1]);
        let _ = rq.enqueue(all[1], Enqueue::New, us(0));
        let _ = rq.update(us(2_000));
        assert_eq!(rq.pick_next(us(2_000)), Some(all[1]));
        if lend {
            let _ = rq.lend(all[0], Loan::new(Nice::MIN, rq.base_slice()), us(2_000));
        }
        let mut now = 2_000;
        while rq.pick_next(us(now)) != Some(all[0]) {
            now += 10;
            let _ = rq.update(us(now));
        }
        now - 2_000
    };
    let (plain, lent) = (wait(false), wait(true));
    assert!(lent <= 3_000 && plain > 20 * lent, "{lent} of {plain} us");
}

/// What is lent replaces what was lent before, the own values come back, and a shorter slice cuts the
/// request: deadline and slice by hand.
#[test]
fn loans_replace_each_other_and_a_shorter_slice_cuts_the_request() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    let request = |rq: &Queue| {
        let se = rq.entity(all[1]);
        (se.deadline() - se.vruntime(), se.slice().as_nanos())
    };
    let ms = Duration::from_millis;
    // Half a slice at first.
    assert_eq!(request(&rq), (1_400_000, 2_800_000));
    let _ = rq.lend(all[1], Loan::new(Nice::MAX, ms(1)), us(0));
    assert_eq!(rq.entity(all[1]).nice(), Nice::ZERO, "its own is stronger");
    assert_eq!(request(&rq), (1_000_000, 1_000_000));
    let _ = rq.lend(
        all[1],
        Loan::new(Nice::new(-10).expect("a nice value"), ms(90)),
        us(0),
    );
    assert_eq!(rq.entity(all[1]).nice().get(), -10);
    assert_eq!(request(&rq), (1_000_000 * 1024 / 9548, 2_800_000));
    let _ = rq.set_nice(all[1], Nice::new(5).expect("a nice value"), us(0));
    let se = rq.entity(all[1]);
    assert_eq!((se.nice().get(), se.own_nice().get()), (-10, 5));
    let _ = rq.lend(all[1], Loan::NONE, us(0));
    assert_eq!(rq.entity(all[1]).nice().get(), 5);
}

#[test]
fn idle_runqueue_asks_for_a_pick() {
    let (mut rq, all) = queue(&[0]);
    assert_eq!(rq.pick_next(us(5)), None);
    assert_eq!(rq.enqueue(all[0], Enqueue::New, us(7)), Decision::Resched);
    assert_eq!(rq.pick_next(us(9)), Some(all[0]));
    assert_eq!(rq.dequeue(all[0], Dequeue::Exit, us(10)), Dequeued::Gone);
    assert_eq!(
        rq.entity(all[0]).sum_exec(),
        Duration::from_micros(1),
        "idle time is not charged"
    );
    assert_eq!(rq.pick_next(us(10)), None);
}

#[test]
fn woken_equal_does_not_interrupt_a_protected_request() {
    let (mut rq, all) = queue(&[0, 0]);
    start(&mut rq, &all);
    assert_eq!(rq.dequeue(all[1], Dequeue::Sleep, us(0)), Dequeued::Gone);
    assert_eq!(rq.enqueue(all[1], Enqueue::Wakeup, us(1)), Decision::Keep);
    // At 1.3 ms it has an earlier deadline than a request that would end at 4.2 ms.
    assert_eq!(rq.update(us(1400)), Decision::Resched);
    assert_eq!(rq.pick_next(us(1400)), Some(all[1]));
}

#[test]
fn pinned_entities_are_not_counted_as_movable() {
    let (mut rq, all) = queue(&[0; 3]);
    for &h in &all {
        rq.set_pinned(h, true);
    }
    start(&mut rq, &all);
    assert!(rq.all_pinned());
    // The current one does not count until it is put back.
    rq.set_pinned(all[0], false);
    assert!(rq.all_pinned());
    let _ = rq.update(us(10_000));
    assert_ne!(rq.pick_next(us(10_000)), Some(all[0]));
    assert!(!rq.all_pinned());
    let _ = rq.dequeue(all[0], Dequeue::Exit, us(10_000));
    assert!(rq.all_pinned());
    rq.set_pinned(all[2], false);
    assert_eq!(rq.all_pinned(), rq.current() == Some(all[2]));
    assert_eq!(rq.check(), Ok(()));
}

#[test]
fn who_may_move_is_asked_for_until_all_stay() {
    let (mut rq, all) = queue(&[0; 2]);
    for &h in &all {
        rq.set_pinned(h, true);
    }
    assert!(rq.may_move_some(), "nobody has looked");
    rq.forget_movable();
    start(&mut rq, &all);
    assert!(!rq.may_move_some());
    let current = rq.current().expect("it runs");
    // It is not offered while it runs, but will wait.
    rq.set_pinned(current, false);
    rq.forget_movable();
    assert!(rq.may_move_some());
    let _ = rq.dequeue(current, Dequeue::Migrate, us(1));
    rq.forget_movable();
    assert!(!rq.may_move_some());
    let _ = rq.enqueue(current, Enqueue::Migrate, us(2));
    assert!(rq.may_move_some(), "one who may move came");
    rq.set_pinned(current, true);
    rq.forget_movable();
    assert!(!rq.may_move_some());
    rq.expect_moves();
    assert!(rq.may_move_some());
    assert_eq!(rq.check(), Ok(()));
}

#[test]
fn nobody_may_move_where_there_is_one_core() {
    let mut slab = Slab::new();
    let h = slab.insert(Entity::new(Nice::new(0).expect("a nice value"), None));
    let mut rq = RunQueue::new(slab, 1);
    start(&mut rq, &[h]);
    rq.set_pinned(h, true);
    rq.set_pinned(h, false);
    rq.expect_moves();
    rq.forget_movable();
    assert!(!rq.may_move_some());
    assert_eq!(rq.check(), Ok(()));
}

#[test]
fn pull_candidate_respects_the_filter_and_its_bound() {
    let (mut rq, all) = queue(&[0; 40]);
    start(&mut rq, &all);
    assert_eq!(
        rq.pull_candidate(|h| h == all[0]),
        None,
        "the current one is never pulled"
    );
    assert_eq!(rq.pull_candidate(|h| h == all[9]), Some(all[9]));
    let mut asked = 0;
    assert_eq!(
        rq.pull_candidate(|_| {
            asked += 1;
            false
        }),
        None
    );
    assert_eq!(asked, sched::PULL_SCAN);
}

fn replace_one_of(nices: &[i8]) {
    let (mut rq, all) = queue(nices);
    start(&mut rq, &all);
    *rq.arena_mut().get_mut(all[1]) = Entity::new(Nice::ZERO, None);
    rq.assert_valid();
}

#[test]
#[should_panic(expected = "wrong")]
fn validation_finds_an_entity_replaced_while_queued() {
    replace_one_of(&[0, 0, 0]);
}

#[test]
#[should_panic(expected = "not marked as queued")]
fn validation_finds_one_replaced_that_waits_alone() {
    replace_one_of(&[0, 0]);
}
