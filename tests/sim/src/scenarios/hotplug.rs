//! Cores that go offline and come back under load (M1-M5, K5, S14): nothing is lost, doubled or stuck.
#![expect(unsafe_code, reason = "a timer is an intrusive node of its owner")]

use std::sync::Arc;

use kernel::cpu::{CpuMask, online};
use kernel::hotplug::{self, HotplugError};
use kernel::ipi::{CallError, call_on};
use kernel::thread::{Builder, ThreadCx, ThreadRef, current, sleep, yield_now};
use kernel::timer::Timer;
use kernel::wq::{self, Run, Submitted};
use machine::{CpuId, now};
use sim::Scenario;

use crate::kit::{
    Count, HARDY, crowd, dawdle, here, insist, join, linger, new_bh_item, new_delayed, new_item,
    one_in, pick, until, us,
};

/// Scenarios of cores that leave and return.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("offline-with-work", 3, with_work)
        .about("a core leaves with items asleep and pending: each finishes once (M2, M3)")
        .cpus_range(2, 5)
        .endures(HARDY),
    Scenario::new("hotplug-storm", 4, storm)
        .about(
            "cores come and go under items, delayed items and flushes; counters stay true (E1, M3)",
        )
        .cpus_range(2, 6)
        .endures(HARDY),
    Scenario::new("hotplug-of-softirqs", 3, bh_items)
        .about("BH items of a core that leaves run elsewhere, once each and in order (K5, S14)")
        .cpus_range(2, 6)
        .endures(HARDY),
    Scenario::new("hotplug-of-cancelled-softirqs", 4, cancelled_bh_items)
        .about("what was raised for a BH item that was cancelled is not missed when its core goes (K2, K5)")
        .cpus_range(2, 5)
        .endures(HARDY),
    Scenario::new("hotplug-of-timers", 3, timers)
        .about("timers and calls of a core that leaves are neither lost nor early nor doubled")
        .cpus_range(2, 6)
        .endures(HARDY),
    Scenario::new("hotplug-of-threads", 3, threads)
        .about("threads go on while their core is offline, and go home when it is back")
        .cpus_range(2, 6)
        .endures(HARDY),
    Scenario::new("hotplug-refused", 2, refused)
        .about("the last core stays, and who is there already need not come")
        .cpus_range(1, 4)
        .endures(HARDY),
];

/// How many cores the machine has, online or not.
pub(super) fn present() -> usize {
    kernel::kernel().present().count()
}

pub(super) fn any_core() -> CpuId {
    CpuId::new(pick(present()))
}

/// Brings core `id` up, however scarce memory is.
pub(super) fn up(cx: &ThreadCx<'_>, id: CpuId) {
    insist(|| match hotplug::online(cx, id) {
        Ok(()) | Err(HotplugError::Already) => Ok(()),
        Err(HotplugError::NoMemory) => Err(()),
        Err(e) => panic!("{id}: {e}"),
    });
}

/// A thread that takes random cores down and up so many times, and leaves all of them up.
pub(super) fn plugger(times: usize) -> ThreadRef {
    let body = move |cx: &ThreadCx<'_>| {
        for _ in 0..times {
            let id = any_core();
            match hotplug::offline(cx, id) {
                Ok(()) => {
                    assert!(!online().contains(id));
                    dawdle(cx);
                    if one_in(3) {
                        sleep(cx, us(pick(200) as u64));
                    }
                }
                Err(HotplugError::Already | HotplugError::LastCore) => up(cx, id),
                Err(e) => panic!("{id}: {e}"),
            }
            if one_in(2) {
                up(cx, id);
            }
        }
        (0..present()).for_each(|n| up(cx, CpuId::new(n)));
    };
    insist(|| Builder::new("plugger").spawn(body))
}

/// E1: with nothing to do nobody counts as running.
pub(super) fn assert_at_rest(cx: &ThreadCx<'_>) {
    assert_eq!(online().count(), present());
    until(cx, || {
        let mut busy = 0;
        wq::for_each_pool(|p| busy += p.pending + p.workers.total - p.workers.idle);
        busy == 0
    });
    wq::for_each_pool(|p| assert_eq!(p.nr_running, 0, "pool {} counts somebody", p.id));
}

fn with_work(cx: &ThreadCx<'_>) {
    const EACH: usize = 12;
    let home = CpuId::new(pick(present()));
    let ran: Arc<Vec<Count>> = Arc::new((0..2 * EACH).map(|_| Count::default()).collect());
    let items: Vec<_> = (0..2 * EACH)
        .map(|i| {
            let ran = Arc::clone(&ran);
            new_item((i, ran), |cx: &ThreadCx<'_>, run: &Run<'_, _>| {
                let (i, ran): &(usize, Arc<Vec<Count>>) = run;
                if *i < EACH {
                    sleep(cx, us(100 + pick(200) as u64));
                } else {
                    linger();
                }
                ran[*i].up();
            })
        })
        .collect();
    for item in &items {
        assert_eq!(wq::percpu().queue_on(home, item), Submitted::Queued);
    }
    sleep(cx, us(pick(150) as u64));
    hotplug::offline(cx, home).expect("it was online and not alone");
    // One that comes only now runs, too (C3), and elsewhere: until the core is brought up again, which
    // may fail and have it leave once more, with whatever runs there by then.
    type Late = (Count, Count);
    let late = new_item(Late::default(), |_: &ThreadCx<'_>, run: &Run<'_, Late>| {
        let (ran, coming) = &**run;
        let at = here();
        assert!(online().contains(at) || coming.get() > 0);
        ran.up();
    });
    assert_eq!(wq::percpu().queue_on(home, &late), Submitted::Queued);
    if one_in(2) {
        late.flush(cx).expect("no panic");
        assert_eq!(late.0.get(), 1);
    }
    late.1.up();
    up(cx, home);
    wq::percpu().flush(cx).expect("not one of its items");
    assert_eq!(late.0.get(), 1);
    assert!(ran.iter().all(|n| n.get() == 1), "lost or doubled");
    // Back home, items keep to their core again (C1).
    let at_home = new_item(home, |_: &ThreadCx<'_>, run: &Run<'_, CpuId>| {
        assert_eq!(here(), **run);
    });
    for _ in 0..3 {
        assert_eq!(wq::percpu().queue_on(home, &at_home), Submitted::Queued);
        at_home.flush(cx).expect("no panic");
    }
    assert_at_rest(cx);
}

#[derive(Default)]
struct Ledger {
    inside: Count,
    runs: Count,
    queued: Count,
    cancelled: Count,
}

fn note(cx: &ThreadCx<'_>, run: &Run<'_, Ledger>) {
    assert_eq!(run.inside.up(), 0, "it runs twice at once");
    dawdle(cx);
    run.runs.up();
    run.inside.down();
}

fn storm(cx: &ThreadCx<'_>) {
    let items: Arc<Vec<_>> = Arc::new(
        (0..4)
            .map(|_| new_delayed(Ledger::default(), note))
            .collect(),
    );
    let pluggers = plugger(8);
    let users = {
        let items = Arc::clone(&items);
        crowd(present() + 1, move |cx, _| {
            for _ in 0..12 {
                let item = &items[pick(items.len())];
                let delay = us(pick(60) as u64);
                match pick(7) {
                    0 => item.cancelled.up_if(item.cancel()),
                    1 => {
                        let was = item.cancel_sync(cx).expect("no panic");
                        item.cancelled.up_if(was);
                    }
                    2 => {
                        let _ = item.flush(cx).expect("no panic");
                    }
                    3 => wq::highpri().flush(cx).expect("not one of its items"),
                    4 => {
                        let done = wq::highpri().queue_delayed(item, delay);
                        item.queued.up_if(done == Submitted::Queued);
                    }
                    5 => {
                        let done = wq::highpri().queue_delayed_on(any_core(), item, delay);
                        item.queued.up_if(done == Submitted::Queued);
                    }
                    _ => {
                        let done = wq::highpri().queue_delayed_on(any_core(), item, us(0));
                        item.queued.up_if(done == Submitted::Queued);
                    }
                }
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    pluggers.join(cx);
    for item in items.iter() {
        item.flush(cx).expect("no panic");
        assert_eq!(item.queued.get(), item.runs.get() + item.cancelled.get());
    }
    assert_at_rest(cx);
}

/// A BH item that knows its turn on its core.
struct Ticket {
    home: CpuId,
    nth: usize,
    next: Arc<Vec<Count>>,
}

fn bh_items(cx: &ThreadCx<'_>) {
    fn punch(_: &kernel::softirq::BhCx<'_>, run: &Run<'_, Ticket, kernel::wq::Softirq>) {
        let before = run.next[run.home.index()].up();
        assert_eq!(before, run.nth, "out of order, lost or doubled");
        linger();
    }
    let pluggers = plugger(6);
    let next: Arc<Vec<Count>> = Arc::new((0..present()).map(|_| Count::default()).collect());
    let mut queued = vec![0; present()];
    for _ in 0..60 {
        let home = any_core();
        let nth = queued[home.index()];
        queued[home.index()] += 1;
        let next = Arc::clone(&next);
        let item = new_bh_item(Ticket { home, nth, next }, punch);
        assert_eq!(wq::bh().queue_on(home, &item), Submitted::Queued);
        if one_in(3) {
            dawdle(cx);
        }
    }
    wq::bh().flush(cx).expect("not one of its items");
    for (n, queued) in queued.iter().enumerate() {
        assert_eq!(next[n].get(), *queued, "core {n}");
    }
    pluggers.join(cx);
    assert_at_rest(cx);
}

/// A raise that goes with a core was perhaps for an item that is none any more: the next one runs all the same.
fn cancelled_bh_items(cx: &ThreadCx<'_>) {
    let pluggers = plugger(8);
    let runs = Arc::new(Count::default());
    let item = || {
        new_bh_item(Arc::clone(&runs), |_, run| {
            run.up();
        })
    };
    let mut left = 0;
    for _ in 0..60 {
        let item = item();
        assert_eq!(wq::bh().queue_on(any_core(), &item), Submitted::Queued);
        left += usize::from(!item.cancel());
        if one_in(2) {
            dawdle(cx);
        }
    }
    pluggers.join(cx);
    for n in 0..present() {
        let queued = wq::bh().queue_on(CpuId::new(n), &item());
        assert_eq!(queued, Submitted::Queued);
    }
    wq::bh().flush(cx).expect("not one of its items");
    assert_eq!(runs.get(), left + present());
    assert_at_rest(cx);
}

/// A timer that counts.
#[repr(C)]
#[derive(Debug)]
struct Alarm {
    timer: Timer,
    due: Count,
    armed: Count,
    fired: Count,
}

impl Alarm {
    fn new() -> Self {
        Self {
            timer: Timer::new(|timer| {
                let p = std::ptr::from_ref(timer).cast::<Self>();
                // SAFETY: only alarms have this callback, and the timer comes first in them.
                let alarm = unsafe { &*p };
                assert!(now().as_nanos() as usize >= alarm.due.get(), "too early");
                alarm.fired.up();
            }),
            due: Count::default(),
            armed: Count::default(),
            fired: Count::default(),
        }
    }

    /// Called on the core that shall have it.
    fn arm(address: usize) {
        let p = std::ptr::with_exposed_provenance::<Self>(address);
        // SAFETY: whoever had it called waits for `armed`.
        let alarm = unsafe { &*p };
        let at = now() + us(pick(300) as u64);
        alarm.due.set(at.as_nanos() as usize);
        // SAFETY: it is cancelled for good before it goes.
        unsafe { alarm.timer.arm(at) };
        alarm.armed.up();
    }
}

fn timers(cx: &ThreadCx<'_>) {
    let pluggers = plugger(6);
    let users = crowd(present() + 1, |cx, _| {
        for _ in 0..8 {
            let alarm = Box::new(Alarm::new());
            let address = std::ptr::from_ref(&*alarm).expose_provenance();
            match call_on(any_core(), Alarm::arm, address) {
                Ok(()) => {}
                Err(CallError::Offline | CallError::Full) => continue,
            }
            until(cx, || alarm.armed.get() == 1);
            let early = one_in(2) && {
                dawdle(cx);
                alarm.timer.cancel_sync()
            };
            if !early {
                until(cx, || alarm.fired.get() == 1);
            }
            let _ = alarm.timer.cancel_sync();
            assert_eq!(alarm.fired.get(), usize::from(!early), "both, or neither");
        }
    });
    join(cx, &users);
    pluggers.join(cx);
}

fn threads(cx: &ThreadCx<'_>) {
    let pluggers = plugger(6);
    let users = crowd(present() + 2, |cx, _| {
        for _ in 0..6 {
            let home = any_core();
            current().set_affinity(CpuMask::single(home));
            for _ in 0..4 {
                match pick(3) {
                    0 => yield_now(cx),
                    1 => sleep(cx, us(pick(40) as u64)),
                    _ => linger(),
                }
            }
        }
    });
    join(cx, &users);
    pluggers.join(cx);
    // All are there, so who is told where to run runs there from its next turn on.
    let home = any_core();
    current().set_affinity(CpuMask::single(home));
    yield_now(cx);
    assert_eq!(here(), home);
    current().set_affinity(CpuMask::ALL);
}

fn refused(cx: &ThreadCx<'_>) {
    let id = CpuId::new(present());
    assert_eq!(hotplug::offline(cx, id), Err(HotplugError::NoSuchCore));
    assert_eq!(hotplug::online(cx, id), Err(HotplugError::NoSuchCore));
    let stays = any_core();
    assert_eq!(hotplug::online(cx, stays), Err(HotplugError::Already));
    let others = (0..present()).map(CpuId::new).filter(|&c| c != stays);
    for c in others.clone() {
        assert_eq!(hotplug::offline(cx, c), Ok(()));
        assert_eq!(hotplug::offline(cx, c), Err(HotplugError::Already));
        assert_eq!(call_on(c, |_| {}, 0), Err(CallError::Offline));
    }
    assert_eq!(online(), CpuMask::single(stays));
    assert_eq!(hotplug::offline(cx, stays), Err(HotplugError::LastCore));
    assert_eq!(here(), stays);
    others.for_each(|c| up(cx, c));
    assert_at_rest(cx);
}
