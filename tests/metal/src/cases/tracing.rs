//! 96: what goes into the trace rings is what was asked for: nothing, or one request's way.

use alloc::vec::Vec;

use kernel::cpu::online;
use kernel::thread::{ThreadCx, sleep};
use kernel::trace::{self, Categories, Event, Kind, Reader};
use kernel::wq;
use machine::{CpuId, Duration};

use super::service_within::wait_for;
use super::work_kit::{here, on_core};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "96_trace_off_records_nothing",
    trace_off_records_nothing,
    Needs::new().bootargs("trace=off")
);
ktest!(
    "96_trace_of_requests",
    trace_of_requests,
    Needs::new().net().bootargs("trace=nonsense").timeout(60)
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
