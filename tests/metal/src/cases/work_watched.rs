//! 96: the watchdog, the picture of all queues, the freezer, suspending the machine (N6-N8, F5).

use core::sync::atomic::{AtomicBool, Ordering};

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::freezer;
use kernel::power::{Woken, suspend_to_idle};
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, PerCpu, Run, Softirq, Stall, StallKind, Submitted, Work, Workqueue};
use machine::{CpuId, Duration, now};

use super::work_kit::{Gated, cores, eventually, ms};
use crate::ktest;

ktest!("96_watchdog_tells_each_kind_of_stall", tells_each_kind);
ktest!("96_watchdog_has_patience", has_patience);
ktest!("96_picture_names_functions", picture_names_functions);
ktest!("96_freezer_holds_its_queues", freezer_holds_its_queues);
ktest!("96_suspend_to_idle_sleeps_and_wakes", suspends);

const LIMIT: Duration = ms(200);
/// Long enough to be told.
const LONG: Duration = ms(600);
/// When what should be told by then goes on after all: a busy host may be late with everything.
const LONGEST: Duration = ms(9_000);

/// Computes until somebody has noticed.
fn compute_until(noticed: &AtomicBool) {
    let begin = now();
    while !noticed.load(Ordering::Acquire) && now().since(begin) < LONGEST {}
}

/// The newest of the kind, once there is one after number `before`.
fn told(cx: &ThreadCx<'_>, kind: StallKind, before: u64) -> Stall {
    let mut found = None;
    eventually(cx, "a report of the watchdog", || {
        let mut all = wq::last_stalls().into_iter();
        found = all.find(|s| s.kind == kind && s.number > before);
        found.is_some()
    });
    found.expect("just seen")
}

/// N7, N8: each is told, after one limit. That it is told before two of them, and once, is the simulator's to see, whose time
/// does not depend on a busy host.
fn tells_each_kind(cx: &ThreadCx<'_>) {
    let narrow = Workqueue::<PerCpu>::builder("narrow").max_active(1);
    let narrow = narrow.build().expect("memory for a queue");
    let gated = Gated::new();
    let items = gated.items(3);
    let before = wq::stall_count();
    wq::set_watchdog(LIMIT);
    assert_eq!(narrow.queue_on(CpuId::BOOT, &items[0]), Submitted::Queued);
    let stall = told(cx, StallKind::Item, before);
    // A busy host may be late with everything.
    assert!(stall.lasted >= LIMIT, "{stall}");
    assert_eq!(&*stall.queue, "narrow");
    // Its thread sleeps, and the report says where: in the wait of the handler, which may be inlined, in
    // a worker.
    assert_eq!(stall.running, None, "{stall}");
    let names = stall.frames.iter().map(|&pc| {
        let found = (kernel::kernel().info().symbolize)(pc - 1);
        found.map_or("?", |(name, _)| name)
    });
    let names: Vec<&str> = names.collect();
    let at = |words: &str| names.iter().position(|name| name.contains(words));
    let (wait, worker) = (at("Completion::wait"), at("worker::main"));
    assert!(wait.is_some() && wait < worker, "{names:?}");
    for item in &items[1..] {
        assert_eq!(narrow.queue_on(CpuId::BOOT, item), Submitted::Queued);
    }
    assert_eq!(told(cx, StallKind::Slots, before).waiting, 2);
    gated.open();
    narrow.destroy(cx).expect("not one of its items");
    // The last core's: on the only core nobody would look meanwhile.
    let last = CpuId::new(cores() - 1);
    let compute = |_: &ThreadCx<'_>, noticed: &Run<'_, AtomicBool>| match cores() {
        // Nobody else looks: long enough, and then it is told.
        1 => {
            let begin = now();
            while now().since(begin) < LONG {}
        }
        _ => compute_until(noticed),
    };
    wq::set_cpu_intensive_threshold(Duration::ZERO);
    let hog = Arc::new(<Work<_>>::new(AtomicBool::new(false), compute));
    let behind = Gated::new();
    let items = behind.items(1);
    assert_eq!(wq::percpu().queue_on(last, &hog), Submitted::Queued);
    assert_eq!(wq::percpu().queue_on(last, &items[0]), Submitted::Queued);
    assert_eq!(told(cx, StallKind::Pool, before).waiting, 1);
    hog.store(true, Ordering::Release);
    behind.open();
    wq::percpu().flush(cx).expect("not one of its items");
    wq::set_cpu_intensive_threshold(ms(10));
    if cores() > 1 {
        let masked = Arc::new(<Work<_, Softirq>>::new(
            AtomicBool::new(false),
            |_, noticed| {
                let irq = machine::irq_save();
                compute_until(noticed);
                machine::irq_restore(irq);
            },
        ));
        assert_eq!(wq::bh().queue_on(last, &masked), Submitted::Queued);
        assert_eq!(told(cx, StallKind::Timers, before).place, last.index());
        masked.store(true, Ordering::Release);
        masked.flush(cx).expect("no panic");
    }
    wq::set_watchdog(Duration::ZERO);
}

/// N7: what sleeps until a set time, or goes on however slowly, is not told. What a host that stops the machine for
/// longer than the limit does to it is told, rightly: then it is tried again.
fn has_patience(cx: &ThreadCx<'_>) {
    const TRIES: usize = 5;
    let quiet = (0..TRIES).any(|_| {
        let before = wq::stall_count();
        wq::set_watchdog(LIMIT);
        be_slow(cx);
        wq::set_watchdog(Duration::ZERO);
        wq::stall_count() == before
    });
    assert!(quiet, "{:?}", wq::last_stalls());
}

/// An item sleeps, and others take long together.
fn be_slow(cx: &ThreadCx<'_>) {
    let nap = |cx: &ThreadCx<'_>, _: &Run<'_, ()>| sleep(cx, LONG);
    let nap = Arc::new(<Work<_>>::new((), nap));
    assert_eq!(wq::percpu().queue(&nap), Submitted::Queued);
    let work = |_: &ThreadCx<'_>, _: &Run<'_, ()>| {
        let begin = now();
        while now().since(begin) < ms(2) {}
    };
    let items: Vec<_> = (0..300)
        .map(|_| Arc::new(<Work<_>>::new((), work)))
        .collect();
    for item in &items {
        assert_eq!(wq::percpu().queue(item), Submitted::Queued);
    }
    wq::percpu().flush(cx).expect("not one of its items");
}

/// N6, with the names that the image has.
fn picture_names_functions(cx: &ThreadCx<'_>) {
    let wq = Workqueue::<PerCpu>::builder("shown").max_active(2);
    let wq = wq.build().expect("memory for a queue");
    let gated = Gated::new();
    let items = gated.items(5);
    for item in &items {
        assert_eq!(wq.queue_on(CpuId::BOOT, item), Submitted::Queued);
    }
    eventually(cx, "the start of two", || gated.started() == 2);
    let mut text = String::new();
    wq::show_all(&mut text).expect("strings take everything");
    let from = text.find("workqueue shown: flags=percpu max_active=2");
    let part = &text[from.unwrap_or_else(|| panic!("it is not there: {text}"))..];
    let lines: Vec<&str> = part.lines().take(4).collect();
    assert!(lines[1].contains("cpu=0 nice=0 active=2 refs=5"), "{text}");
    assert_eq!(lines[2].matches("Gated").count(), 2, "{text}");
    assert!(lines[3].contains("inactive: 3*"), "{text}");
    gated.open();
    wq.destroy(cx).expect("not one of its items");
    let mut again = String::new();
    let _ = wq::show_all(&mut again);
    assert!(!again.contains("shown"), "{again}");
}

/// F5.
fn freezer_holds_its_queues(cx: &ThreadCx<'_>) {
    let wq = Workqueue::<PerCpu>::builder("frozen").freezable();
    let wq = wq.build().expect("memory for a queue");
    let (before, after) = (Gated::new(), Gated::new());
    let running = before.items(1);
    assert_eq!(wq.queue(&running[0]), Submitted::Queued);
    freezer::freeze();
    assert!(freezer::busy());
    let items = after.items(8);
    for item in &items {
        assert_eq!(wq.queue(item), Submitted::Queued);
    }
    before.open();
    eventually(cx, "the end of what ran", || !freezer::busy());
    sleep(cx, ms(5));
    assert_eq!(after.started(), 0, "a frozen queue starts items");
    freezer::thaw();
    eventually(cx, "the start of all", || after.started() == items.len());
    after.open();
    wq.destroy(cx).expect("not one of its items");
}

/// Too late for a host that is only busy.
const LATE: Duration = ms(3_000);

/// All cores sleep until the time has come, whatever timers they have.
fn suspends(cx: &ThreadCx<'_>) {
    let wq = Workqueue::<PerCpu>::builder("night").freezable();
    let wq = wq.build().expect("memory for a queue");
    for _ in 0..3 {
        let begin = now();
        let end = begin + ms(60);
        let woken = suspend_to_idle(cx, end).expect("nothing runs, and there is memory");
        let up = now();
        if woken == Woken::Time {
            assert!(up >= end);
            // A busy host may be late with everything; who is not woken sleeps for ever, or until the next of its timers.
            assert!(up.since(end) < LATE, "{:?} late", up.since(end));
        }
        assert!(!freezer::is_on());
    }
    let gated = Gated::new();
    gated.open();
    for n in 0..cores() {
        let items = gated.items(1);
        assert_eq!(wq.queue_on(CpuId::new(n), &items[0]), Submitted::Queued);
        items[0].flush(cx).expect("it did not panic");
    }
    wq.destroy(cx).expect("not one of its items");
}
