//! Recordings: a run as a small text file that is a test from then on.
//!
//! ```text
//! roundtable recording 1
//! scenario mixture
//! cpus 2
//! seed 17
//! strategy walk
//! faults none
//! wanted none
//! ticks random
//! failure exit 101
//! trace 69a1f00dc0ffee00
//! 1:204 preempt 1
//! ```
//!
//! `faults` are those on in the recorded run, `wanted` those of the seed's own run, before minimising
//! took some away. The last lines are the decisions that were not the default: core, seam calls it had made, what,
//! value ([`Decision`]). Lines that begin with `#` are for people. The trace's hash tells whether a
//! replay is the recorded run: another build takes other seam calls, and decisions lose their places.
//! So a recording shows a failure in the build that has it. Once it is mended the recording is *settled*:
//! decisions and hash go, and the seed stays with all faults it had, which means something in every build.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use crate::boot::{Run, Subject};
use crate::decision::{Choice, Decision};
use crate::engine::Plan;
use crate::faults::{Faults, Kinds};
use crate::options::{Options, Outcome};
use crate::scenario::Scenario;
use crate::strategy::Strategy;

/// First line of a file.
const HEAD: &str = "roundtable recording 1";

/// A recorded run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// Name of the scenario.
    pub scenario: String,
    /// Cores.
    pub cpus: usize,
    /// The seed, which still drives time and devices.
    pub seed: u64,
    /// The strategy that made the decisions.
    pub strategy: Strategy,
    /// Faults that were on.
    pub faults: Kinds,
    /// Faults of the seed's own run.
    pub wanted: Kinds,
    /// Time passes evenly, not at random.
    pub even_ticks: bool,
    /// How the run ended, in a word or two.
    pub failure: String,
    /// Hash of its trace.
    pub trace: u64,
    /// Decisions that were not the default.
    pub decisions: Arc<[Decision]>,
}

/// What came of a replay.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The run.
    pub outcome: Outcome,
    /// It is the recorded run, event by event.
    pub faithful: bool,
}

impl Recording {
    /// Records a run that kept its decisions.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        Self {
            scenario: outcome.scenario.to_owned(),
            cpus: outcome.cpus,
            seed: outcome.run.seed,
            strategy: outcome.run.options.strategy,
            faults: outcome.run.options.faults.kinds,
            wanted: outcome.run.wanted,
            even_ticks: outcome.run.even_ticks,
            failure: outcome.verdict(),
            trace: outcome.trace.hash,
            decisions: outcome.decisions.as_slice().into(),
        }
    }

    /// How this run is made again.
    pub(crate) fn run(&self) -> Run {
        let options = Options {
            strategy: self.strategy,
            faults: Faults::of(self.faults),
            ..Options::default()
        };
        Run {
            plan: Plan::List(Arc::clone(&self.decisions)),
            even_ticks: self.even_ticks,
            keep_decisions: true,
            wanted: self.wanted,
            ..Run::new(self.seed, options)
        }
    }

    /// Runs it again.
    #[must_use]
    pub fn replay(&self, scenario: &Scenario) -> Replayed {
        let outcome = scenario.on(self.cpus).run_with(&self.run());
        let faithful = outcome.trace.hash == self.trace && outcome.missed == 0;
        Replayed { outcome, faithful }
    }

    /// This recording without what only its own build understands.
    #[must_use]
    pub fn settled(&self) -> Self {
        Self {
            faults: self.wanted,
            even_ticks: false,
            trace: 0,
            decisions: Arc::new([]),
            ..self.clone()
        }
    }

    /// True when only the seed is left.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.trace == 0 && self.decisions.is_empty()
    }

    /// How a replay differs from what was recorded, if it does.
    #[must_use]
    pub fn unfaithful(&self, replayed: &Replayed) -> Option<String> {
        (!replayed.faithful).then(|| {
            format!(
                "was recorded by another build: its trace is {:016x}, this one is {:016x}, and {} of {} \
                 decisions found no place",
                self.trace,
                replayed.outcome.trace.hash,
                replayed.outcome.missed,
                self.decisions.len()
            )
        })
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("`{value}` is not a number"))
        };
        match key {
            "scenario" => self.scenario = value.to_owned(),
            "cpus" => self.cpus = number()? as usize,
            "seed" => self.seed = number()?,
            "strategy" => self.strategy = value.parse()?,
            "faults" => {
                self.faults = value.parse()?;
                self.wanted = self.wanted.or(self.faults);
            }
            "wanted" => self.wanted = value.parse()?,
            "ticks" => self.even_ticks = value == "even",
            "failure" => self.failure = value.to_owned(),
            "trace" => {
                self.trace =
                    u64::from_str_radix(value, 16).map_err(|_| format!("`{value}` is no hash"))?;
            }
            _ => return Err(format!("`{key}` means nothing here")),
        }
        Ok(())
    }
}

/// Runs `scenario` under `seed` and keeps the decisions.
#[must_use]
pub fn record(scenario: &Scenario, seed: u64, options: Options) -> Outcome {
    scenario.run_with(&Run {
        keep_decisions: true,
        ..Run::new(seed, options)
    })
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        writeln!(f, "scenario {}", self.scenario)?;
        writeln!(f, "cpus {}", self.cpus)?;
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "strategy {}", self.strategy)?;
        writeln!(f, "faults {}", self.faults)?;
        writeln!(f, "wanted {}", self.wanted)?;
        let ticks = if self.even_ticks { "even" } else { "random" };
        writeln!(f, "ticks {ticks}")?;
        writeln!(f, "failure {}", self.failure)?;
        if self.is_settled() {
            return Ok(());
        }
        writeln!(f, "trace {:016x}", self.trace)?;
        self.decisions.iter().try_for_each(|d| writeln!(f, "{d}"))
    }
}

impl FromStr for Recording {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut recording = Self {
            scenario: String::new(),
            cpus: 0,
            seed: 0,
            strategy: Strategy::RandomWalk,
            faults: Kinds::NONE,
            wanted: Kinds::NONE,
            even_ticks: false,
            failure: String::new(),
            trace: 0,
            decisions: Arc::new([]),
        };
        let mut decisions = Vec::new();
        let mut lines = text.lines().zip(1..);
        if lines.next().is_none_or(|(line, _)| line != HEAD) {
            return Err(format!("line 1: not a recording; it would say `{HEAD}`"));
        }
        for (line, n) in lines.filter(|(l, _)| !l.trim().is_empty() && !l.starts_with('#')) {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let done = match key.split_once(':') {
                Some(place) => decision(place, value).map(|d| decisions.push(d)),
                None => recording.set(key, value),
            };
            done.map_err(|e| format!("line {n}: {e}"))?;
        }
        if recording.scenario.is_empty() || !(1..=machine::MAX_CPUS).contains(&recording.cpus) {
            return Err("the file names no scenario, or no possible number of cores".to_owned());
        }
        recording.decisions = decisions.into();
        Ok(recording)
    }
}

/// `(cpu, at)` and `what value`.
fn decision(place: (&str, &str), rest: &str) -> Result<Decision, String> {
    let (word, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let parsed = (|| {
        Some(Decision {
            cpu: place.0.parse().ok()?,
            at: place.1.parse().ok()?,
            what: Choice::of_word(word)?,
            value: value.parse().ok()?,
        })
    })();
    parsed.ok_or_else(|| format!("`{}:{} {rest}` is no decision", place.0, place.1))
}
