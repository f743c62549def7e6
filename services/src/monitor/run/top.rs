//! `top`: which threads had the cores since the last time.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use kernel::{kernel, mem};
use machine::{Instant, MAX_CPUS};

use super::super::text::Text;
use super::threads;

/// Threads that are shown.
const SHOWN: usize = 16;

/// What was at the last time.
#[derive(Debug)]
pub(super) struct Top {
    at: Instant,
    idle: heapless::Vec<u64, MAX_CPUS>,
    /// Number and CPU time, by number.
    cpu_ns: Vec<(u32, u64)>,
}

/// Tenths of a per cent.
fn tenths(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 1000 / u128::from(whole.max(1))).min(1000) as u64
}

impl Top {
    pub(super) const fn new() -> Self {
        Self {
            at: Instant::ZERO,
            idle: heapless::Vec::new(),
            cpu_ns: Vec::new(),
        }
    }

    /// The first time shows the shares since boot.
    pub(super) fn show(&mut self, out: &mut Text) -> fmt::Result {
        let Some(mut list) = threads::list() else {
            return super::no_memory(out);
        };
        let now = machine::now();
        let passed = now.since(self.at).as_nanos();
        let idle: heapless::Vec<u64, MAX_CPUS> =
            kernel().cpus().iter().map(|c| c.idle_ns()).collect();
        let memory = mem::stats();
        out.write_str("\x1b[H\x1b[2J")?;
        writeln!(
            out,
            "up {} s, {} threads, {} of {} KiB in use; q ends",
            now.as_nanos() / 1_000_000_000,
            list.len(),
            memory.used_bytes() >> 10,
            memory.total_bytes() >> 10
        )?;
        for (n, &all) in idle.iter().enumerate() {
            let before = self.idle.get(n).copied().unwrap_or(0);
            let rest = tenths(all.saturating_sub(before), passed);
            let busy = 1000 - rest;
            let bar = busy as usize / 50;
            writeln!(
                out,
                "cpu{n:<3} {:3}.{}% {:#<bar$}{:20}",
                busy / 10,
                busy % 10,
                "",
                "",
            )?;
        }
        let before = |id: u32| {
            let at = self.cpu_ns.binary_search_by_key(&id, |x| x.0);
            at.map_or(0, |at| self.cpu_ns[at].1)
        };
        let used = |t: &kernel::thread::ThreadInfo| t.cpu_ns.saturating_sub(before(t.id));
        list.sort_unstable_by_key(|t| core::cmp::Reverse(used(t)));
        writeln!(out, "   id core nice   share       cpu ms  name")?;
        for t in list.iter().take(SHOWN) {
            let share = tenths(used(t), passed);
            writeln!(
                out,
                "{:5} {:4} {:4} {:4}.{}% {:8}.{:03}  {}",
                t.id,
                t.cpu.index(),
                t.effective_nice.get(),
                share / 10,
                share % 10,
                t.cpu_ns / 1_000_000,
                t.cpu_ns / 1_000 % 1_000,
                t.name
            )?;
        }
        self.remember(now, idle, &list);
        Ok(())
    }

    fn remember(
        &mut self,
        now: Instant,
        idle: heapless::Vec<u64, MAX_CPUS>,
        list: &[kernel::thread::ThreadInfo],
    ) {
        (self.at, self.idle) = (now, idle);
        self.cpu_ns.clear();
        // Without memory the next picture shows shares since boot.
        if self.cpu_ns.try_reserve(list.len()).is_ok() {
            self.cpu_ns.extend(list.iter().map(|t| (t.id, t.cpu_ns)));
            self.cpu_ns.sort_unstable();
        } else {
            self.at = Instant::ZERO;
        }
    }
}
