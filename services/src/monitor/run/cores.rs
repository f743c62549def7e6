//! `cpu`, `irq`, `locks` and `uptime`: the cores, and what interrupts them and holds them up.

use core::fmt::{self, Write};

use kernel::thread::ThreadCx;
use kernel::{cpu, hotplug, irq, kernel, lockup, softirq, waits, wq};
use machine::CpuId;

use super::super::text::Text;

fn each() -> impl Iterator<Item = CpuId> + Clone {
    (0..kernel().cpus().len()).map(CpuId::new)
}

pub(super) fn list(out: &mut Text) -> fmt::Result {
    let online = cpu::online();
    writeln!(out, "core state   runnable   switches    idle ms  running")?;
    for id in each() {
        let c = cpu::cpu(id);
        if !online.contains(id) {
            writeln!(out, "{:4} offline", id.index())?;
            continue;
        }
        writeln!(
            out,
            "{:4} online  {:8} {:10} {:10}  {}",
            id.index(),
            c.load(),
            c.switches(),
            c.idle_ns() / 1_000_000,
            c.current_name()
        )?;
    }
    Ok(())
}

pub(super) fn switch(cx: &ThreadCx<'_>, core: usize, on: bool, out: &mut Text) -> fmt::Result {
    let all = kernel().cpus().len();
    if core >= all {
        return writeln!(
            out,
            "error: there is no core {core}; there are 0 to {}",
            all - 1
        );
    }
    let id = CpuId::new(core);
    let done = if on {
        hotplug::online(cx, id)
    } else {
        hotplug::offline(cx, id)
    };
    match done {
        Ok(()) => writeln!(
            out,
            "core {core} is {}",
            if on { "online" } else { "offline" }
        ),
        Err(e) => writeln!(out, "error: core {core}: {e}"),
    }
}

pub(super) fn irq(out: &mut Text) -> fmt::Result {
    write!(out, "{:14}", "interrupt")?;
    for id in each() {
        let name = heapless::format!(8; "cpu{id}").unwrap_or_default();
        write!(out, " {name:>10}")?;
    }
    writeln!(out)?;
    row(out, "ipi", |id| irq::counters(id).ipi)?;
    row(out, "timer", |id| irq::counters(id).timer)?;
    // Registered once, in the same order on every core.
    for (n, (int, _)) in irq::device_counters(CpuId::BOOT).iter().enumerate() {
        let name = heapless::format!(16; "device {}", int.0).unwrap_or_default();
        row(out, &name, |id| {
            irq::device_counters(id).get(n).map_or(0, |d| d.1)
        })?;
    }
    writeln!(out, "without handler: {}", irq::spurious())?;
    writeln!(out, "softirq")?;
    for (name, vector) in [
        ("HI", softirq::Vector::Hi),
        ("TIMER", softirq::Vector::Timer),
        ("NET_TX", softirq::Vector::NetTx),
        ("NET_RX", softirq::Vector::NetRx),
        ("TASKLET", softirq::Vector::Tasklet),
    ] {
        row(out, name, |id| softirq::counters(id).0[vector as usize])?;
    }
    row(out, "to ksoftirqd", |id| softirq::counters(id).1)
}

fn row(out: &mut Text, name: &str, count: impl Fn(CpuId) -> u64) -> fmt::Result {
    write!(out, "{name:14}")?;
    for id in each() {
        write!(out, " {:>10}", count(id))?;
    }
    writeln!(out)
}

/// Names that are told apart.
const NAMES: usize = 64;

pub(super) fn locks(out: &mut Text) -> fmt::Result {
    let mut all = heapless::Vec::<(&str, u64), NAMES>::new();
    for id in each() {
        cpu::cpu(id).for_each_contention(|name, n| {
            let name = name.unwrap_or("(others)");
            match all.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += n,
                // As many as there are in the image.
                None => drop(all.push((name, n))),
            }
        });
    }
    all.sort_unstable_by_key(|&(_, n)| core::cmp::Reverse(n));
    writeln!(out, "{:<24} {:>12}", "spin lock", "waited for")?;
    for (name, n) in &all {
        writeln!(out, "{name:<24} {n:>12}")?;
    }
    if all.is_empty() {
        writeln!(out, "no lock was waited for")?;
    }
    writeln!(
        out,
        "waits refused as deadlocks: {}",
        waits::deadlock_count()
    )
}

pub(super) fn uptime(out: &mut Text) -> fmt::Result {
    let now = machine::now().as_nanos().max(1);
    let (mut runnable, mut idle) = (0, 0);
    let online = cpu::online();
    for id in online.iter() {
        runnable += cpu::cpu(id).load();
        idle += cpu::cpu(id).idle_ns();
    }
    let cores = online.count() as u64;
    let busy = 100 - (idle / cores.max(1)).saturating_mul(100) / now;
    writeln!(
        out,
        "up {}.{:03} s on {cores} cores, busy {busy} % since boot, {runnable} threads runnable; {} stalls, {} core lockups, {} service lockups told",
        now / 1_000_000_000,
        now / 1_000_000 % 1_000,
        wq::stall_count(),
        lockup::lockup_count(),
        lockup::service_lockup_count()
    )
}
