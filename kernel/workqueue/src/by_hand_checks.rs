//! Audits by hand: each check finds what is broken on purpose.

use links::Arena;

use crate::by_hand::{bound, queue, start};
use crate::item::On;
use crate::sim::Sim;
use crate::ways::Ways;
use crate::{Kind, Phase, Pwq, Worker};

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
        sim.pwq(0).check(&sim.s, false)
    }
    let item = |sim: &mut Sim, i: usize, on: On| sim.s.items.get_mut(sim.items[i]).set_on(on);
    let share = |sim: &mut Sim, f: fn(&mut Pwq)| f(sim.s.pwqs.get_mut(sim.pwqs[0]));
    assert_eq!(pool(|_| ()), Ok(()));
    let wrong = [
        pool(|sim| sim.pool.nr_idle = 0),
        pool(|sim| sim.pool.nr_workers = 0),
        pool(|sim| sim.pool.entry_came()),
        pool(|sim| sim.pool.stand.running = 2),
        pool(|sim| item(sim, 1, On::Worklist)),
        pool(|sim| share(sim, |p| p.entered = 1)),
        pool(|sim| share(sim, |p| p.max_active = 2)),
        pool(|sim| {
            share(sim, |p| {
                (p.nr_active, p.ways) = (p.active(), Ways(Ways::LEAVES))
            })
        }),
        pool(|sim| share(sim, |p| (p.nr_active, p.ways) = (0, Ways(Ways::OVER)))),
        pool(|sim| share(sim, |p| (p.nr_active, p.ways) = (4, Ways(Ways::OVER)))),
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
            "4: more items wait than are in flight",
            "3: an item waits for a slot and one is free",
            "what leaves does not know it",
            "the number of waiting items is wrong",
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
    sim.s.items.get_mut(first).set_on(On::Inactive);
    let stranger = Err("an item on the list does not know it");
    assert_eq!(sim.pool.check(&sim.s), stranger);
    sim.s.items.get_mut(first).set_on(On::Worklist);
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
    sim.pool.stand.running = 1;
    assert_eq!(sim.pool.check(&sim.s), Err("6: more workers run than work"));
}
