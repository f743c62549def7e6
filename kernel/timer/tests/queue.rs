//! The timer queue against a `BTreeMap` keyed by (deadline, order of arming).

use std::collections::BTreeMap;

use links::{Arena, Handle, Slab};
use machine::Instant;
use proptest::prelude::*;
use timer::{TimerNode, TimerQueue};

fn queue(n: usize) -> (TimerQueue<Slab<TimerNode>>, Vec<Handle<TimerNode>>) {
    let mut slab = Slab::new();
    let handles = (0..n).map(|_| slab.insert(TimerNode::new())).collect();
    (TimerQueue::new(slab), handles)
}

const fn at(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

proptest! {
    #[test]
    fn queue_behaves_like_a_sorted_map(
        ops in prop::collection::vec((0..4u8, 0..24usize, 0..50u64), 1..300),
    ) {
        let (mut tq, all) = queue(24);
        let mut oracle = BTreeMap::<(u64, u64), usize>::new();
        let mut seq = 0;
        let mut now = 0;
        for (op, n, ns) in ops {
            let key = oracle.iter().find(|&(_, &v)| v == n).map(|(&k, _)| k);
            match op {
                0 | 1 => {
                    if let Some(key) = key {
                        oracle.remove(&key);
                    }
                    oracle.insert((now + ns, seq), n);
                    seq += 1;
                    tq.arm(all[n], at(now + ns));
                }
                2 => {
                    prop_assert_eq!(tq.cancel(all[n]), key.is_some());
                    if let Some(key) = key {
                        oracle.remove(&key);
                    }
                }
                _ => {
                    now += ns / 4;
                    while let Some(h) = tq.pop_expired(at(now)) {
                        let ((due, _), n) = oracle.pop_first().unwrap();
                        prop_assert!(due <= now);
                        prop_assert_eq!(h, all[n]);
                    }
                    let due = oracle.first_key_value().is_some_and(|((due, _), _)| *due <= now);
                    prop_assert!(!due, "an expired timer was not returned");
                }
            }
            tq.assert_valid();
            prop_assert_eq!(tq.len(), oracle.len());
            prop_assert_eq!(tq.is_empty(), oracle.is_empty());
            prop_assert_eq!(tq.next(), oracle.first_key_value().map(|((due, _), _)| at(*due)));
            for (n, &h) in all.iter().enumerate() {
                prop_assert_eq!(tq.is_armed(h), oracle.values().any(|&v| v == n));
            }
        }
    }
}

#[test]
fn equal_deadlines_expire_in_order_of_arming() {
    // Few are remembered in the order of arming, many go into the tree.
    for n in [4, 8, 9, 10, 40] {
        let (mut tq, all) = queue(n);
        for &h in &all {
            tq.arm(h, at(100));
        }
        // Arming again, even for the same time, goes behind the others; also where none came between.
        for again in [all[0], all[n - 2], all[n - 2]] {
            tq.arm(again, at(100));
        }
        assert_eq!(tq.pop_expired(at(99)), None);
        let order: Vec<_> = std::iter::from_fn(|| tq.pop_expired(at(100))).collect();
        let mut expected = all.clone();
        expected.rotate_left(1);
        let again = expected.remove(n - 3);
        expected.push(again);
        assert_eq!(order, expected);
    }
}

#[test]
fn rearming_earlier_reports_the_new_first() {
    let (mut tq, all) = queue(2);
    tq.arm(all[0], at(10));
    assert_eq!(tq.next(), Some(at(10)));
    tq.arm(all[1], at(20));
    assert_eq!(tq.next(), Some(at(10)));
    tq.arm(all[1], at(5));
    assert_eq!(tq.next(), Some(at(5)));
    assert!(tq.cancel(all[1]));
    assert!(!tq.cancel(all[1]));
    assert_eq!(tq.next(), Some(at(10)));
}

#[test]
#[should_panic(expected = "wrong height")]
fn validation_finds_a_timer_replaced_while_armed() {
    let (mut tq, all) = queue(9);
    for &h in &all {
        tq.arm(h, at(10));
    }
    let armed = std::mem::take(tq.arena_mut().get_mut(all[0]));
    assert!(armed.is_armed());
    tq.assert_valid();
}
