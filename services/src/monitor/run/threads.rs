//! `ps` and `bt`: threads, and where they are.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use kernel::kernel;
use kernel::lockup::glimpse_of;
use kernel::thread::{self, State, ThreadCx, ThreadInfo, ThreadRef};
use kernel::waits::SleepsIn;
use machine::{CpuId, Duration, MAX_CPUS};

use super::super::command::Target;
use super::super::text::Text;

/// How long a core may take to say what it does.
const PATIENCE: Duration = Duration::from_millis(200);
/// Most frames of a thread that sleeps.
const FRAMES: usize = 32;

/// All threads; `None` without memory for the list.
pub(super) fn list() -> Option<Vec<ThreadInfo>> {
    let mut list = Vec::new();
    list.try_reserve_exact(thread::thread_count() + 16).ok()?;
    thread::for_each_thread(|t| {
        if list.len() < list.capacity() {
            list.push(t);
        }
    });
    Some(list)
}

/// Numbers of the threads that have a core; 0 for an idle thread.
fn running() -> heapless::Vec<u32, MAX_CPUS> {
    let cpus = kernel().cpus().iter();
    cpus.map(|c| c.current_id()).collect()
}

/// Whether `t` has its core, if those are the threads that have one.
fn runs(t: &ThreadInfo, running: &[u32]) -> bool {
    let on = running.get(t.cpu.index()).copied();
    running.contains(&t.id) || (on == Some(0) && t.name.starts_with("idle/"))
}

pub(super) fn ps(out: &mut Text) -> fmt::Result {
    let Some(list) = list() else {
        return super::no_memory(out);
    };
    let running = running();
    writeln!(
        out,
        "   id core state    nice lent        vruntime     lag us       cpu ms  name: waits for"
    )?;
    for t in &list {
        let state = match t.state {
            State::Running if runs(t, &running) => "running",
            State::Running => "ready",
            State::Sleeping => "sleeping",
            State::Dead => "dead",
        };
        write!(
            out,
            "{:5} {:4} {state:8} {:4} ",
            t.id,
            t.cpu.index(),
            t.nice.get()
        )?;
        match t.effective_nice {
            lent if lent == t.nice => write!(out, "   - ")?,
            lent => write!(out, "{:4} ", lent.get())?,
        }
        write!(
            out,
            "{:15} {:10} {:8}.{:03}  {}",
            // It begins shortly before it wraps: as a signed number it can be read.
            t.vruntime as i64,
            t.lag_ns / 1_000,
            t.cpu_ns / 1_000_000,
            t.cpu_ns / 1_000 % 1_000,
            t.name
        )?;
        match t.state {
            State::Sleeping if t.is_worker && t.sleeps_in == SleepsIn::Nothing => {
                writeln!(out, ": worker, idle")?;
            }
            State::Sleeping if t.is_worker => writeln!(out, ": worker, {}", t.sleeps_in)?,
            State::Sleeping => writeln!(out, ": {}", t.sleeps_in)?,
            _ => writeln!(out)?,
        }
    }
    Ok(())
}

pub(super) fn bt(cx: &ThreadCx<'_>, target: Target, out: &mut Text) -> fmt::Result {
    match target {
        Target::Core(n) if n >= kernel().cpus().len() => writeln!(
            out,
            "error: there is no core {n}; there are cpu0 to cpu{}",
            kernel().cpus().len() - 1
        ),
        Target::Core(n) => core(cx, CpuId::new(n), out),
        Target::Thread(id) => match thread::find(id) {
            Some(t) => of_thread(cx, &t, out),
            None => writeln!(out, "error: there is no thread {id}; ps lists them"),
        },
    }
}

fn core(cx: &ThreadCx<'_>, id: CpuId, out: &mut Text) -> fmt::Result {
    if !kernel::cpu::online().contains(id) {
        return writeln!(out, "core {id} is offline");
    }
    let Some(seen) = glimpse_of(cx, id, PATIENCE) else {
        return writeln!(
            out,
            "core {id} does not answer: it stands with interrupts masked, or is dead"
        );
    };
    writeln!(out, "core {id} is {seen}")?;
    frames(&seen.frames, out)
}

fn of_thread(cx: &ThreadCx<'_>, t: &ThreadRef, out: &mut Text) -> fmt::Result {
    write!(out, "thread {} \"{}\"", t.id(), t.name())?;
    if t.state() == State::Sleeping {
        let chain = thread::waits_for(t);
        let mut all = [0; FRAMES];
        let n = t.backtrace(&mut all);
        writeln!(out, " sleeps: {chain}")?;
        return frames(&all[..n], out);
    }
    match glimpse_of(cx, t.cpu(), PATIENCE) {
        None => writeln!(
            out,
            " is on core {}, which does not answer: it stands with interrupts masked, or is dead",
            t.cpu()
        ),
        Some(seen) if seen.thread == t.id() => {
            writeln!(out, " runs on core {}", seen.core)?;
            frames(&seen.frames, out)
        }
        // Its registers are on its stack since it was preempted.
        Some(_) => {
            writeln!(out, " waits for core {}; it was at", t.cpu())?;
            let mut all = [0; FRAMES];
            let n = t.backtrace(&mut all);
            frames(&all[..n], out)
        }
    }
}

fn frames(frames: &[usize], out: &mut Text) -> fmt::Result {
    for (n, &pc) in frames.iter().enumerate() {
        // A return address names the instruction after the call.
        let at = pc.saturating_sub(1);
        write!(out, "  #{n:<2} {at:#018x}")?;
        match (kernel().info().symbolize)(at) {
            Some((name, offset)) => writeln!(out, " {name}+{offset:#x}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}
