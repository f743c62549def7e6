//! The simulated BH pool: turns of its pseudo worker, one step at a time; and what holds of them, whatever the order.

use std::vec::Vec;

use links::{Arena, Handle};
use proptest::prelude::*;

use crate::sim::{Act, Sim};
use crate::{Eyes, Finished, Kind, Over, Pwq, Worker};

impl Sim {
    /// What `h` executes is over.
    pub(crate) fn finish(&mut self, h: Handle<Worker>) -> Finished {
        let node = self.s.workers.get(h);
        let (Some(item), Some(p)) = (node.current, node.current_pwq) else {
            panic!("it executes nothing");
        };
        if self.item(item).is_barrier() {
            return self.pool.finish_barrier(&mut self.s, h);
        }
        if self.pool.kind == Kind::Bh {
            let over = self.pool.turn_over(&mut self.s, h, (item, p));
            return self.follows(p, over);
        }
        // Most as the executive does where it is in a hurry.
        let (pool, s, ran) = (&mut self.pool, &mut self.s, (item, p));
        let over = match s.pwqs.get(p).entered() % 6 {
            0 => pool.finish(s, h, ran),
            1 => pool.finish_plain(s, h, ran),
            2 => pool.finish_lone::<_, { Eyes::NONE }>(s, h, ran),
            3 => pool.finish_lone::<_, { Eyes::EVENTS }>(s, h, ran),
            4 => pool.finish_bound::<_, { Eyes::NONE }>(s, h, ran),
            _ => pool.finish_bound::<_, { Eyes::EVENTS }>(s, h, ran),
        };
        self.follows(p, over)
    }

    /// What follows from the end of an item of `p`. Whoever waits for `p` to be empty looks when that is said.
    fn follows(&self, p: Handle<Pwq>, over: Over) -> Finished {
        let busy = self.s.pwqs.get(p).active() > 0;
        match over {
            Over::Goes => assert!(busy, "nobody is told that nothing is in flight"),
            Over::Last => assert!(!busy, "something is in flight"),
            Over::Follows(f) => return f,
        }
        Finished::NOTHING
    }

    /// What the pseudo worker `h` of a BH pool does next.
    pub(crate) fn turn(&mut self, h: Handle<Worker>) -> Act {
        let next = self.pool.pwq_of_next(&self.s).and_then(|p| {
            let (pool, s) = (&mut self.pool, &mut self.s);
            pool.turn_to::<_, { Eyes::NONE }>(s, h, p)
                .or_else(|| pool.turn_to::<_, { Eyes::EVENTS }>(s, h, p))
        });
        if let Some((item, _)) = next {
            return self.begin(h, item);
        }
        match self.pool.turn_aside(&mut self.s, h) {
            Some(begun) => {
                assert_eq!(begun.wake, None);
                self.begin(h, begun.item)
            }
            None => self.goes(h),
        }
    }

    /// The turn of `h` is over.
    pub(crate) fn goes(&mut self, h: Handle<Worker>) -> Act {
        if self.pool.end_turn(&mut self.s, h) {
            Act::Awake
        } else {
            Act::Asleep
        }
    }

    /// As [`Self::step`], and the turn is over then.
    fn last_step(&mut self) {
        let h = self.workers[0].h;
        match self.workers[0].act {
            Act::Running(i) => self.ended(h, i),
            Act::Barrier(b) => self.reached(b),
            _ => return,
        }
        let f = self.finish(h);
        self.over(f);
        self.workers[0].act = self.goes(h);
        self.check();
    }
}

#[derive(Clone, Debug)]
enum Op {
    Queue(usize, usize),
    Cancel(usize),
    Step,
    Last,
    FlushItem(usize),
    Flush(usize),
    Disable(usize),
    Enable(usize),
    Observe(usize, bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..2usize, 0..6usize).prop_map(|(p, i)| Op::Queue(p, i)),
        2 => (0..6usize).prop_map(Op::Cancel),
        8 => Just(Op::Step),
        2 => Just(Op::Last),
        2 => (0..6usize).prop_map(Op::FlushItem),
        2 => (0..2usize).prop_map(Op::Flush),
        1 => (0..6usize).prop_map(Op::Disable),
        1 => (0..6usize).prop_map(Op::Enable),
        1 => (0..2usize, any::<bool>()).prop_map(|(p, on)| Op::Observe(p, on)),
    ];
    prop::collection::vec(op, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bh_pool_keeps_the_invariants(ops in ops()) {
        let mut sim = Sim::new(Kind::Bh, &[(u32::MAX, false), (u32::MAX, false)], 6);
        for op in ops {
            match op {
                Op::Queue(p, i) => {
                    let _any = sim.queue(p, i);
                },
                Op::Cancel(i) => {
                    let _any = sim.cancel(i);
                },
                Op::Step => {
                    let _any = sim.step(0);
                },
                Op::Last => sim.last_step(),
                Op::FlushItem(i) => {
                    let _any = sim.flush_item(i);
                },
                Op::Flush(p) => {
                    let _any = sim.flush(p);
                },
                Op::Disable(i) => sim.disable(i),
                Op::Enable(i) => sim.enable(i),
                Op::Observe(p, on) => {
                    let p = sim.pwqs[p];
                    sim.pool.observe(&mut sim.s, p, on);
                }
            }
            // Whoever queues finds the softirq called, or calls it.
            let node: &Worker = sim.s.get(sim.workers[0].h);
            let busy = node.current().is_some();
            prop_assert_eq!(sim.pool.nr_resting(&sim.s), u32::from(!busy));
            prop_assert_eq!(sim.pool.nr_idle(), 1);
            prop_assert!(sim.pool.pending() == 0 || node.is_woken());
            prop_assert!(!busy || node.is_woken());
        }
        sim.drain();
        for (i, a) in sim.accounts.iter().enumerate() {
            prop_assert_eq!(a.queued, a.runs + a.cancelled, "item {} is lost", i);
        }
        prop_assert!(sim.barriers.iter().all(|b| b.1), "a flush_work never returned");
        prop_assert!(sim.flushing.iter().all(|f| f.3), "a flush never returned");
        let node: &Worker = sim.s.get(sim.workers[0].h);
        prop_assert!(!node.is_woken(), "nothing is left");
    }
}
