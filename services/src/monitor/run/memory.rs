//! `mem`: where the memory is.

use core::fmt::{self, Write};

use kernel::{kernel, mem, net, thread};

use super::super::text::Text;

pub(super) fn mem(out: &mut Text) -> fmt::Result {
    let m = mem::stats();
    for (what, bytes) in [
        ("total", m.total_bytes()),
        ("used", m.used_bytes()),
        ("image", kernel().info().image_bytes),
        ("heap, in use", m.heap_live_bytes),
        ("heap, cached by cores", m.heap_cached_bytes),
        ("heap, chunks", m.shared.chunk_bytes),
        ("stacks, cached", m.stack_cached_bytes),
        (
            "stacks, lost to panics",
            thread::quarantined_stack_bytes() as usize,
        ),
    ] {
        writeln!(out, "{what:<24} {:>10} KiB", bytes >> 10)?;
    }
    for (what, n) in [
        ("page allocations", m.pages.allocs),
        ("page frees", m.pages.frees),
        ("page failures", m.pages.failures),
        ("shared heap allocations", m.shared.allocs),
        ("shared heap frees", m.shared.frees),
    ] {
        writeln!(out, "{what:<24} {n:>10}")?;
    }
    let n = net::stats();
    writeln!(
        out,
        "{:<24} {:>10} of {}",
        "connections", n.connections, n.connection_limit
    )
}
