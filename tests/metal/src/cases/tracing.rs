//! 96: what goes into the trace rings is what was asked for: nothing, or one request's way.

use alloc::sync::Arc;
use alloc::vec::Vec;

use kernel::cpu::online;
use kernel::thread::{self, ThreadCx, sleep};
use kernel::trace::{self, Busy, Categories, Event, Kind, Name, Reader, Recorded, Recording};
use kernel::wq::{self, Run, Work};
use machine::{CpuId, CpuMask, Duration};

use super::service_within::wait_for;
use super::work_kit::{here, on_core};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "96_trace_off_records_nothing",
    trace_off_records_nothing,
    Needs::new().seen().bootargs("trace=off")
);
ktest!(
    "96_trace_of_requests",
    trace_of_requests,
    Needs::new().net().bootargs("trace=nonsense").timeout(60)
);

ktest!(
    "96_trace_recording_is_in_order",
    recording_is_in_order,
    Needs::new().cpus(2).seen()
);
ktest!(
    "96_trace_recording_counts_what_is_lost",
    recording_counts_what_is_lost,
    Needs::new().seen()
);

/// A reader of each core's events from now on.
fn readers() -> Vec<(CpuId, Reader)> {
    let cores = online().iter();
    cores.map(|id| (id, trace::last(id, 0))).collect()
}

fn read_all(readers: &mut [(CpuId, Reader)]) -> Vec<Event> {
    let mut events = Vec::new();
    for (id, reader) in readers {
        events.extend(core::iter::from_fn(|| trace::read(*id, reader)));
    }
    events
}

/// Switches, wake-ups, items, timers.
fn live(cx: &ThreadCx<'_>) {
    let thread = on_core(here(), |cx| sleep(cx, Duration::from_millis(1)));
    thread.join(cx);
    wq::percpu().flush(cx).expect("not one of its items");
}

fn trace_off_records_nothing(cx: &ThreadCx<'_>) {
    services::boot::apply(&services::boot_args());
    assert_eq!(trace::wanted(), Categories::NONE);
    let mut all = readers();
    live(cx);
    assert_eq!(read_all(&mut all), []);
    trace::want(Categories::SCHED | Categories::TIMER);
    live(cx);
    trace::want(Categories::DEFAULT);
    let events = read_all(&mut all);
    for kind in [Kind::SchedSwitch, Kind::SchedWakeupNew, Kind::TimerStart] {
        assert!(events.iter().any(|e| e.kind == kind), "no {kind:?}");
    }
    assert!(events.iter().all(|e| e.kind.category() != Categories::IRQ));
}

/// What both cores do is told in order of time, each event with the thread that ran there; new threads come with their
/// names, items with their functions.
fn recording_is_in_order(cx: &ThreadCx<'_>) {
    let mut recording = Recording::begin().expect("nobody else records");
    let threads: Vec<_> = online()
        .iter()
        .map(|id| {
            on_core(id, |cx| {
                for _ in 0..20 {
                    sleep(cx, Duration::from_micros(100));
                }
            })
        })
        .collect();
    let ids: Vec<u32> = threads.iter().map(|t| t.id()).collect();
    let names: Vec<_> = threads
        .iter()
        .map(|t| t.name().get(..16).unwrap_or(t.name()))
        .collect();
    let item = Arc::new(<Work<_>>::new((), an_item));
    assert!(matches!(wq::percpu().queue(&item), wq::Submitted::Queued));
    item.flush(cx).expect("not one of its runs");
    for t in &threads {
        t.join(cx);
    }
    let until = machine::stamp();
    let events: Vec<Recorded> = core::iter::from_fn(|| recording.next(until)).collect();
    // An idle core may just be writing an event that it stamped before.
    let theirs = events
        .iter()
        .filter(|r| r.thread.is_some_and(|t| ids.contains(&t)));
    assert!(theirs.clone().count() >= 40, "each slept twenty times");
    assert!(theirs.is_sorted_by_key(|r| r.at), "in order of time");
    assert!(events.iter().all(|r| r.lost == 0), "a short story");
    for cpu in online().iter() {
        let mut running = None;
        for r in events.iter().filter(|r| r.cpu == cpu) {
            let thread = r.thread.expect("sched is traced");
            assert_eq!(*running.get_or_insert(thread), thread, "{r:?}");
            if r.event.kind == Kind::SchedSwitch {
                assert_eq!(r.event.a, u64::from(thread), "{r:?}");
                running = Some(r.event.head.arg);
            }
        }
        assert!(running.is_some(), "nothing of {cpu:?}");
    }
    for (id, name) in ids.iter().zip(&names) {
        let new = |r: &&Recorded| r.event.kind == Kind::TaskNewtask && r.event.head.arg == *id;
        let e = events.iter().find(new).expect("each thread was new").event;
        assert_eq!(Name::unpack(e.a, e.b).as_str(), *name);
        assert_eq!(e.head.small, 120);
    }
    let mut functions = events.iter().filter_map(|r| trace::function_of(&r.event));
    let wanted = an_item as fn(&ThreadCx<'_>, &Run<'_, ()>);
    let wanted = (wanted as *const ()).addr() as u64;
    assert!(functions.any(|f| f == wanted), "the item's function");
}

fn an_item(_: &ThreadCx<'_>, _: &Run<'_, ()>) {}

/// A recording that nobody reads misses what was overwritten, says how much, and goes on; and there are only so
/// many at a time.
fn recording_counts_what_is_lost(cx: &ThreadCx<'_>) {
    let (cpu, me) = (CpuId::BOOT, thread::current());
    let anywhere = me.affinity();
    me.set_affinity(CpuMask::single(cpu));
    let mut recording = Recording::begin().expect("nobody else records");
    let (first, lost) = trace::written(cpu);
    while trace::written(cpu).0 < first + 2 * trace::EVENTS as u64 {
        live(cx);
    }
    assert!(recording.pressure() >= 200, "two rings full");
    let until = machine::stamp();
    let written = trace::written(cpu).0 - first;
    let told: Vec<Recorded> = core::iter::from_fn(|| recording.next(until)).collect();
    let ours = told.iter().filter(|r| r.cpu == cpu);
    let missing: u64 = ours.clone().map(|r| r.lost).sum();
    let first_lost = ours.clone().next().map(|r| r.lost);
    assert!(
        missing > 0 && first_lost == Some(missing),
        "all before the first"
    );
    let sum = missing + ours.count() as u64;
    assert!((written..written + 64).contains(&sum), "{sum} of {written}");
    assert_eq!(trace::written(cpu).1, lost + missing);
    let others: Vec<Recording> = (0..3)
        .map(|_| Recording::begin().expect("a place"))
        .collect();
    assert!(matches!(Recording::begin(), Err(Busy::TooMany)));
    drop(others);
    drop(recording);
    Recording::begin().expect("places are given back");
    me.set_affinity(anywhere);
}

/// The host reads the warning, and asks for two things, one of which is not there.
fn trace_of_requests(cx: &ThreadCx<'_>) {
    let running = services::start(cx, &services::boot_args()).expect("memory for the services");
    trace::want(Categories::NET | Categories::HTTP);
    let mut all = readers();
    kernel::println!("SERVING");
    // A datagram says that it has its answers.
    wait_for(cx, "two requests", || {
        kernel::net::stats().stack.udp_echoes > 0
    });
    let events = read_all(&mut all);
    trace::want(Categories::DEFAULT);
    running.http.stop(cx).expect("called from outside");
    running.echo.stop(cx).expect("called from outside");
    let of = |kind: Kind| events.iter().filter(move |e| e.kind == kind);
    let mut statuses: Vec<(u32, u64)> = of(Kind::HttpRequestEnd)
        .map(|e| (e.head.arg, e.a))
        .collect();
    statuses.sort_unstable();
    let [(200, hello), (404, missing)] = statuses[..] else {
        panic!("replies: {statuses:?}");
    };
    assert_eq!(hello, missing, "one connection");
    assert_eq!(
        of(Kind::HttpRequestStart).filter(|e| e.a == hello).count(),
        2
    );
    // The handshake, two requests; each frame with its headers.
    for kind in [Kind::NetRx, Kind::NetTx] {
        let frames: Vec<u32> = of(kind).map(|e| e.head.arg).collect();
        assert!(frames.len() >= 3, "{kind:?}: {frames:?}");
        assert!(frames.iter().all(|n| (14..=1514).contains(n)), "{frames:?}");
    }
    let wanted = Categories::NET | Categories::HTTP;
    assert!(events.iter().all(|e| wanted.meets(e.kind.category())));
}
