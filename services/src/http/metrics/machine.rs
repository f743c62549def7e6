//! The machine: cores, memory, network, requests.

use core::fmt;

use kernel::{cpu, irq, kernel, lockup, mem, net, softirq, thread, trace, wq};
use machine::CpuId;

use super::text::{Label, Page, Seconds};
use crate::http::live;
use crate::http::shared::{BOUNDS, Shared};

pub(super) fn system(p: &mut Page<'_>) -> fmt::Result {
    p.head("build_info", "gauge", "What runs; always 1.")?;
    let (version, board) = (env!("CARGO_PKG_VERSION"), Label(kernel().info().board));
    p.sample(
        "build_info",
        format_args!("version=\"{version}\",board=\"{board}\""),
        1,
    )?;
    let up = Seconds(machine::now().as_nanos());
    p.one("gauge", "uptime_seconds", "Time since boot.", up)?;
    let threads = thread::thread_count();
    p.one("gauge", "threads", "Threads that have not ended.", threads)?;
    let help = "Interrupts of devices that nobody had a handler for.";
    p.one(
        "counter",
        "spurious_interrupts_total",
        help,
        irq::spurious(),
    )?;
    let help = "Reports of work that stood still.";
    p.one("counter", "workqueue_stalls_total", help, wq::stall_count())?;
    let help = "Lockups of cores told by the watchdog.";
    p.one("counter", "cpu_lockups_total", help, lockup::lockup_count())?;
    let help = "Lockups of services told by the watchdog.";
    let services = lockup::service_lockup_count();
    p.one("counter", "service_lockups_total", help, services)
}

pub(super) fn cores(p: &mut Page<'_>) -> fmt::Result {
    let all = || (0..kernel().info().mpidrs.len()).map(CpuId::new);
    let online = cpu::online();
    p.head(
        "cpu_online",
        "gauge",
        "1 if the core takes part in scheduling.",
    )?;
    for c in all() {
        let on = u8::from(online.contains(c));
        p.sample("cpu_online", format_args!("cpu=\"{}\"", c.index()), on)?;
    }
    p.head("cpu_seconds_total", "counter", "Time of each core by mode.")?;
    for c in all() {
        let idle = Seconds(cpu::cpu(c).idle_ns());
        let labels = format_args!("cpu=\"{}\",mode=\"idle\"", c.index());
        p.sample("cpu_seconds_total", labels, idle)?;
    }
    let help = "Threads that run or want to.";
    p.head("procs_running", "gauge", help)?;
    for c in all() {
        let n = cpu::cpu(c).load();
        p.sample("procs_running", format_args!("cpu=\"{}\"", c.index()), n)?;
    }
    p.head("context_switches_total", "counter", "Context switches.")?;
    for c in all() {
        let labels = format_args!("cpu=\"{}\"", c.index());
        p.sample("context_switches_total", labels, cpu::cpu(c).switches())?;
    }
    p.head(
        "intr_total",
        "counter",
        "Interrupts taken, by where they came from.",
    )?;
    for c in all() {
        let n = irq::counters(c);
        for (kind, n) in [("ipi", n.ipi), ("timer", n.timer), ("device", n.device)] {
            let labels = format_args!("cpu=\"{}\",type=\"{kind}\"", c.index());
            p.sample("intr_total", labels, n)?;
        }
    }
    p.head("softirqs_total", "counter", "Softirqs run, by vector.")?;
    for c in all() {
        let runs = softirq::counters(c).0;
        for (n, &ran) in runs.iter().enumerate() {
            if live::is_used(n) || ran > 0 {
                let vector = softirq::Vector::name(n);
                let labels = format_args!("cpu=\"{}\",vector=\"{vector}\"", c.index());
                p.sample("softirqs_total", labels, ran)?;
            }
        }
    }
    let help = "Softirq entries that left work to ksoftirqd.";
    p.head("softirqs_deferred_total", "counter", help)?;
    for c in all() {
        let labels = format_args!("cpu=\"{}\"", c.index());
        p.sample("softirqs_deferred_total", labels, softirq::counters(c).1)?;
    }
    p.head("trace_events_total", "counter", "Events written.")?;
    for c in all() {
        let labels = format_args!("cpu=\"{}\"", c.index());
        p.sample("trace_events_total", labels, trace::written(c).0)?;
    }
    let help = "Events overwritten before a recording came to them.";
    p.head("trace_lost_total", "counter", help)?;
    for c in all() {
        let labels = format_args!("cpu=\"{}\"", c.index());
        p.sample("trace_lost_total", labels, trace::written(c).1)?;
    }
    Ok(())
}

pub(super) fn memory(p: &mut Page<'_>) -> fmt::Result {
    let m = mem::stats();
    for (name, help, value) in [
        (
            "memory_total_bytes",
            "Memory of the machine.",
            m.total_bytes(),
        ),
        ("memory_used_bytes", "Memory in use.", m.used_bytes()),
        (
            "memory_heap_live_bytes",
            "What the heap has handed out.",
            m.heap_live_bytes,
        ),
        (
            "memory_heap_cached_bytes",
            "What the cores keep for their next allocations.",
            m.heap_cached_bytes,
        ),
        (
            "memory_stack_cached_bytes",
            "Stacks kept for the next threads.",
            m.stack_cached_bytes,
        ),
    ] {
        p.one("gauge", name, help, value)?;
    }
    for (name, help, value) in [
        (
            "memory_page_allocs_total",
            "Allocations of pages.",
            m.pages.allocs,
        ),
        (
            "memory_page_frees_total",
            "Pages given back, in as many calls.",
            m.pages.frees,
        ),
        (
            "memory_page_failures_total",
            "Allocations of pages that failed.",
            m.pages.failures,
        ),
    ] {
        p.one("counter", name, help, value)?;
    }
    Ok(())
}

pub(super) fn network(p: &mut Page<'_>) -> fmt::Result {
    let n = net::stats();
    let s = &n.stack;
    for (name, help, value) in [
        (
            "tcp_connections",
            "Connections, handshakes included.",
            n.connections,
        ),
        (
            "tcp_connections_limit",
            "Most connections served at once.",
            n.connection_limit,
        ),
        ("tcp_time_wait", "Connections in TIME-WAIT.", n.time_waits),
    ] {
        p.one("gauge", name, help, value)?;
    }
    for (name, help, value) in [
        ("network_receive_bytes_total", "Bytes received.", s.rx_bytes),
        (
            "network_receive_packets_total",
            "Frames received.",
            s.rx_frames,
        ),
        (
            "network_receive_drop_total",
            "Frames received and dropped.",
            s.rx_dropped,
        ),
        ("network_transmit_bytes_total", "Bytes sent.", s.tx_bytes),
        (
            "network_transmit_packets_total",
            "Frames sent.",
            s.tx_frames,
        ),
        (
            "network_transmit_drop_total",
            "Frames not sent.",
            s.tx_dropped,
        ),
        (
            "network_interrupts_total",
            "Interrupts of the device.",
            n.interrupts,
        ),
        (
            "network_polls_total",
            "Polls of the device by its BH work item.",
            n.polls,
        ),
        (
            "network_polls_full_total",
            "Polls that used their whole budget.",
            n.full_polls,
        ),
        (
            "network_device_faults_total",
            "Buffers the device returned that it did not have.",
            n.device_faults,
        ),
        ("tcp_opened_total", "Connections begun.", s.tcp_opened),
        (
            "tcp_established_total",
            "Handshakes finished.",
            s.tcp_established,
        ),
        ("tcp_closed_total", "Connections forgotten.", s.tcp_closed),
        ("tcp_refused_total", "Connections refused.", s.tcp_refused),
        (
            "tcp_timed_out_total",
            "Connections ended by a time limit.",
            s.tcp_timed_out,
        ),
        (
            "tcp_turned_away_total",
            "Connections beyond the limit that were told so.",
            n.turned_away,
        ),
    ] {
        p.one("counter", name, help, value)?;
    }
    Ok(())
}

pub(super) fn http(p: &mut Page<'_>, shared: &Shared) -> fmt::Result {
    let f = shared.figures();
    let help = "Replies by class of status; also to what was no whole request.";
    p.head("http_requests_total", "counter", help)?;
    for (class, n) in (1..).zip(f.classes) {
        let labels = format_args!("code=\"{class}xx\"");
        p.sample("http_requests_total", labels, n)?;
    }
    let name = "http_request_duration_seconds";
    let help = "From when a worker has read a request's last byte to its reply in the connection's buffer, or to the begin of an event stream; without the wait for that worker.";
    p.head(name, "histogram", help)?;
    let mut seen = 0;
    let mut sums = f.durations;
    for n in &mut sums {
        seen += *n;
        *n = seen;
    }
    let up_to = BOUNDS.into_iter().zip(sums);
    p.histogram((name, format_args!("")), up_to, (seen, f.sum_ns))?;
    p.one(
        "gauge",
        "http_event_streams",
        "Event streams open.",
        f.streams,
    )?;
    let help = "Snapshots left out because a client did not keep up.";
    p.one("counter", "http_events_skipped_total", help, f.skipped)?;
    let help = "Work items of demonstrations on their way.";
    p.one("gauge", "demo_items", help, shared.demos.live())?;
    let help = "Work items of demonstrations that have ended.";
    p.one(
        "counter",
        "demo_items_ended_total",
        help,
        shared.demos.ended(),
    )
}
