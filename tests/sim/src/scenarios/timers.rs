//! Kernel timers and timed sleeps: never early, never lost, never after they were cancelled.
#![expect(unsafe_code, reason = "a timer is an intrusive node of its alarm")]

use std::sync::Arc;

use kernel::ipi::call_on;
use kernel::thread::{ThreadCx, sleep};
use kernel::timer::Timer;
use machine::{Duration, Instant, now};
use sim::{Kinds, Scenario};

use crate::kit::{
    Count, HARDY, cpus, crowd, dawdle, insist, join, linger, ms, one_in, pick, some_core, until, us,
};

/// Scenarios of timers.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("alarms-cancelled-across-cores", 3, cancelled_across_cores)
        .about("every arming of a timer ends in one callback or one cancellation, whoever cancels")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("alarms-at-the-same-time", 3, same_time)
        .about("more timers due at once than one softirq serves all fire, none early (S4)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("periodic-alarms", 3, periodic)
        .about("timers that arm themselves keep their rhythm until they are stopped")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("alarms-freed-when-cancelled", 3, freed)
        .about("after cancel_sync a timer's memory may go, even while its callback was running")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("alarm-set-again-elsewhere", 2, set_again)
        .about("cancel_sync waits for a callback on a core that the timer was armed on before")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("sleepers-in-crowds", 3, sleepers)
        .about("threads that sleep for all sorts of times wake up, none too early")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("sleep-accuracy", 2, accuracy)
        .about("with little to do sleeps end within a millisecond of their time")
        .cpus_range(1, 4)
        .endures(Kinds::SPURIOUS),
];

/// A timer that notes when it fires.
#[repr(C)]
struct Alarm {
    timer: Timer,
    /// In nanoseconds; written while the timer is not armed.
    due: Count,
    fired: Count,
    cancelled: Count,
    /// How often it arms itself again.
    left: Count,
}

impl Alarm {
    fn new(callback: fn(&Timer)) -> Self {
        Self {
            timer: Timer::new(callback),
            due: Count::default(),
            fired: Count::default(),
            cancelled: Count::default(),
            left: Count::default(),
        }
    }

    fn of(timer: &Timer) -> &Self {
        let p = std::ptr::from_ref(timer).cast::<Self>();
        // SAFETY: only alarms have timers here, as their first field (`repr(C)`).
        unsafe { &*p }
    }

    /// Arms it, being its owner; it stays alive until the scenario has seen the end of it.
    fn arm(&self, at: Instant) {
        self.due.set(at.as_nanos() as usize);
        // SAFETY: every scenario keeps its alarms until they have fired or are cancelled for good.
        unsafe { self.timer.arm(at) };
    }

    fn cancel(&self) {
        self.cancelled.up_if(self.timer.cancel());
    }

    fn over(&self) -> usize {
        self.fired.get() + self.cancelled.get()
    }
}

fn ring(timer: &Timer) {
    let alarm = Alarm::of(timer);
    assert!(now().as_nanos() as usize >= alarm.due.get(), "too early");
    linger();
    alarm.fired.up();
}

/// `n` alarms with this callback.
fn alarms(n: usize, callback: fn(&Timer)) -> Arc<Vec<Alarm>> {
    Arc::new((0..n).map(|_| Alarm::new(callback)).collect())
}

/// A moment within the next 40 us.
fn soon() -> Instant {
    now() + us(pick(40) as u64)
}

fn cancelled_across_cores(cx: &ThreadCx<'_>) {
    const EACH: usize = 3;
    let owners = cpus() + 1;
    let all = alarms(EACH * owners, ring);
    let threads = {
        let all = Arc::clone(&all);
        crowd(owners, move |cx, i| {
            let mine = &all[EACH * i..EACH * (i + 1)];
            for round in 1..9 {
                for alarm in mine {
                    alarm.arm(soon());
                }
                // Whoever cancels it, and on whichever core it is.
                all[pick(all.len())].cancel();
                dawdle(cx);
                for alarm in mine {
                    if one_in(2) {
                        alarm.cancelled.up_if(alarm.timer.cancel_sync());
                    }
                    until(cx, || alarm.over() == round);
                }
            }
        })
    };
    join(cx, &threads);
    assert!(all.iter().all(|a| a.over() == 8 && !a.timer.is_armed()));
}

fn same_time(cx: &ThreadCx<'_>) {
    let all = alarms(72, ring);
    for round in 1..4 {
        let at = now() + us(100);
        let armers = {
            let all = Arc::clone(&all);
            // Half of them on one core, the rest wherever the threads are.
            crowd(3, move |cx, i| {
                let mine = if i == 0 {
                    0..36
                } else {
                    18 + 18 * i..36 + 18 * i
                };
                for alarm in &all[mine] {
                    alarm.arm(at);
                }
                dawdle(cx);
                all[pick(72)].cancel();
            })
        };
        join(cx, &armers);
        until(cx, || all.iter().all(|a| a.over() == round));
    }
}

fn periodic(cx: &ThreadCx<'_>) {
    fn tick(timer: &Timer) {
        let alarm = Alarm::of(timer);
        let due = alarm.due.get();
        assert!(now().as_nanos() as usize >= due, "too early");
        alarm.fired.up();
        if alarm.left.get() > 0 {
            alarm.left.down();
            alarm.arm(Instant::from_nanos(due as u64) + us(10));
        }
    }
    let all = alarms(2 * cpus() + 1, tick);
    let starters = {
        let all = Arc::clone(&all);
        crowd(all.len(), move |cx, i| {
            dawdle(cx);
            all[i].left.set(19);
            all[i].arm(soon());
        })
    };
    join(cx, &starters);
    // One is stopped by its own means, the others come to their end.
    sleep(cx, us(60));
    all[0].left.set(0);
    // The first waits for a callback that is about to arm itself, the second undoes that.
    let _ = all[0].timer.cancel_sync();
    let _ = all[0].timer.cancel_sync();
    // Not at all, if its core was held up all the time.
    assert!(all[0].fired.get() <= 20);
    until(cx, || all[1..].iter().all(|a| a.fired.get() == 20));
    for alarm in all.iter() {
        assert!(!alarm.timer.cancel_sync(), "armed beyond its end");
    }
}

fn freed(cx: &ThreadCx<'_>) {
    let users = crowd(cpus() + 2, |cx, _| {
        for _ in 0..12 {
            let alarm = Box::new(Alarm::new(ring));
            alarm.arm(soon());
            dawdle(cx);
            let was = alarm.timer.cancel_sync();
            assert_eq!(alarm.fired.get(), usize::from(!was), "neither, or both");
            // Whoever gets the memory next must not find the callback still in it.
            drop(alarm);
        }
    });
    join(cx, &users);
}

fn set_again(cx: &ThreadCx<'_>) {
    /// Counts itself in and out: `left` callbacks are going on.
    fn slowly(timer: &Timer) {
        let alarm = Alarm::of(timer);
        alarm.left.up();
        linger();
        linger();
        alarm.fired.up();
        alarm.left.down();
    }
    fn arm_here(alarm: usize) {
        let p = std::ptr::with_exposed_provenance::<Alarm>(alarm);
        // SAFETY: whoever had it called waits until `cancelled` says that it was.
        let alarm = unsafe { &*p };
        alarm.arm(soon());
        alarm.cancelled.up();
    }
    let users = crowd(cpus() + 1, |cx, _| {
        for _ in 0..12 {
            let alarm = Box::new(Alarm::new(slowly));
            let address = std::ptr::from_ref(&*alarm).expose_provenance();
            insist(|| call_on(some_core(), arm_here, address));
            until(cx, || alarm.cancelled.get() == 1);
            linger();
            // Perhaps while it rings, and perhaps elsewhere.
            alarm.arm(if one_in(4) { soon() } else { now() + ms(500) });
            dawdle(cx);
            let _ = alarm.timer.cancel_sync();
            assert_eq!(alarm.left.get(), 0, "a callback is still running");
        }
    });
    join(cx, &users);
}

fn sleepers(cx: &ThreadCx<'_>) {
    let threads = crowd(3 * cpus() + 2, |cx, i| {
        for round in 0..6 {
            let d = match pick(4) {
                0 => Duration::ZERO,
                1 => us(50),
                2 => us(pick(100) as u64),
                _ => ms((i + round) as u64 % 3),
            };
            let begin = now();
            sleep(cx, d);
            assert!(now().since(begin) >= d, "woken too early");
        }
    });
    join(cx, &threads);
}

fn accuracy(cx: &ThreadCx<'_>) {
    let threads = crowd(6, |cx, i| {
        for round in 1..6 {
            let d = us(137 * round * (i as u64 + 1));
            let begin = now();
            sleep(cx, d);
            let took = now().since(begin);
            assert!(took >= d, "slept {took:?} instead of {d:?}");
            assert!(took <= d + ms(1), "slept {took:?} instead of {d:?}");
        }
    });
    join(cx, &threads);
}
