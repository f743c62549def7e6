//! Parameters of the workqueues as a whole, by name: boot arguments `workqueue.NAME=VALUE`, and
//! whoever sets them later, such as the HTTP service (N2; N1 for `unbound_cpus`).
//!
//! One table says of each what it takes, how it is read and how it is set, so the boot line, a shell
//! and a page know the same names. `power_efficient` (F9) is not among them: here a queue's kind is its
//! type, and no parameter changes types.

use core::fmt::{self, Write};

use machine::{CpuMask, Duration, MAX_CPUS};
use workqueue::Scope;

use super::attrs::{self, AttrsError};
use super::{anatomy, hog, tuning, watchdog};
use crate::kernel;
use crate::thread::ThreadCx;

/// What the boot line puts before a parameter's name.
const PREFIX: &str = "workqueue.";
/// Longest budget of CPU time, and longest wait for a core, in microseconds.
const LONGEST_BUDGET: u64 = 1_000_000;
/// Longest gap of the anatomy, in microseconds.
const LONGEST_GAP: u64 = 1_000_000;
/// Longest time of the watchdog, in seconds.
const LONGEST_WATCH: u64 = 86_400;

/// Why something was not set; everything is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetError {
    /// There is no parameter, or no attribute, of this name.
    UnknownName,
    /// No queue of this name is exported ([`super::Builder::sysfs`]).
    UnknownQueue,
    /// Queues of this kind do not have it, or it cannot be changed.
    ReadOnly,
    /// The value is none of these.
    Value(&'static str),
    /// The value makes sense by itself, and was refused.
    Attrs(AttrsError),
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName => f.write_str("no such parameter or attribute"),
            Self::UnknownQueue => f.write_str("no exported queue has this name"),
            Self::ReadOnly => f.write_str("queues of this kind do not let it be changed"),
            Self::Value(expected) => write!(f, "expected {expected}"),
            Self::Attrs(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for SetError {}

impl From<AttrsError> for SetError {
    fn from(e: AttrsError) -> Self {
        Self::Attrs(e)
    }
}

/// A parameter.
struct Param {
    name: &'static str,
    /// What it takes.
    expects: &'static str,
    show: fn(&mut dyn Write) -> fmt::Result,
    /// `None`: not what it takes.
    set: fn(&ThreadCx<'_>, &str) -> Option<Result<(), AttrsError>>,
}

/// A number of at most `most`.
fn number(value: &str, most: u64) -> Option<u64> {
    value.parse().ok().filter(|&n| n <= most)
}

/// What [`number`] becomes when nothing can fail any more.
fn done(n: Option<()>) -> Option<Result<(), AttrsError>> {
    n.map(Ok)
}

const PARAMS: [Param; 11] = [
    Param {
        name: "unbound_cpus",
        expects: "a list of cores such as 0-3,6",
        show: |out| write!(out, "{}", attrs::unbound_mask()),
        set: |cx, v| {
            let mask: CpuMask = v.parse().ok()?;
            Some(attrs::set_unbound_mask(cx, mask))
        },
    },
    Param {
        name: "default_affinity_scope",
        expects: "cpu, smt, cache, cache_shard, numa or system",
        show: |out| out.write_str(attrs::default_scope().name()),
        set: |cx, v| {
            let scope = Scope::by_name(v).filter(|&s| s != Scope::Default)?;
            Some(attrs::set_default_scope(cx, scope))
        },
    },
    Param {
        name: "cache_shard_size",
        expects: "1 to 64 cores",
        show: |out| write!(out, "{}", attrs::cache_shard_size()),
        set: |cx, v| {
            let n = number(v, MAX_CPUS as u64).filter(|&n| n > 0)?;
            Some(attrs::set_cache_shard_size(cx, n as usize))
        },
    },
    Param {
        name: "debug_force_rr_cpu",
        expects: "0 or 1",
        show: |out| write!(out, "{}", u8::from(attrs::force_rr_cpu())),
        set: |cx, v| {
            let on = number(v, 1)? == 1;
            Some(attrs::set_force_rr_cpu(cx, on))
        },
    },
    Param {
        name: "cpu_intensive_thresh_us",
        expects: "0 to 1000000 microseconds, 0 for never",
        show: |out| write!(out, "{}", tuning::cpu_intensive_threshold().as_micros()),
        set: |_, v| {
            let us = number(v, LONGEST_BUDGET)?;
            tuning::set_cpu_intensive_threshold(Duration::from_micros(us));
            Some(Ok(()))
        },
    },
    Param {
        name: "cpu_intensive_warning_thresh",
        expects: "a number of times, 0 for never",
        show: |out| write!(out, "{}", hog::warning_threshold()),
        set: |_, v| done(number(v, u64::from(u32::MAX)).map(hog::set_warning_threshold)),
    },
    Param {
        name: "preempted_thresh_us",
        expects: "0 to 1000000 microseconds, 0 for never",
        show: |out| write!(out, "{}", tuning::preempted_threshold().as_micros()),
        set: |_, v| {
            let us = number(v, LONGEST_BUDGET)?;
            tuning::set_preempted_threshold(Duration::from_micros(us));
            Some(Ok(()))
        },
    },
    Param {
        name: "anatomy_gap_us",
        expects: "0 to 1000000 microseconds, 0 for every item",
        show: |out| write!(out, "{}", anatomy::anatomy_gap().as_micros()),
        set: |_, v| {
            let us = number(v, LONGEST_GAP)?;
            anatomy::set_anatomy_gap(Duration::from_micros(us));
            Some(Ok(()))
        },
    },
    Param {
        name: "watchdog_thresh",
        expects: "0 to 86400 seconds, 0 for off",
        show: |out| {
            let limit = watchdog::watchdog_limit().unwrap_or(Duration::ZERO);
            write!(out, "{}", limit.as_millis() / 1_000)
        },
        set: |_, v| {
            let secs = number(v, LONGEST_WATCH)?;
            watchdog::set_watchdog(Duration::from_secs(secs));
            Some(Ok(()))
        },
    },
    Param {
        name: "panic_on_stall",
        expects: "a number of stalls, 0 for never",
        show: |out| write!(out, "{}", watchdog::panic_on_stall()),
        set: |_, v| done(number(v, u64::from(u32::MAX)).map(watchdog::set_panic_on_stall)),
    },
    Param {
        name: "panic_on_stall_time",
        expects: "0 to 86400 seconds, 0 for never",
        show: |out| {
            let time = watchdog::panic_on_stall_time();
            write!(out, "{}", time.as_millis() / 1_000)
        },
        set: |_, v| {
            let secs = number(v, LONGEST_WATCH)?;
            watchdog::set_panic_on_stall_time(Duration::from_secs(secs));
            Some(Ok(()))
        },
    },
];

/// Sets the parameter `name` from text. May sleep.
///
/// # Errors
///
/// [`SetError::UnknownName`], [`SetError::Value`] with what it takes, or what refused it; nothing has
/// changed then.
pub fn set_param(cx: &ThreadCx<'_>, name: &str, value: &str) -> Result<(), SetError> {
    let param = PARAMS.iter().find(|p| p.name == name);
    let param = param.ok_or(SetError::UnknownName)?;
    match (param.set)(cx, value) {
        Some(done) => Ok(done?),
        None => Err(SetError::Value(param.expects)),
    }
}

/// One parameter as it is; its value is written by [`fmt::Display`].
#[derive(Clone, Copy)]
pub struct ParamInfo {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub expects: &'static str,
    show: fn(&mut dyn Write) -> fmt::Result,
}

impl fmt::Display for ParamInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.show)(f)
    }
}

impl fmt::Debug for ParamInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={self}", self.name)
    }
}

/// All parameters. Reading a value takes spin locks.
pub fn params() -> impl Iterator<Item = ParamInfo> {
    PARAMS.iter().map(|p| ParamInfo {
        name: p.name,
        expects: p.expects,
        show: p.show,
    })
}

/// Applies the boot line; what is wrong is told on the console and otherwise ignored.
pub(super) fn from_boot_line(cx: &ThreadCx<'_>) {
    for word in kernel().info().bootargs.split_ascii_whitespace() {
        let Some((name, value)) = word.strip_prefix(PREFIX).and_then(|w| w.split_once('=')) else {
            continue;
        };
        if let Err(e) = set_param(cx, name, value) {
            crate::log!("{word} is ignored: {e}");
        }
    }
}
