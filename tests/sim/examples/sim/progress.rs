//! How far a campaign is: a bar on a terminal, now and then a line elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use sim::Totals;

/// Between two lines where there is no terminal.
const BEAT: Duration = Duration::from_secs(10);
const WIDTH: usize = 24;

/// Draws on standard error.
pub(crate) struct Progress {
    terminal: bool,
    began: Instant,
    last_line: Instant,
    /// Failures already named.
    named: usize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            terminal: std::io::stderr().is_terminal(),
            began: now,
            last_line: now,
            named: 0,
        }
    }

    /// Shows the state after `part` of the whole (0 to 1).
    pub(crate) fn show(&mut self, part: f64, totals: &Totals) {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let text = format!(
            "{:>3.0} %  {} seeds, {:.0} seeds/s, {:.2} M points with a choice, {} faults, {} failures",
            part.min(1.0) * 100.0,
            totals.worlds,
            totals.worlds as f64 / seconds,
            totals.choices as f64 / 1e6,
            totals.injected.total(),
            totals.failures.len()
        );
        let mut out = std::io::stderr().lock();
        // At once, in a line of its own: a long run may be stopped before it reports.
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        for failing in &totals.failures[self.named..] {
            let (name, seed, cpus) = (failing.scenario, failing.seed(), failing.cpus);
            let _ = writeln!(out, "{start}failed: {name}, seed {seed}, {cpus} cores");
        }
        self.named = totals.failures.len();
        // A closed terminal must not end the run.
        if self.terminal {
            let full = (part.min(1.0) * WIDTH as f64) as usize;
            let bar = "#".repeat(full) + &".".repeat(WIDTH - full);
            let _ = write!(out, "\r[{bar}] {text}\x1b[K").and_then(|()| out.flush());
        } else if self.last_line.elapsed() >= BEAT {
            self.last_line = Instant::now();
            let _ = writeln!(out, "{text}");
        }
    }

    /// Leaves the bar's line.
    pub(crate) fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}
