//! Calls that are made on a given core, in a work item there (C12, C13).
//!
//! An inter-processor call runs in interrupt context; these run in the core's worker and may sleep.

use core::fmt;

use machine::CpuId;

use super::errors::WaitError;
use super::item::{Run, Work};
use super::percpu;
use super::scope::{ScopeError, Task};
use crate::cpu::{online, this_cpu};
use crate::kernel;
use crate::mem::AllocError;
use crate::thread::ThreadCx;

/// Why a call was not made on its core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnCpuError {
    /// The core is offline, went offline before the call began, or does not exist. Nothing was called.
    Offline,
    /// The caller is an item of a queue with a rescuer: a call needs a worker, and thus memory (H6).
    /// Nothing was called.
    NoProgress,
    /// The caller is an item of the default queue, and that has one thread on each core
    /// ([`Backend`](super::Backend)), which may be the caller's. Nothing was called.
    SelfWait,
    /// The call panicked.
    Panicked,
    /// There is no memory for the items. Nothing was called.
    NoMemory,
    /// Waiting for an item would never end; the others were waited for.
    Deadlock,
}

impl fmt::Display for OnCpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offline => "the core is offline",
            Self::NoProgress => "an item whose queue has a rescuer calls another core",
            Self::SelfWait => "an item of the default queue waits for another",
            Self::Panicked => "the call panicked",
            Self::NoMemory => "no memory for the items of a call on each core",
            Self::Deadlock => "waiting for a call on another core would never end",
        })
    }
}

impl core::error::Error for OnCpuError {}

impl From<AllocError> for OnCpuError {
    fn from(_: AllocError) -> Self {
        Self::NoMemory
    }
}

impl From<ScopeError> for OnCpuError {
    fn from(e: ScopeError) -> Self {
        match e {
            ScopeError::Panicked(_) => Self::Panicked,
            ScopeError::NoProgress => Self::NoProgress,
            ScopeError::SelfWait => Self::SelfWait,
        }
    }
}

impl From<WaitError> for OnCpuError {
    fn from(e: WaitError) -> Self {
        match e {
            WaitError::Poisoned => Self::Panicked,
            WaitError::NoProgress => Self::NoProgress,
            WaitError::SelfWait => Self::SelfWait,
            // A flush disables nothing.
            WaitError::Deadlock(_) | WaitError::TooDeep(_) => Self::Deadlock,
        }
    }
}

/// Calls `f` on core `cpu`, in a work item of the default queue, and returns what it returns (C13). The
/// caller sleeps meanwhile; `f` may borrow from it. The core may go offline while `f` runs, which then
/// goes on elsewhere: [`work_on_cpu_safe`] prevents that.
///
/// # Errors
///
/// [`OnCpuError`].
pub fn work_on_cpu<F, R>(cx: &ThreadCx<'_>, cpu: CpuId, f: F) -> Result<R, OnCpuError>
where
    F: FnOnce(&ThreadCx<'_>) -> R + Send,
    R: Send,
{
    if !online().contains(cpu) {
        return Err(OnCpuError::Offline);
    }
    let mut call = Task::new(|cx: &ThreadCx<'_>| {
        // A core that went offline has its items run elsewhere (M2).
        (this_cpu().id() == cpu).then(|| f(cx))
    });
    let over = percpu().scope(cx, |s| s.spawn_on(cpu, &mut call));
    match over {
        Ok(Ok(())) => call.take().flatten().ok_or(OnCpuError::Offline),
        // The default queue never drains.
        Ok(Err(_)) => Err(OnCpuError::Offline),
        Err(e) => Err(e.into()),
    }
}

/// As [`work_on_cpu`], and no core goes offline or comes online meanwhile. Such calls, and changes of
/// cores, are made one at a time: `f` asks for neither.
///
/// # Errors
///
/// As [`work_on_cpu`].
pub fn work_on_cpu_safe<F, R>(cx: &ThreadCx<'_>, cpu: CpuId, f: F) -> Result<R, OnCpuError>
where
    F: FnOnce(&ThreadCx<'_>) -> R + Send,
    R: Send,
{
    let no_changes = kernel().hotplug.lock_anyway(cx);
    let result = work_on_cpu(cx, cpu, f);
    drop(no_changes);
    result
}

/// Runs `f` on every core that is online, in an item of the default queue for each, and waits for all
/// (C12).
///
/// # Errors
///
/// [`OnCpuError::NoMemory`], [`OnCpuError::NoProgress`], [`OnCpuError::SelfWait`]: `f` was called nowhere.
/// [`OnCpuError::Panicked`] and [`OnCpuError::Deadlock`] tell of the last core of which that is true.
pub fn on_each_core<F>(cx: &ThreadCx<'_>, f: F) -> Result<(), OnCpuError>
where
    F: Fn(&ThreadCx<'_>) + Send + Sync + 'static,
{
    fn call<F: Fn(&ThreadCx<'_>) + Send + Sync + 'static>(
        cx: &ThreadCx<'_>,
        run: &Run<'_, alloc::sync::Arc<F>>,
    ) {
        let f: &F = run;
        f(cx);
    }
    percpu().queue.may_wait_for_new()?;
    let f = crate::mem::try_arc(f)?;
    let cores = online();
    let mut items = crate::mem::try_vec_with_capacity(cores.count())?;
    for cpu in cores.iter() {
        let item = <Work<_>>::new(alloc::sync::Arc::clone(&f), call::<F>);
        items.push((cpu, crate::mem::try_arc(item)?));
    }
    for (cpu, item) in &items {
        // It is new, and nobody else has it.
        let _queued = percpu().queue_on(*cpu, item);
    }
    let mut over = Ok(());
    for (_, item) in &items {
        if let Err(e) = item.flush(cx) {
            over = Err(e.into());
        }
    }
    over
}
