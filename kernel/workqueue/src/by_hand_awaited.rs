//! By hand: what a submission waits for, who has what of a pwq, which flush covers what.

use std::vec;
use std::vec::Vec;

use crate::by_hand::{bound, queue, start};
use crate::sim::Sim;
use crate::{Awaited, COLOURS, Held, Kind};

/// What item `i` waits for, or barrier `b` behind it.
fn awaited(sim: &Sim, i: usize, b: Option<usize>) -> Awaited {
    let b = b.map(|b| sim.barriers[b].0);
    sim.pool.awaited(&sim.s, sim.items[i], b)
}

fn held(sim: &Sim, p: usize) -> Vec<Held> {
    let mut all = Vec::new();
    sim.pool.each_held(&sim.s, sim.pwqs[p], |h| all.push(h));
    all
}

#[test]
fn d11_a_submission_waits_for_a_slot_a_start_or_a_worker() {
    let mut sim = bound(1);
    assert_eq!(awaited(&sim, 0, None), Awaited::Nothing);
    queue(&mut sim, 2);
    assert_eq!(awaited(&sim, 0, None), Awaited::Start);
    assert_eq!(awaited(&sim, 1, None), Awaited::Slot(sim.pwqs[0]));
    let b = sim.flush_item(0);
    assert_eq!(awaited(&sim, 0, b), Awaited::Start, "linked behind it");
    let w = start(&mut sim, 0);
    let w = sim.workers[w].h;
    assert_eq!(awaited(&sim, 0, None), Awaited::Worker(w));
    assert_eq!(awaited(&sim, 0, b), Awaited::Worker(w), "it comes next");
    sim.drain();
    assert_eq!(awaited(&sim, 0, b), Awaited::Nothing);
}

#[test]
fn d11_a_share_is_held_by_who_executes_its_items() {
    let mut sim = Sim::new(Kind::Bound, &[(4, false), (4, false)], 8);
    assert_eq!(held(&sim, 0), []);
    queue(&mut sim, 1);
    assert_eq!(held(&sim, 0), [], "nobody has it yet");
    let w = start(&mut sim, 0);
    let worker = sim.workers[w].h;
    let b = sim.flush_item(0);
    assert!(b.is_some());
    let mine = held(&sim, 0)
        .iter()
        .map(|h| (h.worker, h.slot))
        .collect::<Vec<_>>();
    let barrier = (worker, false);
    assert_eq!(mine, [(worker, true), barrier], "a barrier has no slot");
    assert_eq!(held(&sim, 1), [], "the other share has none");
    sim.drain();
    assert_eq!(held(&sim, 0), []);
}

#[test]
fn d11_a_limit_of_zero_passes_no_slots() {
    let mut sim = bound(4);
    let p = sim.pwqs[0];
    assert!(sim.pool.passes_slots(&sim.s, p));
    let _wake = sim.pool.set_max_active(&mut sim.s, p, 0);
    assert!(!sim.pool.passes_slots(&sim.s, p));
    let _wake = sim.pool.set_max_active(&mut sim.s, p, 1);
    assert!(sim.pool.passes_slots(&sim.s, p));
    let _moves = sim.pool.plug(&mut sim.s, p);
    assert!(!sim.pool.passes_slots(&sim.s, p), "it moves");
}

/// I2: each flush covers what was queued before it, and no more.
#[test]
fn a_flush_covers_the_colours_before_its_own() {
    let mut sim = bound(1);
    for round in 0..40 {
        sim.queue(0, 0);
        let first = sim.flush(0);
        sim.queue(0, 1);
        let second = sim.flush(0);
        let now = sim.flushes[0].work_colour();
        let [before, earlier] = [1, 2].map(|n| (now + 16 - n) % 16);
        let covers = |f: usize, c| sim.flushes[0].covers(&sim.s.flushers, sim.flushing[f].1, c);
        assert!(covers(first, earlier) && !covers(first, before), "{round}");
        assert!(covers(second, earlier) && covers(second, before), "{round}");
        assert!(!covers(first, now) && !covers(second, now), "{round}");
        sim.drain();
    }
}

/// I2: flushes that found no colour free share the next one, and it closes for what is queued from then on.
#[test]
fn i2_items_after_flushes_that_share_a_colour_do_not_delay_them() {
    let mut sim = bound(8);
    let begin = |sim: &mut Sim, i| {
        assert!(sim.queue(0, i));
        let w = start(sim, i);
        assert!(sim.block(w));
        w
    };
    let end = |sim: &mut Sim, w| {
        sim.resume(w);
        assert!(sim.step(w));
    };
    let before = begin(&mut sim, 0);
    for _ in 1..COLOURS {
        sim.flush(0);
    }
    let among = begin(&mut sim, 1);
    let sharing = [sim.flush(0), sim.flush(0)];
    let over = |sim: &Sim| sim.flushing.iter().map(|f| f.3).collect::<Vec<_>>();
    end(&mut sim, before);
    let own = COLOURS - 1;
    assert_eq!(over(&sim), [vec![true; own], vec![false; 2]].concat());
    let later = begin(&mut sim, 2);
    end(&mut sim, among);
    assert_eq!(
        over(&sim),
        [true; COLOURS + 1],
        "{sharing:?} wait for item 2"
    );
    end(&mut sim, later);
    sim.drain();
}

/// Whether flush `f` is over.
fn is_over(sim: &Sim, f: usize) -> bool {
    sim.flushing[f].3
}

#[test]
fn i1_a_flush_ends_with_the_last_item_that_is_cancelled() {
    let mut sim = bound(1);
    queue(&mut sim, 2);
    let f = sim.flush(0);
    // The second waits for a slot.
    assert!(sim.cancel(1));
    assert!(!is_over(&sim, f));
    assert!(sim.cancel(0));
    assert!(is_over(&sim, f));
    sim.drain();
}

#[test]
fn i1_later_items_delay_no_flush_and_the_next_one_waits_for_them() {
    let mut sim = bound(4);
    queue(&mut sim, 1);
    let first = sim.flush(0);
    // The colour turns with this one.
    assert!(sim.queue(0, 1));
    let second = sim.flush(0);
    let w = start(&mut sim, 0);
    sim.step(w);
    assert!(is_over(&sim, first) && !is_over(&sim, second));
    sim.drain();
    assert!(is_over(&sim, second));
}

#[test]
fn i1_two_flushes_of_the_same_items_end_with_them() {
    let mut sim = bound(4);
    queue(&mut sim, 1);
    let flushes = [sim.flush(0), sim.flush(0)];
    assert!(flushes.iter().all(|&f| !is_over(&sim, f)));
    sim.drain();
    assert!(flushes.iter().all(|&f| is_over(&sim, f)));
}

#[test]
fn i1_a_flush_ends_with_the_last_barrier() {
    let mut sim = bound(4);
    queue(&mut sim, 1);
    let f = sim.flush(0);
    let w = start(&mut sim, 0);
    let barrier = sim.flush_item(0).expect("it runs");
    assert!(sim.block(w), "its barrier waits with it");
    assert!(!is_over(&sim, f));
    assert!(sim.resume(w));
    sim.drain();
    assert!(sim.barriers[barrier].1 && is_over(&sim, f));
}

/// Who flushes an item may let its worker go first only if that finds nothing more to do.
#[test]
fn an_item_is_alone_on_the_list_or_not() {
    let mut sim = bound(2);
    let alone = |sim: &Sim, i: usize| sim.pool.is_alone(&sim.s, sim.items[i]);
    assert!(!alone(&sim, 0), "it is not queued");
    queue(&mut sim, 1);
    assert!(alone(&sim, 0));
    sim.queue(0, 1);
    assert!(!alone(&sim, 0) && !alone(&sim, 1), "another one is listed");
    sim.queue(0, 2);
    assert!(!alone(&sim, 2), "it waits for a slot");
    assert!(sim.cancel(0) && sim.cancel(2));
    assert!(alone(&sim, 1));
    start(&mut sim, 1);
    assert!(!alone(&sim, 1), "it runs");
    sim.queue(0, 1);
    assert!(!alone(&sim, 1), "it waits for its own run");
}
