//! The JSON documents under `/api/v1`: what the machine is doing, as it is.
//!
//! Names are snake_case with the unit in them. Only what is measured appears.

use alloc::vec::Vec;

use kernel::thread::{self, State, ThreadInfo};
use kernel::{kernel, mem, net as network};

use super::json::Json;
use super::{Settings, live, workqueues};

/// `/api/v1/system`
pub(super) fn system(j: &mut Json<'_>, settings: &Settings) {
    let info = kernel().info();
    let memory = mem::stats();
    j.object("", |j| {
        j.string("version", env!("CARGO_PKG_VERSION"));
        j.string("board", info.board);
        j.number("uptime_ns", machine::now().as_nanos());
        j.number("mem_total_bytes", memory.total_bytes() as u64);
        j.number("mem_used_bytes", memory.used_bytes() as u64);
        j.number("threads", thread::thread_count() as u64);
        j.object("http", |j| {
            j.number("head_ms", settings.limits.head.as_millis());
            j.number("body_ms", settings.limits.body.as_millis());
            j.number("idle_ms", settings.limits.idle.as_millis());
        });
        live::cores(j);
        workqueues::pools(j, "pools", None);
        workqueues::queues(j, "queues");
    });
}

/// `/api/v1/threads`
pub(super) fn threads(j: &mut Json<'_>) {
    // Copied first: the list is walked under its lock, and a page of text takes long to write.
    let mut list: Vec<ThreadInfo> = Vec::new();
    if list.try_reserve_exact(thread::thread_count() + 16).is_err() {
        return j.give_up();
    }
    thread::for_each_thread(|t| {
        if list.len() < list.capacity() {
            list.push(t);
        }
    });
    j.array("", |j| {
        for t in &list {
            j.object("", |j| {
                j.number("id", u64::from(t.id));
                j.string("name", &t.name);
                j.string(
                    "state",
                    match t.state {
                        State::Running => "running",
                        State::Sleeping => "sleeping",
                        State::Dead => "dead",
                    },
                );
                j.number("cpu", t.cpu.index() as u64);
                j.number("cpu_time_ns", t.cpu_ns);
                j.number("stack_bytes", t.stack_bytes as u64);
                match t.stack_mark {
                    Some(bytes) => j.number("stack_mark", bytes as u64),
                    None => j.null("stack_mark"),
                }
            });
        }
    });
}

/// `/api/v1/net`
pub(super) fn net(j: &mut Json<'_>) {
    let n = network::stats();
    let s = &n.stack;
    j.object("", |j| {
        let [a, b, c, d, e, f] = n.mac;
        j.display(
            "mac",
            format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
        );
        match n.address {
            Some((address, prefix)) => j.display("address", format_args!("{address}/{prefix}")),
            None => j.null("address"),
        }
        for (name, value) in [
            ("connections", n.connections as u64),
            ("connection_limit", n.connection_limit as u64),
            ("turned_away", n.turned_away),
            ("handshakes", n.handshakes as u64),
            ("time_waits", n.time_waits as u64),
            ("interrupts", n.interrupts),
            ("polls", n.polls),
            ("full_polls", n.full_polls),
            ("device_faults", n.device_faults),
            ("rx_frames", s.rx_frames),
            ("rx_bytes", s.rx_bytes),
            ("rx_dropped", s.rx_dropped),
            ("tx_frames", s.tx_frames),
            ("tx_bytes", s.tx_bytes),
            ("tx_dropped", s.tx_dropped),
            ("udp_echoes", s.udp_echoes),
            ("tcp_opened", s.tcp_opened),
            ("tcp_established", s.tcp_established),
            ("tcp_closed", s.tcp_closed),
            ("tcp_refused", s.tcp_refused),
            ("tcp_no_memory", s.tcp_no_memory),
            ("tcp_syn_dropped", s.tcp_syn_dropped),
            ("tcp_syn_expired", s.tcp_syn_expired),
            ("tcp_timed_out", s.tcp_timed_out),
            ("tcp_stray", s.tcp_stray),
            ("time_wait_entered", s.time_wait_entered),
            ("time_wait_reacked", s.time_wait_reacked),
            ("time_wait_reused", s.time_wait_reused),
        ] {
            j.number(name, value);
        }
    });
}

/// `/api/v1/memory`
pub(super) fn memory(j: &mut Json<'_>) {
    let m = mem::stats();
    j.object("", |j| {
        for (name, value) in [
            ("mem_total_bytes", m.total_bytes() as u64),
            ("mem_used_bytes", m.used_bytes() as u64),
            ("image_bytes", kernel().info().image_bytes as u64),
            ("page_table_bytes", kernel().info().table_bytes as u64),
            ("page_bitmap_bytes", (m.pages.own * mem::PAGE) as u64),
            ("page_allocs", m.pages.allocs),
            ("page_frees", m.pages.frees),
            ("page_failures", m.pages.failures),
            ("heap_live_bytes", m.heap_live_bytes as u64),
            ("heap_page_bytes", m.heap_page_bytes as u64),
            ("heap_cached_bytes", m.heap_cached_bytes as u64),
            ("heap_chunk_bytes", m.shared.chunk_bytes as u64),
            ("heap_shared_allocs", m.shared.allocs),
            ("heap_shared_frees", m.shared.frees),
            ("stack_bytes", m.stack_bytes as u64),
            ("stack_cached_bytes", m.stack_cached_bytes as u64),
            ("stack_quarantined_bytes", thread::quarantined_stack_bytes()),
        ] {
            j.number(name, value);
        }
        j.array("core_stacks", |j| {
            mem::for_each_core_stack(|s| {
                j.object("", |j| {
                    j.string("what", s.what);
                    j.number("cpu", s.cpu.index() as u64);
                    j.number("stack_bytes", s.bytes as u64);
                    j.number("stack_mark", s.mark as u64);
                });
            });
        });
    });
}
