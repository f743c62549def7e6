//! Shares of one core: equal, by weight, beside sleepers, with slices of all lengths (V3, V7, V8, V9).
//!
//! These measure time, so they run on one core and endure no faults that take time away.

use std::sync::Arc;

use kernel::thread::{Builder, Nice, ThreadCx, ThreadRef, sleep};
use machine::{Duration, now};
use sim::{Kinds, Scenario};

use crate::kit::{Count, burn, crowd, join, ms, pick, us};

/// Scenarios of fairness.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("equal-shares", 1, equal_shares)
        .about("three computing threads of one core get a third each (V3)")
        .endures(Kinds::SPURIOUS),
    Scenario::new("shares-by-weight", 1, shares_by_weight)
        .about("threads of nice -5, 0 and 5 get shares by their weights (V3)")
        .endures(Kinds::SPURIOUS),
    Scenario::new("extreme-weights", 1, extreme_weights)
        .about("beside nice -20 a thread of nice 19 gets next to nothing, but gets it (V3, V4)")
        .endures(Kinds::SPURIOUS),
    Scenario::new("weights-that-change", 1, changing_weights)
        .about("whatever weight a thread is given when, its time is the sum of its shares (V9)")
        .endures(Kinds::SPURIOUS),
    Scenario::new("sleeper-beside-a-hog", 1, sleeper_beside_a_hog)
        .about("a thread that sleeps briefly and often gets no more than its share (V7)")
        .endures(Kinds::SPURIOUS),
    Scenario::new("short-and-long-slices", 1, mixed_slices)
        .about("a short slice is served sooner than a long one and gets the same share (V8)")
        .endures(Kinds::SPURIOUS),
];

/// A thread of this nice level that computes until `stop`.
fn hog(nice: i8, stop: &Arc<Count>) -> ThreadRef {
    let stop = Arc::clone(stop);
    let nice = Nice::new(nice).expect("a nice level");
    let thread = Builder::new("hog").nice(nice);
    let body = move |_: &ThreadCx<'_>| {
        while stop.get() == 0 {
            machine::sync_point();
        }
    };
    thread.spawn(body).expect("memory for a thread")
}

/// Lets hogs of these nice levels compete for `time`. Their CPU time in nanoseconds.
fn compete(cx: &ThreadCx<'_>, levels: &[i8], time: Duration) -> Vec<u64> {
    let stop = Arc::new(Count::default());
    let hogs: Vec<_> = levels.iter().map(|&n| hog(n, &stop)).collect();
    sleep(cx, time);
    stop.up();
    join(cx, &hogs);
    hogs.iter().map(|t| t.cpu_time_ns()).collect()
}

fn equal_shares(cx: &ThreadCx<'_>) {
    let ns = compete(cx, &[0, 0, 0], ms(30));
    let (min, max) = (ns.iter().min(), ns.iter().max());
    let spread = max.zip(min).map_or(0, |(max, min)| max - min);
    // Slices of 0.7 ms: nobody is more than two ahead.
    assert!(spread <= 2_500_000, "{ns:?} ns");
}

fn shares_by_weight(cx: &ThreadCx<'_>) {
    let levels = [-5, 0, 5];
    let ns = compete(cx, &levels, ms(40));
    let weight = |n: i8| u64::from(Nice::new(n).map_or(0, Nice::weight));
    let weights: u64 = levels.iter().map(|&n| weight(n)).sum();
    let total: u64 = ns.iter().sum();
    for (&n, &got) in levels.iter().zip(&ns) {
        let due = total * weight(n) / weights;
        assert!(got.abs_diff(due) < 1_500_000, "nice {n}: {ns:?} ns");
    }
}

fn extreme_weights(cx: &ThreadCx<'_>) {
    let ns = compete(cx, &[-20, 19], ms(20));
    // Its share is a 5917th, but a slice is not cut short: one of 0.7 ms, perhaps a second.
    assert!(ns[1] > 0, "nice 19 never ran: {ns:?} ns");
    assert!(ns[1] <= 1_600_000, "nice 19 ran for too long: {ns:?} ns");
}

/// A change of weight that moved the average, or the lag of the thread, would give or take time at each.
fn changing_weights(cx: &ThreadCx<'_>) {
    let stop = Arc::new(Count::default());
    let (steady, moving) = (hog(0, &stop), hog(0, &stop));
    let weight = |n: i8| u64::from(Nice::new(n).map_or(0, Nice::weight));
    let (mut due, mut level) = (0, 0);
    let begin = now();
    let mut since = begin;
    for _ in 0..60 {
        sleep(cx, us(300 + pick(1_200) as u64));
        let at = now();
        due += at.since(since).as_nanos() * weight(level) / (weight(level) + weight(0));
        since = at;
        level = [-8, -3, 0, 3, 8][pick(5)];
        moving.set_nice(Nice::new(level).expect("a nice level"));
    }
    due += now().since(since).as_nanos() * weight(level) / (weight(level) + weight(0));
    let (got, other) = (moving.cpu_time_ns(), steady.cpu_time_ns());
    stop.up();
    join(cx, &[steady, moving]);
    // Nobody is ever more than two slices of 0.7 ms ahead or behind.
    assert!(
        got.abs_diff(due) <= 1_600_000,
        "{got} ns instead of {due}, beside {other} ns"
    );
}

fn sleeper_beside_a_hog(cx: &ThreadCx<'_>) {
    let stop = Arc::new(Count::default());
    let hog = hog(0, &stop);
    let sleeper = {
        let stop = Arc::clone(&stop);
        crowd(1, move |cx, _| {
            while stop.get() == 0 {
                burn(us(300));
                sleep(cx, us(30));
            }
        })
    };
    sleep(cx, ms(40));
    stop.up();
    join(cx, &sleeper);
    hog.join(cx);
    let (slept, computed) = (sleeper[0].cpu_time_ns(), hog.cpu_time_ns());
    // It may be served sooner after each sleep, but its debt survives the sleep.
    assert!(
        slept <= computed + 2_500_000,
        "the sleeper got {slept} ns, the hog {computed} ns"
    );
}

fn mixed_slices(cx: &ThreadCx<'_>) {
    /// A thread with slices of this length that works for 200 us in every millisecond; how late it
    /// was served, in sum.
    fn probe(slice: Duration, stop: &Arc<Count>) -> (ThreadRef, Arc<Count>) {
        let (stop, late) = (Arc::clone(stop), Arc::new(Count::default()));
        let sum = Arc::clone(&late);
        let body = move |cx: &ThreadCx<'_>| {
            while stop.get() == 0 {
                let due = now() + us(800);
                sleep(cx, us(800));
                sum.add(now().since(due).as_micros() as usize);
                burn(us(200));
            }
        };
        let thread = Builder::new("probe").slice(slice).spawn(body);
        (thread.expect("memory for a thread"), late)
    }
    let stop = Arc::new(Count::default());
    let hogs = [hog(0, &stop), hog(0, &stop)];
    let (short, short_late) = probe(us(200), &stop);
    let (long, long_late) = probe(ms(10), &stop);
    sleep(cx, ms(50));
    stop.up();
    join(cx, &hogs);
    short.join(cx);
    long.join(cx);
    let (a, b) = (short_late.get(), long_late.get());
    assert!(a < b, "short slices {a} us late, long ones {b} us");
    // Both ask for less than their share, and get what they ask for as often as they come.
    let (a, b) = (short.cpu_time_ns(), long.cpu_time_ns());
    assert!(
        a + 1_000_000 >= b,
        "short slices got {a} ns, long ones {b} ns"
    );
}
