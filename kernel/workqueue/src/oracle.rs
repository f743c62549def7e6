//! The slow oracle of the simulator.

use std::vec::Vec;

use links::{Arena, Handle};

use crate::item::On;
use crate::sim::{Act, Sim, SimWorker};
use crate::ways::Ways;
use crate::{COLOURS, Colour, Item, Phase, Pwq, PwqStats, Worker};

impl Sim {
    /// Recounts everything and compares (docs/rules.md 7).
    pub(crate) fn check(&self) {
        assert_eq!(self.pool.check(&self.s), Ok(()));
        self.check_items();
        self.check_pwqs();
        self.check_pool();
    }

    fn check_items(&self) {
        for (i, a) in self.accounts.iter().enumerate() {
            // 1: every submission is one run or one cancellation.
            assert_eq!(
                a.queued,
                a.runs + a.cancelled + u32::from(a.pending),
                "item {i}: {a:?}"
            );
            assert_eq!(self.words[i].state().queued, a.pending);
            assert_eq!(self.on(self.items[i]) != On::Nothing, a.pending);
            assert_eq!(self.item(self.items[i]).runner.is_some(), a.executing == 1);
        }
    }

    fn check_pwqs(&self) {
        let mut all_active = 0;
        for (p, &h) in self.pwqs.iter().enumerate() {
            let pwq = self.pwq(p);
            let in_line = self.s.in_line(h);
            assert_eq!(pwq.check(&self.s, in_line), Ok(()), "pwq {p}");
            let (mut active, mut inactive, mut in_flight) = (0, 0, 0);
            let mut of_colour = [false; COLOURS];
            let nodes = self.items.iter().chain(self.barriers.iter().map(|b| &b.0));
            for &i in nodes.clone() {
                let it = self.item(i);
                if it.on() != On::Nothing && it.pwq == Some(h) {
                    in_flight += 1;
                    of_colour[usize::from(it.colour)] = true;
                    match it.on() {
                        _ if it.is_barrier() => {}
                        On::Inactive => inactive += 1,
                        _ => active += 1,
                    }
                }
            }
            let rescuers = self.rescuers.iter().map(|r| r.h);
            for w in self.workers.iter().map(|w| w.h).chain(rescuers) {
                let w = self.worker(w);
                if w.current_pwq == Some(h) {
                    in_flight += 1;
                    of_colour[usize::from(w.current_colour)] = true;
                    active += u32::from(w.current_active);
                }
            }
            assert_eq!(
                (pwq.active(), pwq.inactive()),
                (active, inactive),
                "pwq {p}"
            );
            // 3: the limit holds unless it was lowered, and nobody waits below it.
            let over = pwq.ways.any(Ways::OVER);
            assert_eq!(over, active > pwq.max_active, "pwq {p}: {active} active");
            let idle = !self.is_node_full() && active < pwq.max_active;
            assert!(
                inactive == 0 || !idle || pwq.is_moving(),
                "pwq {p}: idle slot"
            );
            all_active += active;
            // 4: the colours add up.
            assert_eq!(pwq.nr_in_flight(), in_flight, "pwq {p}");
            for c in 0..COLOURS as Colour {
                assert_eq!(
                    pwq.is_empty_of(c),
                    !of_colour[usize::from(c)],
                    "pwq {p}, colour {c}"
                );
            }
        }
        self.check_node(all_active);
    }

    fn check_pool(&self) {
        let live: Vec<_> = self
            .workers
            .iter()
            .filter(|w| w.act != Act::Gone)
            .map(|w| self.worker(w.h))
            .collect();
        // Who blocks is known from the simulation, not from what the pool made of it.
        let runs = |w: &&SimWorker| {
            let waits = w.blocked || w.for_long;
            w.act != Act::Gone && !waits && self.pool.counts(self.worker(w.h))
        };
        for w in &self.workers {
            let told = self.worker(w.h).is_preempted();
            assert_eq!(told, w.for_long, "who waits for its core, and who does not");
        }
        let counted = self.workers.iter().filter(runs).count();
        let expected = if self.pool.has_core() { counted } else { 0 };
        // 6: the counter is the count.
        assert_eq!(self.pool.stand.running as usize, expected);
        let idle = live.iter().filter(|w| w.phase == Phase::Idle).count();
        assert_eq!(self.pool.nr_idle as usize, idle);
        let dying = live.iter().filter(|w| w.phase == Phase::Dying).count();
        assert_eq!(self.pool.nr_workers as usize + dying, live.len());
        assert_eq!(self.pool.pending() as usize, self.listed());
        // 5: work without a running worker has somebody on the way.
        let coming = self.workers.iter().any(|w| {
            !w.blocked && matches!(w.act, Act::Awake | Act::Creating) || self.between(w.act)
        });
        assert!(
            self.listed() == 0 || counted > 0 || coming,
            "5: work, and nobody comes"
        );
    }

    /// The only worker, which will look at the list again when it has woken up.
    fn between(&self, act: Act) -> bool {
        !self.pool.kind.grows() && matches!(act, Act::Running(_) | Act::Barrier(_))
    }
}

/// Views of the simulated pool.
impl Sim {
    pub(crate) fn on(&self, h: Handle<Item>) -> On {
        self.s.items.get(h).on()
    }

    pub(crate) fn worker(&self, h: Handle<Worker>) -> &Worker {
        self.s.workers.get(h)
    }

    pub(crate) fn item(&self, h: Handle<Item>) -> &Item {
        self.s.items.get(h)
    }

    pub(crate) fn stats(&self, p: usize) -> PwqStats {
        self.pool.stats(&self.s, self.pwqs[p])
    }

    pub(crate) fn pwq(&self, p: usize) -> &Pwq {
        self.s.pwqs.get(self.pwqs[p])
    }

    /// Items and barriers on the pool's list.
    pub(crate) fn listed(&self) -> usize {
        let list = self.pool.worklist.iter(&self.s);
        list.filter(|&h| !self.item(h).is_cursor()).count()
    }
}
