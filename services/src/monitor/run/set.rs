//! `set`: parameters of the workqueues, attributes of exported queues, nice value and cores of a thread.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use kernel::cpu::online;
use kernel::thread::{self, Nice, ThreadCx};
use kernel::wq;
use machine::CpuMask;

use super::super::text::Text;
use super::queues::queues;

/// Longest key that completion knows.
const KEY: usize = 64;
/// Attributes of an exported queue.
const ATTRIBUTES: [&str; 5] = [
    "max_active",
    "nice",
    "cpumask",
    "affinity_scope",
    "affinity_strict",
];

/// What may be set, as far as it has fixed names; what finds no memory is left out.
pub(in crate::monitor) fn keys() -> Vec<heapless::String<KEY>> {
    let mut keys = Vec::new();
    let mut add = |key: fmt::Arguments<'_>| {
        let mut text = heapless::String::new();
        if text.write_fmt(key).is_ok() && keys.try_reserve(1).is_ok() {
            keys.push(text);
        }
    };
    for p in wq::params() {
        add(format_args!("{}", p.name));
    }
    for q in queues().iter().filter(|q| q.exported) {
        for name in ATTRIBUTES {
            add(format_args!("{}.{name}", q.name));
        }
    }
    keys
}

pub(super) fn set(cx: &ThreadCx<'_>, change: Option<(&str, &str)>, out: &mut Text) -> fmt::Result {
    let Some((key, value)) = change else {
        return list(out);
    };
    let Some((of, name)) = key.rsplit_once('.') else {
        return match wq::set_param(cx, key, value) {
            Ok(()) => writeln!(out, "{key}={value}"),
            Err(e) => writeln!(
                out,
                "error: {key}: {e}; set without arguments lists what there is"
            ),
        };
    };
    if let Ok(id) = of.parse() {
        return of_thread(id, name, value, out);
    }
    match wq::set_attribute(cx, of, name, value) {
        Ok(()) => writeln!(out, "{key}={value}"),
        Err(e) => writeln!(
            out,
            "error: {key}: {e}; set without arguments lists what there is"
        ),
    }
}

fn of_thread(id: u32, name: &str, value: &str, out: &mut Text) -> fmt::Result {
    let Some(t) = thread::find(id) else {
        return writeln!(out, "error: there is no thread {id}; ps lists them");
    };
    match name {
        "nice" => match value.parse().ok().and_then(Nice::new) {
            Some(nice) => t.set_nice(nice),
            None => return writeln!(out, "error: \"{value}\": expected -20 to 19"),
        },
        "cpumask" if t.has_fixed_cores() => {
            return writeln!(
                out,
                "error: thread {id} \"{}\" belongs to its core or pool; set its queue's cpumask",
                t.name()
            );
        }
        "cpumask" => match value.parse::<CpuMask>() {
            Ok(mask) if !mask.and(online()).is_empty() => t.set_affinity(mask),
            Ok(_) => return writeln!(out, "error: \"{value}\": none of these cores is online"),
            Err(_) => {
                return writeln!(out, "error: \"{value}\": expected cores such as 0-3,6");
            }
        },
        _ => return writeln!(out, "error: a thread has nice and cpumask, and no {name}"),
    }
    writeln!(out, "{id}.{name}={value}")
}

fn list(out: &mut Text) -> fmt::Result {
    for p in wq::params() {
        writeln!(out, "{:<32} {p:<16} takes {}", p.name, p.expects)?;
    }
    for q in queues().iter().filter(|q| q.exported) {
        write!(out, "{}: max_active {}", q.name, q.max_active)?;
        if let Some(a) = q.attrs {
            write!(
                out,
                ", nice {}, cpumask {}, affinity_scope {}, affinity_strict {}",
                a.nice,
                a.cpus.and(kernel::kernel().present()),
                a.scope.name(),
                u8::from(a.strict)
            )?;
        }
        writeln!(out)?;
    }
    writeln!(out, "and THREAD.nice, THREAD.cpumask")
}
