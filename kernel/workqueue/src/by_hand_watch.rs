//! Watching by hand: what is told, when, and how often.

use std::vec::Vec;

use links::Handle;
use machine::{Duration, Instant};

use crate::by_hand::{bound, queue, start};
use crate::sim::Sim;
use crate::{Activity, Stall, Worker};

const LIMIT: Duration = Duration::from_secs(30);

const fn secs(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000_000_000)
}

fn look(sim: &mut Sim, at: u64, activity: Activity) -> Vec<Stall> {
    let mut told = Vec::new();
    let tell = |_: &_, stall| told.push(stall);
    sim.pool
        .watch(&mut sim.s, secs(at), LIMIT, |_| activity, tell);
    told
}

fn all(sim: &Sim) -> Vec<Handle<Worker>> {
    let mut all = Vec::new();
    sim.pool.each_worker(&sim.s, |w| all.push(w));
    all
}

/// N7: no start for the limit while work waits; told once, and again after the next start.
#[test]
fn pool_that_starts_nothing_is_told() {
    let mut sim = bound(4);
    assert_eq!(look(&mut sim, 0, Activity::Moving), []);
    queue(&mut sim, 3);
    assert_eq!(
        look(&mut sim, 100, Activity::Moving),
        [],
        "seen for the first time"
    );
    assert_eq!(look(&mut sim, 129, Activity::Moving), []);
    assert_eq!(sim.pool.hung(secs(129)), Duration::from_secs(29));
    let told = [Stall::Pool(Duration::from_secs(30))];
    assert_eq!(look(&mut sim, 130, Activity::Moving), told);
    assert_eq!(look(&mut sim, 200, Activity::Moving), [], "once");
    start(&mut sim, 0);
    assert_eq!(sim.pool.hung(secs(201)), Duration::ZERO);
    assert_eq!(look(&mut sim, 201, Activity::Moving), []);
    assert_eq!(look(&mut sim, 231, Activity::Moving), told);
    sim.pool.touch(&mut sim.s);
    assert_eq!(look(&mut sim, 232, Activity::Moving), []);
    assert_eq!(look(&mut sim, 261, Activity::Moving), [], "touched");
    sim.drain();
    assert_eq!(look(&mut sim, 300, Activity::Moving), []);
    assert_eq!(sim.pool.hung(secs(400)), Duration::ZERO);
}

/// N8 b: one item, stuck, and nothing behind it; another execution of it is another matter.
#[test]
fn stuck_item_is_told() {
    let mut sim = bound(4);
    queue(&mut sim, 1);
    let w = start(&mut sim, 0);
    let told = Stall::Item(sim.workers[w].h, Duration::from_secs(31));
    assert_eq!(look(&mut sim, 1, Activity::Stuck), []);
    assert_eq!(look(&mut sim, 32, Activity::Stuck), [told]);
    assert_eq!(look(&mut sim, 99, Activity::Stuck), []);
    let h = sim.workers[w].h;
    assert_eq!(sim.pool.executing(&sim.s, h, secs(99)).as_millis(), 98_000);
    assert_eq!(
        look(&mut sim, 100, Activity::Moving),
        [],
        "it wakes up now and then"
    );
    assert_eq!(look(&mut sim, 101, Activity::Stuck), []);
    sim.queue(0, 0);
    sim.step(w);
    assert_eq!(look(&mut sim, 140, Activity::Stuck), [], "it is a new run");
    assert_eq!(look(&mut sim, 170, Activity::Stuck).len(), 1);
}

/// N8 a: the pool's list is empty, all slots are taken.
#[test]
fn slots_that_nobody_gives_back_are_told() {
    let mut sim = bound(1);
    queue(&mut sim, 3);
    let w = start(&mut sim, 0);
    sim.block(w);
    let p = sim.pwqs[0];
    let look = |sim: &mut Sim, at| sim.pool.watch_slots(&mut sim.s, p, secs(at), LIMIT);
    assert_eq!(look(&mut sim, 5), None);
    assert_eq!(look(&mut sim, 36), Some(Duration::from_secs(31)));
    assert_eq!(look(&mut sim, 90), None, "once");
    sim.resume(w);
    sim.step(w);
    assert_eq!(look(&mut sim, 91), None);
    assert_eq!(look(&mut sim, 121), Some(Duration::from_secs(30)));
    sim.drain();
    assert_eq!(look(&mut sim, 200), None);
}

/// N6: who is there, what waits, who creates.
#[test]
fn views_show_everything() {
    let mut sim = bound(2);
    queue(&mut sim, 4);
    let (mut pending, mut inactive) = (Vec::new(), Vec::new());
    let p = sim.pwqs[0];
    sim.pool.each_pending(&sim.s, p, |h| pending.push(h));
    sim.pool.each_inactive(&sim.s, p, |h| inactive.push(h));
    assert_eq!(pending, sim.items[..2]);
    assert_eq!(inactive, sim.items[2..4]);
    assert_eq!(sim.pool.manager(&sim.s), None);
    sim.step(0);
    assert_eq!(sim.pool.manager(&sim.s), Some(sim.workers[0].h));
    sim.step(0);
    assert_eq!(all(&sim), [sim.workers[0].h, sim.workers[1].h]);
    let mut idle = Vec::new();
    sim.pool.each_idle(&sim.s, |w| idle.push(w));
    assert_eq!(idle, [sim.workers[1].h]);
    start(&mut sim, 0);
    let b = sim.flush_item(0).expect("it runs");
    let mut next = Vec::new();
    sim.pool
        .each_scheduled(&sim.s, sim.workers[0].h, |h| next.push(h));
    assert_eq!(next, [sim.barriers[b].0]);
    sim.panic(0);
    assert_eq!(all(&sim), [sim.workers[1].h]);
    sim.add_rescuer(0);
    sim.drain();
}
