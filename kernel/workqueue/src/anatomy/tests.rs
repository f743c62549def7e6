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
    away.begin();
    let course = Course::start(stamps, 180);
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
    let thirds = parts.map(|n| n / 3);
    assert_eq!((thirds.array(), thirds.total()), ([0, 1, 1, 1, 2], 15 / 3));
}

#[test]
fn moments_out_of_order_are_put_in_order() {
    let mut stamps = Stamps::queued(100);
    stamps.activate(99);
    let mut away = Away::new();
    let course = Course::start(stamps, 98);
    away.leave(97, true);
    away.wake(95);
    away.back(96);
    let parts = course.end(94, &away);
    assert_eq!(parts, Parts::default());
    assert_eq!(course.straight(94).map(|d| d >> 63), [1, 1, 1, 1]);
    // Woken after the core had looked at its clock for the switch.
    away.begin();
    let course = Course::start(Stamps::queued(100), 100);
    away.leave(110, true);
    away.wake(125);
    away.back(120);
    let parts = course.end(130, &away);
    assert_eq!((parts.run, parts.blocked, parts.preempted), (20, 10, 0));
}

/// An item is over.
fn over<N: Copy>(book: &mut Book<N>, t: &mut [Histogram; TABLES], parts: &Parts, name: N) {
    let [inactive, pool, run, blocked, preempted] = parts.array();
    let straight = [inactive, pool, run, parts.total()];
    if !book.enter_usual(t, straight, blocked | preempted == 0) {
        book.enter(t, parts, || name);
    }
}

#[test]
fn the_slowest_is_remembered() {
    let (mut book, mut t) = (Book::new(), tables());
    let run = |run| Parts {
        run,
        ..Parts::default()
    };
    over(&mut book, &mut t, &run(0), "a");
    assert_eq!(book.slowest(), Some(&("a", run(0))), "the only one");
    for (name, ns) in [("b", 700), ("c", 700), ("d", 80)] {
        over(&mut book, &mut t, &run(ns), name);
    }
    assert_eq!(book.slowest(), Some(&("b", run(700))));
    assert_eq!((book.items(), book.run()), (4, 1480));
    let (mut more, mut theirs) = (Book::new(), tables());
    over(&mut more, &mut theirs, &run(701), "e");
    let (mut sum, mut both) = (Book::new(), tables());
    sum.add(&mut both, &book, &t);
    sum.add(&mut both, &more, &theirs);
    assert_eq!(sum.slowest(), Some(&("e", run(701))));
    assert_eq!((sum.items(), sum.run()), (5, 2181));
    let s = sum.summary(&both, 2);
    assert_eq!((s.max, s.p99_9), (701, 701));
    let spread = sum.spread(&both, 2, 10);
    assert_eq!((spread.count, spread.sum, spread.up_to), (5, 2181, [5; 14]));
    let sums = [5, 0].map(|n| sum.spread(&both, n, 10).sum);
    assert_eq!(sums, [2181, 0]);
    assert_eq!(sum.summary(&both, 0), Summary::default());
    assert_eq!(Book::<()>::new().summary(&tables(), 5), Summary::default());
    assert_eq!(Book::<()>::new().items(), 0);
}

#[test]
fn only_the_usual_is_entered_at_once() {
    let (mut book, mut t) = (Book::new(), tables());
    let parts = Parts {
        pool: 64,
        run: 79,
        ..Parts::default()
    };
    assert!(
        !book.enter_usual(&mut t, [0, 64, 79, 143], true),
        "the first"
    );
    book.enter(&mut t, &parts, || ());
    assert!(!book.enter_usual(&mut t, [0, 64, 80, 144], true), "longer");
    assert!(
        !book.enter_usual(&mut t, [1, 64, 78, 143], true),
        "a part is"
    );
    assert!(
        !book.enter_usual(&mut t, [0, 64, 79, 143], false),
        "not whole"
    );
    let early = u64::MAX;
    assert!(
        !book.enter_usual(&mut t, [0, early, 79, 78], true),
        "out of order"
    );
    assert_eq!(book.items(), 1);
    assert!(book.enter_usual(&mut t, [0, 63, 79, 142], true));
    assert_eq!((book.items(), book.run()), (2, 158));
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
        over(&mut book, &mut t, &parts, ());
    }
    let (other, theirs) = (book, t.clone());
    // As after many more: three thousand million, and one before the next look.
    let n = u64::from(book.room) - 1;
    book.room = 1;
    book.items += 2 << 30;
    book.weight += 2 << 30;
    for n in [2, 5] {
        for _ in 0..28 {
            let same = t[n].clone();
            t[n].add(&same, 0);
        }
    }
    assert_eq!(book.items(), 10 + n + (2 << 30));
    let before = all(&book, &t);
    let (mut sum, mut both) = (book, t.clone());
    over(&mut book, &mut t, &parts, ());
    assert_eq!(book.stands_for(), 3 << 29);
    assert_eq!(book.items(), 11 + n + (2 << 30));
    assert_eq!(all(&book, &t), before);
    sum.add(&mut both, &other, &theirs);
    assert_eq!(sum.items(), 20 + n + (2 << 30));
    assert_eq!(all(&sum, &both), before);
    // More than a counter holds.
    let (mut twice, mut four) = (sum, both.clone());
    twice.add(&mut four, &sum, &both);
    assert_eq!(twice.items(), 2 * sum.items());
    assert_eq!(twice.stands_for(), sum.stands_for() / 2 * 2);
    assert_eq!(all(&twice, &four), before);
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
        away.begin();
        let course = Course::start(stamps, now);
        let (run, blocked, preempted) = go(&mut now, &mut away, &steps);
        now += last;
        let parts = course.end(now, &away);
        if away.is_none() {
            prop_assert_eq!(course.straight(now), [inactive, pool, parts.run, parts.total()]);
        }
        prop_assert_eq!(parts, Parts { inactive, pool, run: run + last, blocked, preempted });
        prop_assert_eq!(parts.total(), now - queued);
    }

    #[test]
    fn the_sum_is_exact_whatever_is_read(reads in prop::collection::vec(1000..1100_u64, 8)) {
        let mut away = Away::new();
        let mut stamps = Stamps::queued(reads[0]);
        stamps.activate(reads[1]);
        let course = Course::start(stamps, reads[2]);
        away.leave(reads[3], true);
        away.wake(reads[4]);
        away.back(reads[5]);
        let parts = course.end(reads[6], &away);
        let over = reads[..=6].iter().enumerate().filter(|(n, _)| ![3, 4, 5].contains(n)).map(|(_, t)| *t).max();
        prop_assert_eq!(parts.total(), over.unwrap() - reads[0]);
    }

    #[test]
    fn the_usual_way_is_the_other_but_shorter(lives in prop::collection::vec((prop::array::uniform3(0..200_u64), 0..30_u64), 0..300)) {
        let (mut book, mut t) = (Book::new(), tables());
        let (mut each, mut theirs) = (Book::new(), tables());
        for (name, (straight, blocked)) in lives.into_iter().enumerate() {
            let [inactive, pool, run] = straight;
            let blocked = blocked.saturating_sub(25);
            let parts = Parts { inactive, pool, run, blocked, preempted: 0 };
            over(&mut book, &mut t, &parts, name);
            each.enter(&mut theirs, &parts, || name);
        }
        prop_assert_eq!(book, each);
        for n in 0..TABLES {
            prop_assert_eq!(book.summary(&t, n), each.summary(&theirs, n));
            prop_assert_eq!(book.spread(&t, n, 3), each.spread(&theirs, n, 3));
        }
    }
}
