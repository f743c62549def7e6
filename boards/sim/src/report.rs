//! A failing run in words: what broke, how to see it again, what happened last, how things stood.

use core::fmt::{self, Write as _};

use crate::decision::{Choice, Decision};
use crate::engine::Sim;
use crate::options::{Failure, Outcome};
use crate::trace::{Event, What};

/// Events of each core that a report shows.
const LAST: usize = 12;
/// Decisions that a report shows.
const DECISIONS: usize = 40;

/// A failing run for people; minimised and with its decisions kept, it says most.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    outcome: &'a Outcome,
    file: Option<&'a str>,
}

impl Outcome {
    /// This run for people; `file` is where its recording lies.
    #[must_use]
    pub const fn report<'a>(&'a self, file: Option<&'a str>) -> Report<'a> {
        Report {
            outcome: self,
            file,
        }
    }

    /// The command that runs this seed again, with all faults its own run had.
    #[must_use]
    pub fn command(&self) -> String {
        let options = &self.run.options;
        format!(
            "cargo xtask sim '{}' --first-seed {} --seeds 1 --cpus {} --strategy {} --faults {}",
            self.scenario, self.run.seed, self.cpus, options.strategy, self.run.wanted
        )
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let o = self.outcome;
        writeln!(f, "FAILED   {}: {}", o.scenario, o.verdict())?;
        if let Err(Failure::Violation { text, .. }) = &o.result {
            text.lines().try_for_each(|l| writeln!(f, "  {l}"))?;
        }
        let options = &o.run.options;
        writeln!(
            f,
            "run      seed {}, {} cores, strategy {}, faults {}",
            o.run.seed, o.cpus, options.strategy, options.faults.kinds
        )?;
        writeln!(f, "again    {}", o.command())?;
        if let Some(file) = self.file {
            writeln!(f, "         cargo xtask sim --replay {file}")?;
        }
        writeln!(
            f,
            "size     {} points, {} with a choice, {:?} of virtual time, trace {:016x}",
            o.steps, o.choices, o.virtual_time, o.trace.hash
        )?;
        if options.faults.kinds != o.run.wanted {
            writeln!(
                f,
                "minimised to the faults {}; the seed's own run has {}",
                options.faults.kinds, o.run.wanted
            )?;
        }
        writeln!(f, "faults   {}", o.injected)?;
        decisions(f, &o.decisions)?;
        for cpu in 0..o.cpus {
            last_events(f, o, cpu as u8)?;
        }
        if !o.picture.is_empty() {
            writeln!(f, "how things stood:")?;
            o.picture.lines().try_for_each(|l| writeln!(f, "  {l}"))?;
        }
        writeln!(f, "console:")?;
        o.console.lines().try_for_each(|l| writeln!(f, "  {l}"))
    }
}

fn decisions(f: &mut fmt::Formatter<'_>, all: &[Decision]) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    let preemptions = all.iter().filter(|d| d.what == Choice::Preempt).count();
    writeln!(
        f,
        "decisions: {}, of them {preemptions} preemptions; else each core runs until it waits",
        all.len()
    )?;
    for d in all.iter().take(DECISIONS) {
        writeln!(f, "  at its call {:>6}, {}", d.at, decision(d))?;
    }
    if all.len() > DECISIONS {
        writeln!(f, "  and {} more", all.len() - DECISIONS)?;
    }
    Ok(())
}

/// A decision in words.
fn decision(d: &Decision) -> String {
    let (me, value) = (d.cpu, d.value);
    let target = (value & 0xff).wrapping_sub(1);
    let amount = value >> 8;
    match d.what {
        Choice::Preempt => format!("cpu{me} is held up and cpu{} goes on", value - 1),
        Choice::Next => format!("cpu{me} waits and cpu{} goes on", value - 1),
        Choice::Ack => format!("cpu{me} takes the later of two interrupts first"),
        Choice::Ipi => format!("cpu{me}'s IPI takes {value} ns"),
        Choice::Timer => format!("cpu{me}'s timer will be {value} ns late"),
        Choice::Thread => format!("cpu{me} gets no new thread"),
        Choice::Heap => format!("cpu{me} gets no heap memory"),
        Choice::Pages => format!("cpu{me} gets no pages"),
        Choice::Spurious => format!("cpu{target} gets an interrupt without a cause"),
        Choice::Stall => format!("cpu{target} stands still for {amount} us"),
        Choice::Storm => format!("cpu{target} gets {amount} interrupts without a cause"),
    }
}

fn last_events(f: &mut fmt::Formatter<'_>, o: &Outcome, cpu: u8) -> fmt::Result {
    let mut lines: Vec<(u64, String, u32)> = Vec::new();
    for event in o.trace.events.iter().filter(|e| e.cpu == cpu) {
        let text = words(event);
        match lines.last_mut() {
            Some((_, last, times)) if *last == text => *times += 1,
            _ => lines.push((event.at.as_nanos(), text, 1)),
        }
    }
    writeln!(f, "last events of cpu{cpu}:")?;
    for (ns, text, times) in lines.iter().skip(lines.len().saturating_sub(LAST)) {
        let (us, rest) = (ns / 1000, ns % 1000);
        write!(f, "  {us:>9}.{rest:03} us  {text}")?;
        if *times > 1 {
            write!(f, " ({times} times)")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

/// An event in words.
fn words(e: &Event) -> String {
    let arg = e.arg;
    match e.what {
        What::SyncPoint => "goes on".to_owned(),
        What::Relax => "spins".to_owned(),
        What::Now => "reads the clock".to_owned(),
        What::IrqSave | What::IrqDisable => "masks interrupts".to_owned(),
        What::IrqEnable => "unmasks interrupts".to_owned(),
        What::ArmTimer => format!("arms its timer for {}.{:03} us", arg / 1000, arg % 1000),
        What::CancelTimer => "disarms its timer".to_owned(),
        What::SendIpi => format!("sends an IPI to cpu{arg}"),
        What::IrqAck => "asks for the next interrupt".to_owned(),
        What::IrqEnd => "ends an interrupt".to_owned(),
        What::Idle => "waits for an interrupt".to_owned(),
        What::Switch => format!("switches to flow {arg}"),
        What::StartCpu => format!("starts cpu{arg}"),
        What::Protect => "changes the rights of pages".to_owned(),
        What::AllocRefused => "is refused memory or a thread".to_owned(),
        What::Entropy => "draws entropy".to_owned(),
        What::Interrupt => "is interrupted".to_owned(),
        What::Preempt => "preempts its thread".to_owned(),
        What::Panic => format!("panics, in line {arg}"),
        What::Shutdown => format!("ends the machine with code {arg}"),
        other => format!("{other:?} {arg:#x}"),
    }
}

impl Sim {
    /// How the kernel stands now that its world has stopped. Not on a flow.
    pub(crate) fn take_picture(&self) {
        let mut text = String::new();
        if self.stand_still() && kernel::dump::write(&mut text).is_err() {
            let _ = text.write_str("(no picture)");
        }
        // A world that only took too long may have a knot that no oracle may call one.
        let waits = self.oracles.borrow().deadlock();
        if let Some(waits) = waits.filter(|_| self.took_too_long()) {
            let _ = write!(text, "who waits without a time limit:\n{}", waits.text);
        }
        *self.picture.borrow_mut() = text;
    }
}
