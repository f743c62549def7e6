//! Where the time goes, by hand and against random lives of items.

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn tables() -> [Histogram; TABLES] {
    core::array::from_fn(|_| Histogram::new())
}

#[test]
fn a_life_by_hand() {
    let mut stamps = Stamps::queued(100);
    stamps.activate(130);
    let mut away = Away::new();
    away.leave(10, false);
    away.back(50);
    let course = Course::start(stamps, 180, &away);
    away.leave(200, true);
    away.wake(260);
    away.back(265);
    away.leave(300, false);
    away.back(307);
    let parts = course.end(400, &away);
    let expected = Parts {
        inactive: 30,
        pool: 50,
        run: 20 + 35 + 93,
        blocked: 60,
        preempted: 12,
    };
    assert_eq!((parts, parts.total()), (expected, 300));
    assert!(course.is_whole(100) && !course.is_whole(101));
    assert!(!course.is_whole(u64::MAX));
}

#[test]
fn parts_in_another_unit() {
    let parts = Parts {
        inactive: 1,
        pool: 2,
        run: 3,
        blocked: 4,
        preempted: 5,
    };
    assert_eq!(parts.map(|n| 10 * n).array(), [10, 20, 30, 40, 50]);
}

#[test]
fn moments_out_of_order_are_put_in_order() {
    let mut stamps = Stamps::queued(100);
    stamps.activate(99);
    let mut away = Away::new();
    let course = Course::start(stamps, 98, &away);
    away.leave(97, true);
    away.wake(95);
    away.back(96);
    let parts = course.end(94, &away);
    assert_eq!(parts, Parts::default());
    // Woken after the core had looked at its clock for the switch.
    let course = Course::start(Stamps::queued(100), 100, &away);
    away.leave(110, true);
    away.wake(125);
    away.back(120);
    let parts = course.end(130, &away);
    assert_eq!((parts.run, parts.blocked, parts.preempted), (20, 10, 0));
}

#[test]
fn the_slowest_is_remembered() {
    let (mut book, mut t) = (Book::new(), tables());
    let run = |run| Parts {
        run,
        ..Parts::default()
    };
    for (name, ns) in [("a", 0), ("b", 700), ("c", 700), ("d", 80)] {
        book.enter(&mut t, &run(ns), || name);
    }
    assert_eq!(book.slowest(), Some(&("b", run(700))));
    assert_eq!((book.items(), book.run()), (4, 1480));
    let (mut more, mut theirs) = (Book::new(), tables());
    more.enter(&mut theirs, &run(701), || "e");
    book.add(&mut t, &more, &theirs);
    assert_eq!(book.slowest(), Some(&("e", run(701))));
    assert_eq!((book.items(), book.run()), (5, 2181));
    let s = book.summary(&t, 2);
    assert_eq!((s.max, s.p99_9), (701, 701));
    let spread = book.spread(&t, 2);
    assert_eq!((spread.count, spread.sum, spread.up_to), (5, 2181, [5; 14]));
    assert_eq!((book.spread(&t, 5).sum, book.spread(&t, 0).sum), (2181, 0));
    assert_eq!(book.summary(&t, 0), Summary::default());
    assert_eq!(Book::<()>::new().summary(&tables(), 5), Summary::default());
}

fn all(book: &Book<()>, t: &[Histogram; TABLES]) -> Vec<Summary> {
    (0..TABLES).map(|n| book.summary(t, n)).collect()
}

#[test]
fn full_counters_keep_the_percentiles() {
    let (mut book, mut t) = (Book::new(), tables());
    let parts = Parts {
        run: 100,
        ..Parts::default()
    };
    for _ in 0..10 {
        book.enter(&mut t, &parts, || ());
    }
    let (other, theirs) = (book, t.clone());
    // As after many more: a part of four thousand million.
    for table in &mut t {
        for _ in 0..28 {
            let same = table.clone();
            table.add(&same, 0);
        }
    }
    book.weight = u32::MAX;
    let before = all(&book, &t);
    let (mut sum, mut both) = (book, t.clone());
    book.enter(&mut t, &parts, || ());
    assert_eq!((book.weight, book.items()), (u32::MAX / 2 + 1, 11));
    assert_eq!(all(&book, &t), before);
    assert_eq!(book.spread(&t, 2).count, u64::from(book.weight));
    sum.add(&mut both, &other, &theirs);
    assert_eq!((sum.weight, sum.items()), (u32::MAX / 2 + 5, 20));
    assert_eq!(all(&sum, &both), before);
}

/// What a thread does while an item runs: for how long it runs, then how long it is away, and for how
/// much of that asleep.
fn steps() -> impl Strategy<Value = Vec<(u64, u64, Option<u64>)>> {
    prop::collection::vec((0..1000_u64, 0..1000_u64, any::<Option<u16>>()), 0..20).prop_map(|v| {
        let cut = |(run, away, asleep): (u64, u64, Option<u16>)| {
            (run, away, asleep.map(|a| u64::from(a) % (away + 1)))
        };
        v.into_iter().map(cut).collect()
    })
}

proptest! {
    #[test]
    fn parts_are_the_life(start in 0..1_u64 << 40, inactive in 0..1000_u64, pool in 0..1000_u64, before in steps(), steps in steps(), last in 0..1000_u64) {
        let mut away = Away::new();
        let mut now = 0;
        let go = |now: &mut u64, away: &mut Away, steps: &[(u64, u64, Option<u64>)]| {
            let mut sums = (0, 0, 0);
            for &(run, out, asleep) in steps {
                *now += run;
                away.leave(*now, asleep.is_some());
                if let Some(asleep) = asleep {
                    away.wake(*now + asleep);
                }
                *now += out;
                away.back(*now);
                let asleep = asleep.unwrap_or(0);
                sums = (sums.0 + run, sums.1 + asleep, sums.2 + out - asleep);
            }
            sums
        };
        go(&mut now, &mut away, &before);
        let queued = now + start;
        let mut stamps = Stamps::queued(queued);
        stamps.activate(queued + inactive);
        now = queued + inactive + pool;
        let course = Course::start(stamps, now, &away);
        let (run, blocked, preempted) = go(&mut now, &mut away, &steps);
        now += last;
        let parts = course.end(now, &away);
        prop_assert_eq!(parts, Parts { inactive, pool, run: run + last, blocked, preempted });
        prop_assert_eq!(parts.total(), now - queued);
    }

    #[test]
    fn the_sum_is_exact_whatever_is_read(reads in prop::collection::vec(1000..1100_u64, 8)) {
        let mut away = Away::new();
        let mut stamps = Stamps::queued(reads[0]);
        stamps.activate(reads[1]);
        let course = Course::start(stamps, reads[2], &away);
        away.leave(reads[3], true);
        away.wake(reads[4]);
        away.back(reads[5]);
        let parts = course.end(reads[6], &away);
        let over = reads[..=6].iter().enumerate().filter(|(n, _)| ![3, 4, 5].contains(n)).map(|(_, t)| *t).max();
        prop_assert_eq!(parts.total(), over.unwrap() - reads[0]);
    }
}
