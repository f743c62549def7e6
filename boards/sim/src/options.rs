//! How a world is run, and what comes out.

use core::fmt;

use machine::Instant;

use crate::boot::Run;
use crate::decision::Decision;
use crate::explore::Node;
use crate::faults::{Faults, Injected};
use crate::strategy::Strategy;
use crate::trace::Trace;

/// How a world is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How the next core is chosen.
    pub strategy: Strategy,
    /// Interleaving points after which the run has failed, if not what the scenario says.
    pub max_steps: Option<u64>,
    /// What may go wrong, as far as the scenario endures it.
    pub faults: Faults,
    /// Bytes of memory the world has.
    pub memory_bytes: usize,
    /// Bytes of a kernel thread's stack. Host code such as formatting needs more than the metal.
    pub stack_bytes: usize,
    /// Longest time between two points on one core, in nanoseconds.
    pub max_step_ns: u32,
    /// Longest time an IPI takes, in nanoseconds.
    pub max_ipi_ns: u32,
    /// A world that makes no point for so long of the host's time hangs, which ends the process: nobody
    /// else can end it. A busy host makes thousands of points meanwhile.
    pub patience: std::time::Duration,
    /// Keeps the whole trace instead of its end.
    pub keep_trace: bool,
    /// Prints the console while the world runs.
    pub echo: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            strategy: Strategy::RandomWalk,
            max_steps: None,
            faults: Faults::default(),
            memory_bytes: 64 << 20,
            stack_bytes: 128 << 10,
            max_step_ns: 400,
            max_ipi_ns: 5_000,
            patience: std::time::Duration::from_secs(15),
            keep_trace: false,
            echo: false,
        }
    }
}

/// Why a run failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Something panicked where the simulated kernel could not report it.
    Panic(String),
    /// The kernel ended the machine with this code; its report is on the console.
    Exit(u8),
    /// Every core waits and nothing will ever happen.
    Deadlock,
    /// Only spinning cores are left and nothing will ever happen.
    Livelock,
    /// An oracle saw a rule broken.
    Violation {
        /// The rule: a row of the rule table, or a word.
        rule: &'static str,
        /// What happened, and the last events before it.
        text: String,
    },
    /// The run took too many points.
    StepLimit,
    /// The run took too much virtual time.
    TimeLimit,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(text) => write!(f, "panic: {text}"),
            Self::Exit(code) => write!(f, "exit {code}"),
            Self::Deadlock => f.write_str("deadlock"),
            Self::Livelock => f.write_str("livelock"),
            Self::Violation { rule, .. } => write!(f, "violation of {rule}"),
            Self::StepLimit => f.write_str("too many points"),
            Self::TimeLimit => f.write_str("too much virtual time"),
        }
    }
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// Cores it ran on.
    pub cpus: usize,
    pub(crate) run: Run,
    /// The orderly end, or what went wrong.
    pub result: Result<(), Failure>,
    /// What happened.
    pub trace: Trace,
    /// Interleaving points.
    pub steps: u64,
    /// Points at which more than one core could have gone on.
    pub choices: u64,
    /// Those between the scenario's beginning and its end: without boot and rest.
    pub scenario_choices: u64,
    /// Virtual time at the end.
    pub virtual_time: Instant,
    /// Faults it suffered.
    pub injected: Injected,
    /// What the kernel printed.
    pub console: String,
    /// Message and place of the last panic.
    pub last_panic: Option<(String, String)>,
    /// How the kernel stood when it failed.
    pub picture: String,
    /// The decisions that were not the default, if they were kept.
    pub decisions: Vec<Decision>,
    /// Decisions of a list that had no place in the run.
    pub missed: u64,
    pub(crate) nodes: Vec<Node>,
}

impl Outcome {
    /// The seed it ran under.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.run.seed
    }

    /// The options it ran with, faults cut down to those the scenario endures.
    #[must_use]
    pub const fn options(&self) -> Options {
        self.run.options
    }

    /// How it ended, in a line.
    #[must_use]
    pub fn verdict(&self) -> String {
        match (&self.result, &self.last_panic) {
            (Ok(()), _) => "no failure".to_owned(),
            (Err(failure @ Failure::Exit(_)), Some((message, place))) => {
                format!("{failure}: {message}, at {place}")
            }
            (Err(failure), _) => failure.to_string(),
        }
        .replace('\n', " ")
    }

    /// What makes two failures the same: their kind, and the place of a panic.
    pub(crate) fn signature(&self) -> String {
        let place = self.last_panic.as_ref().map_or("", |(_, place)| place);
        match &self.result {
            Ok(()) => String::new(),
            Err(Failure::Exit(code)) => format!("exit {code} {place}"),
            Err(Failure::Panic(_)) => format!("panic {place}"),
            Err(failure) => failure.to_string(),
        }
    }

    /// This outcome, if the run ended in order.
    ///
    /// # Panics
    ///
    /// With scenario, seed, last events and console if it did not.
    #[track_caller]
    pub fn expect_ok(self) -> Self {
        assert!(self.result.is_ok(), "{self}");
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report(None).fmt(f)
    }
}
