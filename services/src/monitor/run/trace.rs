//! `trace`: which events are written, and the last ones of all cores in the order of their time.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use kernel::kernel;
use kernel::trace::{self, Categories, Event, Line};
use machine::CpuId;

use super::super::command::Tracing;
use super::super::text::Text;

pub(super) fn trace(what: Tracing, out: &mut Text) -> fmt::Result {
    match what {
        Tracing::Show => show(out),
        Tracing::Want(set) => {
            trace::want(set);
            show(out)
        }
        Tracing::Dump(n) => dump(n, out),
    }
}

fn show(out: &mut Text) -> fmt::Result {
    let on = trace::wanted();
    write!(out, "on:")?;
    for name in on.names() {
        write!(out, " {name}")?;
    }
    if on == Categories::NONE {
        write!(out, " nothing")?;
    }
    write!(out, "\noff:")?;
    for name in Categories::ALL.names() {
        if on.names().all(|n| n != name) {
            write!(out, " {name}")?;
        }
    }
    writeln!(out)
}

fn dump(n: u32, out: &mut Text) -> fmt::Result {
    let cores = kernel().cpus().len();
    let mut events: Vec<(CpuId, Event)> = Vec::new();
    if events.try_reserve_exact(cores * n as usize).is_err() {
        return super::no_memory(out);
    }
    for id in (0..cores).map(CpuId::new) {
        let mut reader = trace::last(id, u64::from(n));
        // A core that goes on writing is not followed.
        for _ in 0..n {
            let Some(event) = trace::read(id, &mut reader) else {
                break;
            };
            events.push((id, event));
        }
    }
    events.sort_by_key(|(_, e)| e.stamp);
    for (id, event) in &events {
        writeln!(out, "cpu{:<3} {}", id.index(), Line(event))?;
    }
    writeln!(out, "{} events", events.len())
}
