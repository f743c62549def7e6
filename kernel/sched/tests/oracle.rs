//! The runqueue against the slow oracle: same decisions, same virtual times, after every one of
//! thousands of random operations; rows V1, V2, V6, V9, V10.

#[path = "support/oracle.rs"]
mod model;

use links::{Handle, Slab};
use machine::{Duration, Instant};
use model::{Model, Oracle};
use proptest::prelude::*;
use sched::{Decision, Dequeue, Dequeued, Enqueue, Entity, Loan, Nice, RunQueue, Turn};

const CORES: usize = 8;

#[derive(Clone, Debug)]
enum Op {
    /// New, woken or back from another runqueue, whichever fits the entity.
    Enqueue(usize),
    SleepCurrent,
    SleepQueued(usize),
    Migrate(usize),
    Exit(usize),
    Pick,
    /// The current one blocks, or gives up its request, and another is picked, in one.
    SleepAndPick,
    YieldAndPick,
    Update,
    Yield,
    Waive,
    SetNice(usize, i8),
    /// A nice value and a slice in us are lent, or with slice 0 the loan is taken back.
    Lend(usize, i8, u64),
    /// Let the current entity run exactly until its slice ends.
    RunSlice,
}

fn op() -> impl Strategy<Value = Op> {
    let who = any::<usize>();
    prop_oneof![
        6 => who.prop_map(Op::Enqueue),
        4 => Just(Op::SleepCurrent),
        1 => who.prop_map(Op::SleepQueued),
        2 => who.prop_map(Op::Migrate),
        1 => who.prop_map(Op::Exit),
        8 => Just(Op::Pick),
        8 => Just(Op::SleepAndPick),
        2 => Just(Op::YieldAndPick),
        2 => Just(Op::Update),
        2 => Just(Op::Yield),
        2 => Just(Op::Waive),
        2 => (who, -20..=19i8).prop_map(|(i, n)| Op::SetNice(i, n)),
        3 => (who, -20..=19i8, prop_oneof![Just(0), 1..30_000u64])
            .prop_map(|(i, n, slice)| Op::Lend(i, n, slice)),
        3 => Just(Op::RunSlice),
    ]
}

/// Spans of nothing, of nanoseconds, of about a slice, and of a long interruption.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        1..1000u64,
        1..4_000_000u64,
        1..4_000_000u64,
        1..2_000_000_000u64
    ]
}

#[derive(Clone, Copy, PartialEq)]
enum Away {
    Fresh,
    Asleep,
    Moving,
}

struct Pair {
    rq: RunQueue<Slab<Entity>>,
    handles: Vec<Handle<Entity>>,
    oracle: Oracle,
    away: Vec<Away>,
    now: u64,
}

impl Pair {
    fn new(entities: &[(i8, u64)], zero: u64) -> Self {
        let mut slab = Slab::new();
        let mut models = Vec::new();
        let mut handles = Vec::new();
        for &(nice, slice) in entities {
            let nice = Nice::new(nice).expect("a nice value");
            let slice = (slice > 0).then(|| Duration::from_micros(slice));
            handles.push(slab.insert(Entity::new(nice, slice)));
            let slice = slice.map_or(2_800_000, Duration::as_nanos);
            models.push(Model::new(nice, i128::from(slice)));
        }
        Self {
            rq: RunQueue::starting_at(slab, CORES, zero),
            away: vec![Away::Fresh; handles.len()],
            handles,
            oracle: Oracle::new(models, i128::from(zero)),
            now: 0,
        }
    }

    fn step(&mut self, op: &Op, span: u64) {
        self.now += span;
        let (now, at) = (self.now, Instant::from_nanos(self.now));
        let n = self.handles.len();
        match *op {
            Op::Enqueue(i) => {
                let i = i % n;
                let (queued, delayed) = (self.oracle.all[i].queued, self.oracle.all[i].delayed);
                if queued && !delayed {
                    return;
                }
                let why = match self.away[i] {
                    Away::Fresh => Enqueue::New,
                    Away::Moving => Enqueue::Migrate,
                    Away::Asleep => Enqueue::Wakeup,
                };
                if self.oracle.load() == 0 {
                    // Where virtual time stands when nobody is queued is not defined: any value
                    // congruent to the real one will do.
                    let real = self.rq.avg_vruntime();
                    let behind = real.wrapping_sub(self.oracle.zero as u64) as i64;
                    self.oracle.zero += i128::from(behind);
                }
                let want = self.oracle.enqueue(i, why, now);
                assert_eq!(self.rq.enqueue(self.handles[i], why, at), want);
            }
            Op::SleepCurrent => {
                if let Some(i) = self.oracle.current {
                    self.dequeue(i, Dequeue::Sleep);
                }
            }
            Op::SleepQueued(i) if !self.oracle.all[i % n].delayed => {
                self.dequeue(i % n, Dequeue::Sleep);
            }
            Op::SleepQueued(_) => {}
            Op::Migrate(i) => self.dequeue(i % n, Dequeue::Migrate),
            Op::Exit(i) => self.dequeue(i % n, Dequeue::Exit),
            Op::Pick => {
                let want = self.oracle.pick_next(now).map(|i| self.handles[i]);
                assert_eq!(self.rq.pick_next(at), want);
            }
            Op::SleepAndPick => {
                if let Some(i) = self.oracle.current {
                    let gone = self.oracle.dequeue(i, Dequeue::Sleep, now) == Dequeued::Gone;
                    self.away[i] = Away::Asleep;
                    let want = self.oracle.pick_next(now).map(|i| self.handles[i]);
                    assert_eq!(self.rq.pick_next_after(Turn::Sleep, at), want);
                    // One that owes time may leave all the same, if its turn comes at once.
                    assert!(!gone || !self.rq.entity(self.handles[i]).is_queued());
                }
            }
            Op::YieldAndPick => {
                self.oracle.yield_current(now);
                let want = self.oracle.pick_next(now).map(|i| self.handles[i]);
                assert_eq!(self.rq.pick_next_after(Turn::Yield, at), want);
            }
            Op::Update => assert_eq!(self.rq.update(at), self.oracle.update(now)),
            Op::Yield => {
                self.oracle.yield_current(now);
                self.rq.yield_current(at);
            }
            Op::Waive => {
                self.oracle.waive(now);
                self.rq.waive(at);
            }
            Op::SetNice(i, nice) => {
                let nice = Nice::new(nice).expect("a nice value");
                self.reweight(i % n, |oracle, rq, h, now| {
                    let want = oracle.set_nice(i % n, nice, now);
                    assert_eq!(rq.set_nice(h, nice, Instant::from_nanos(now)), want);
                    rq.entity(h).own_nice() == nice
                });
            }
            Op::Lend(i, nice, slice) => {
                let nice = Nice::new(nice).expect("a nice value");
                let loan = match slice {
                    0 => Loan::NONE,
                    us => Loan::new(nice, Duration::from_micros(us)),
                };
                self.reweight(i % n, |oracle, rq, h, now| {
                    let want = oracle.lend(i % n, loan, now);
                    assert_eq!(rq.lend(h, loan, Instant::from_nanos(now)), want);
                    rq.entity(h).lent() == loan
                });
            }
            Op::RunSlice => {
                let _ = self.oracle.update(now);
                let _ = self.rq.update(at);
                let want = self
                    .oracle
                    .slice_left()
                    .map(|ns| Instant::from_nanos(now + ns));
                assert_eq!(self.rq.slice_end(at), want);
                let Some(end) = want else { return };
                self.now = end.as_nanos();
                if self.now > now {
                    let early = Instant::from_nanos(self.now - 1);
                    assert_eq!(self.rq.update(early), self.oracle.update(self.now - 1));
                    assert_eq!(self.rq.update(early), Decision::Keep, "one ns early");
                }
                assert_eq!(self.rq.update(end), self.oracle.update(self.now));
                assert_eq!(self.rq.update(end), Decision::Resched, "exactly in time");
            }
        }
    }

    fn dequeue(&mut self, i: usize, why: Dequeue) {
        if !self.oracle.all[i].queued {
            return;
        }
        let at = Instant::from_nanos(self.now);
        let was_delayed = self.oracle.all[i].delayed;
        let want = self.oracle.dequeue(i, why, self.now);
        let got = self.rq.dequeue(self.handles[i], why, at);
        assert_eq!(got, want);
        self.away[i] = match why {
            Dequeue::Migrate => Away::Moving,
            Dequeue::Sleep | Dequeue::Exit => Away::Asleep,
        };
        if got == Dequeued::Gone {
            // V6: the saved lag is bounded; leaving as a delayed one never earns any.
            let se = self.rq.entity(self.handles[i]);
            assert!(se.saved_vlag().abs() <= se.vlag_limit());
            assert!(!was_delayed || se.saved_vlag() <= 0);
        }
    }

    /// V9: changing the weight neither moves the average nor changes the lag, up to rounding: the
    /// fraction cut off the average counts `W / W'` fold when the load falls from W to W'.
    fn reweight(
        &mut self,
        i: usize,
        change: impl FnOnce(&mut Oracle, &mut RunQueue<Slab<Entity>>, Handle<Entity>, u64) -> bool,
    ) {
        let at = Instant::from_nanos(self.now);
        let h = self.handles[i];
        let _ = (self.rq.update(at), self.oracle.update(self.now));
        let (average, from) = (self.rq.avg_vruntime(), self.rq.entity(h).weight());
        let (queued, before) = (self.rq.entity(h).is_queued(), self.oracle.load());
        let vlag = average.wrapping_sub(self.rq.entity(h).vruntime()) as i64;
        assert!(change(&mut self.oracle, &mut self.rq, h, self.now));
        let (se, own, lent) = (
            self.rq.entity(h),
            self.oracle.all[i].own,
            self.oracle.all[i].lent,
        );
        assert_eq!(se.nice(), own.nice().min(lent.nice()));
        assert_eq!(self.rq.counts(h), own.with(lent));
        if queued {
            assert_eq!(se.slice(), own.slice().min(lent.slice()));
            let moved = self.rq.avg_vruntime().wrapping_sub(average) as i64;
            assert!(
                i128::from(moved).abs() <= 1 + before / self.oracle.load(),
                "the average moved by {moved}"
            );
            let se = self.rq.entity(h);
            let (from, to) = (i128::from(from), i128::from(se.weight()));
            let after = i128::from(average.wrapping_sub(se.vruntime()) as i64) * to;
            assert!(
                (after - i128::from(vlag) * from).abs() < to,
                "the lag changed"
            );
        }
    }

    fn assert_same(&self) {
        self.rq.assert_valid();
        assert_eq!(
            self.rq.current(),
            self.oracle.current.map(|i| self.handles[i])
        );
        assert_eq!(self.rq.nr_queued(), self.oracle.queued().count());
        assert_eq!(self.rq.nr_runnable(), self.oracle.nr_runnable());
        for (&h, m) in self.handles.iter().zip(&self.oracle.all) {
            let se = self.rq.entity(h);
            assert_eq!(se.is_queued(), m.queued);
            assert_eq!(se.is_delayed(), m.delayed);
            assert_eq!(i128::from(se.saved_vlag()), m.vlag);
            assert_eq!(se.sum_exec().as_nanos(), m.sum_exec);
            if m.queued {
                // V10: the oracle does not wrap.
                assert_eq!(se.vruntime(), m.v as u64);
                assert_eq!(se.deadline(), m.d as u64);
            }
        }
        let load = self.oracle.load();
        if load > 0 {
            assert_eq!(self.rq.avg_vruntime(), self.oracle.average() as u64);
            // V1.
            assert!(
                (0..self.handles.len())
                    .any(|i| self.oracle.all[i].queued && self.oracle.eligible(i))
            );
            // V2.
            let average = self.rq.avg_vruntime();
            let sum: i128 = self
                .oracle
                .queued()
                .map(|(i, m)| {
                    let v = self.rq.entity(self.handles[i]).vruntime();
                    m.w() * i128::from(average.wrapping_sub(v) as i64)
                })
                .sum();
            assert!(-load < sum && sum <= 0, "sum of lags {sum}, load {load}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn runqueue_agrees_with_the_oracle(
        entities in prop::collection::vec((-20..=19i8, prop_oneof![Just(0), 100..20_000u64]), 1..20),
        zero in prop_oneof![Just(0), Just(u64::MAX - 1_000_000), any::<u64>()],
        ops in prop::collection::vec((op(), span()), 1..300),
    ) {
        let mut pair = Pair::new(&entities, zero);
        for (op, span) in &ops {
            pair.step(op, *span);
            pair.assert_same();
        }
    }
}

/// V1 and V2 over 20 s of virtual time with 24 threads that sleep and wake at random, and V10:
/// virtual time wraps on the way.
#[test]
fn random_sleepers_keep_somebody_eligible_for_twenty_seconds() {
    let entities: Vec<_> = (0..24).map(|i| ((i * 7 % 40) as i8 - 20, 0)).collect();
    let mut pair = Pair::new(&entities, u64::MAX - 2_000_000_000);
    let mut seed = 42u64;
    let mut next = |n: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % n
    };
    let mut steps = 0;
    while pair.now < 20_000_000_000 {
        let who = next(24) as usize;
        let op = match next(8) {
            0..3 => Op::Enqueue(who),
            3 => Op::SleepCurrent,
            4 => Op::RunSlice,
            _ => Op::Pick,
        };
        pair.step(&op, next(3_000_000));
        pair.assert_same();
        steps += 1;
    }
    assert!(steps > 10_000);
}
