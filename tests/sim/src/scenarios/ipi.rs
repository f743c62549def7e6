//! Calls across cores: a function runs in an interrupt of another core (B3, K3).
#![expect(unsafe_code, reason = "an interrupt is given an address")]

use std::sync::Arc;

use kernel::ipi::call_on;
use kernel::thread::{ThreadCx, ThreadRef, park};
use kernel::wq::{self, Run, Submitted, Work};
use machine::CpuId;
use sim::Scenario;

use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, here, join, linger, pick, some_core, until,
};

/// Scenarios of calls across cores.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("calls-across-cores", 3, calls)
        .about("every accepted call runs once, on the core it was meant for, in an interrupt")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("full-mailbox", 2, full_mailbox)
        .about("a core that masks interrupts gets no more calls than fit, and all of those")
        .cpus_range(2, 8)
        .endures(HARDY),
    Scenario::new("interrupts-queue-and-cancel", 3, queue_and_cancel)
        .about("interrupts queue and cancel an item that threads queue and cancel (B3, B4, J1)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("interrupts-wake-threads", 3, wake)
        .about("a thread that parks for every interrupt misses none (no lost wake-up)")
        .cpus_range(1, 8)
        .endures(HARDY),
];

/// What `arg` is the address of.
pub(super) fn at<'a, T>(arg: usize) -> &'a T {
    let p = std::ptr::with_exposed_provenance::<T>(arg);
    // SAFETY: scenarios pass the address of what they keep until all calls are over.
    unsafe { &*p }
}

/// What an interrupt is given, so that [`at`] finds `of`.
pub(super) fn address<T>(of: &Arc<T>) -> usize {
    Arc::as_ptr(of).expose_provenance()
}

struct Mailbox {
    cpu: CpuId,
    posted: Count,
    opened: Count,
}

fn boxes() -> Vec<Arc<Mailbox>> {
    (0..cpus())
        .map(|n| {
            let (posted, opened) = (Count::default(), Count::default());
            let cpu = core(n);
            Arc::new(Mailbox {
                cpu,
                posted,
                opened,
            })
        })
        .collect()
}

fn open(arg: usize) {
    let b: &Mailbox = at(arg);
    assert_eq!(here(), b.cpu, "called on another core");
    assert!(machine::irqs_masked(), "not as an interrupt");
    b.opened.up();
}

fn calls(cx: &ThreadCx<'_>) {
    let boxes = Arc::new(boxes());
    let callers = {
        let boxes = Arc::clone(&boxes);
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..25 {
                let b = &boxes[pick(cpus())];
                b.posted.up_if(call_on(b.cpu, open, address(b)).is_ok());
                if pick(4) == 0 {
                    dawdle(cx);
                }
            }
        })
    };
    join(cx, &callers);
    until(cx, || {
        boxes.iter().all(|b| b.opened.get() == b.posted.get())
    });
}

fn full_mailbox(cx: &ThreadCx<'_>) {
    let boxes = Arc::new(boxes());
    let callers = {
        let boxes = Arc::clone(&boxes);
        crowd(cpus(), move |cx, i| {
            for _ in 0..3 {
                if i == 0 {
                    // As long as this lasts nobody opens this core's box.
                    let deaf = sync::IrqGuard::new();
                    (0..200).for_each(|_| machine::sync_point());
                    drop(deaf);
                } else {
                    let b = &boxes[pick(cpus())];
                    for _ in 0..70 {
                        b.posted.up_if(call_on(b.cpu, open, address(b)).is_ok());
                    }
                }
                dawdle(cx);
            }
        })
    };
    join(cx, &callers);
    until(cx, || {
        boxes.iter().all(|b| b.opened.get() == b.posted.get())
    });
}

#[derive(Default)]
struct Ledger {
    calls: Count,
    runs: Count,
    queued: Count,
    cancelled: Count,
}

type Item = Work<Ledger>;

fn work(cx: &ThreadCx<'_>, run: &Run<'_, Ledger>) {
    dawdle(cx);
    run.runs.up();
}

fn queue_from_interrupt(arg: usize) {
    let item: &Arc<Item> = at(arg);
    let done = wq::percpu().queue(item);
    item.queued.up_if(done == Submitted::Queued);
    item.calls.down();
}

fn cancel_from_interrupt(arg: usize) {
    let item: &Arc<Item> = at(arg);
    item.cancelled.up_if(item.cancel());
    item.calls.down();
}

fn queue_and_cancel(cx: &ThreadCx<'_>) {
    let item = Arc::new(Arc::new(Item::new(Ledger::default(), work)));
    let users = {
        let item = Arc::clone(&item);
        crowd(cpus() + 2, move |cx, _| {
            for _ in 0..12 {
                let f = match pick(4) {
                    0 => cancel_from_interrupt,
                    1 => {
                        item.cancelled.up_if(item.cancel());
                        continue;
                    }
                    _ => queue_from_interrupt,
                };
                item.calls.up();
                if call_on(some_core(), f, address(&item)).is_err() {
                    item.calls.down();
                }
                dawdle(cx);
            }
        })
    };
    join(cx, &users);
    until(cx, || item.calls.get() == 0);
    item.flush(cx).expect("no panic");
    assert_eq!(item.queued.get(), item.runs.get() + item.cancelled.get());
}

fn wake(cx: &ThreadCx<'_>) {
    #[derive(Default)]
    struct Bell {
        rung: Count,
        pending: Count,
        sleeper: std::sync::OnceLock<ThreadRef>,
    }
    fn ring(arg: usize) {
        let bell: &Bell = at(arg);
        bell.rung.up();
        if let Some(sleeper) = bell.sleeper.get() {
            sleeper.unpark();
        }
        bell.pending.down();
    }
    const RINGS: usize = 40;
    let bell = Arc::new(Bell::default());
    let sleeper = {
        let bell = Arc::clone(&bell);
        crowd(1, move |cx, _| {
            while bell.rung.get() < RINGS {
                park(cx);
                linger();
            }
        })
    };
    bell.sleeper
        .set(Arc::clone(&sleeper[0]))
        .expect("the first");
    let mut rung = 0;
    while rung < RINGS {
        bell.pending.up();
        if call_on(some_core(), ring, address(&bell)).is_ok() {
            rung += 1;
        } else {
            bell.pending.down();
        }
        dawdle(cx);
    }
    join(cx, &sleeper);
    until(cx, || bell.pending.get() == 0);
}
