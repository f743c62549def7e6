//! `wqmon`: what each queue did since the last time.

use alloc::vec::Vec;
use core::fmt::{self, Write};

use kernel::wq::QueueInfo;
use machine::Instant;

use super::super::text::Text;
use super::queues::queues;

/// What was at the last time.
#[derive(Debug)]
pub(super) struct Monitor {
    at: Instant,
    before: Vec<QueueInfo>,
}

impl Monitor {
    pub(super) fn new() -> Self {
        Self {
            at: machine::now(),
            before: queues(),
        }
    }

    /// Rates since the last time. Counters of a queue that is new count from its making.
    pub(super) fn show(&mut self, out: &mut Text) -> fmt::Result {
        let now = machine::now();
        let ms = now.since(self.at).as_millis().max(1);
        let all = queues();
        writeln!(
            out,
            "last {ms} ms; q ends\n{:<24} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "queue", "total", "infl", "start/s", "done/s", "CPU %", "CPU hog", "CM wake", "mayday"
        )?;
        for q in &all {
            // A new queue may have the place of an ended one, or its name, and hardly both.
            let same = |b: &&QueueInfo| b.event_id == q.event_id && b.name == q.name;
            let old = self.before.iter().find(same);
            let rate = |of: fn(&QueueInfo) -> u64| {
                let new = of(q).saturating_sub(old.map_or(0, of));
                new.saturating_mul(1_000) / ms
            };
            writeln!(
                out,
                "{:<24} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
                q.name,
                q.stats.started,
                q.active,
                rate(|q| q.stats.started),
                rate(|q| q.stats.completed),
                // Nanoseconds of a second are 10^7 to the per cent.
                rate(|q| q.cpu_time_ns) / 10_000_000,
                q.stats.cpu_intensive,
                q.stats.cm_wakeup,
                q.stats.mayday
            )?;
        }
        writeln!(out)?;
        (self.at, self.before) = (now, all);
        Ok(())
    }
}
