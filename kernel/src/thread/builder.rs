//! Making threads.

use core::fmt;
use core::sync::atomic::Ordering;

use machine::{CpuId, Duration};

use super::{Entry, NAME_BYTES, Name, Nice, Thread, ThreadCx, ThreadRef};
use crate::cpu::{CpuMask, online};
use crate::{kernel, mem, schedule, wq};

/// Why a thread could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpawnError {
    /// No memory for the thread, its stack or its closure; try again later.
    NoMemory,
    /// No online core is in the affinity mask.
    NoCore,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMemory => "no memory for another thread",
            Self::NoCore => "no online core in the thread's affinity mask",
        })
    }
}

/// Describes a thread to make.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until spawn"]
pub struct Builder {
    pub(super) name: Name,
    pub(super) nice: Nice,
    pub(super) slice: Option<Duration>,
    pub(super) affinity: CpuMask,
    pub(super) stack_bytes: Option<usize>,
}

impl Builder {
    /// A thread of nice 0 that may run anywhere.
    pub fn new(name: &str) -> Self {
        Self {
            name: cut(name),
            nice: Nice::ZERO,
            slice: None,
            affinity: CpuMask::ALL,
            stack_bytes: None,
        }
    }

    /// Sets the nice level.
    pub const fn nice(mut self, nice: Nice) -> Self {
        self.nice = nice;
        self
    }

    /// Asks for slices of this length, from 0.1 to 100 ms, instead of the runqueue's base slice. The
    /// share of CPU time stays the same; a shorter slice is served sooner (V8).
    pub const fn slice(mut self, slice: Duration) -> Self {
        self.slice = Some(slice);
        self
    }

    /// Sets the cores it may run on.
    pub const fn affinity(mut self, mask: CpuMask) -> Self {
        self.affinity = mask;
        self
    }

    /// Sets the stack size in bytes (rounded up to pages) instead of the board's default.
    pub const fn stack(mut self, bytes: usize) -> Self {
        self.stack_bytes = Some(bytes);
        self
    }

    /// Makes the thread and starts it. Never sleeps.
    ///
    /// # Errors
    ///
    /// [`SpawnError`]; nothing was made.
    pub fn spawn<F>(self, body: F) -> Result<ThreadRef, SpawnError>
    where
        F: FnOnce(&ThreadCx<'_>) + Send + 'static,
    {
        self.spawn_worker(core::ptr::null_mut(), body)
    }

    /// As [`Self::spawn`], for a pool worker: the scheduler's hooks see it from its first switch.
    pub(crate) fn spawn_worker<F>(
        self,
        worker: *mut wq::Worker,
        body: F,
    ) -> Result<ThreadRef, SpawnError>
    where
        F: FnOnce(&ThreadCx<'_>) + Send + 'static,
    {
        let mut usable = self.affinity.and(online());
        if usable.is_empty() {
            // A pool's worker serves it also while its core is offline (M2).
            if worker.is_null() {
                return Err(SpawnError::NoCore);
            }
            usable = online();
        }
        if !machine::thread_allowed() {
            return Err(SpawnError::NoMemory);
        }
        let entry: Entry = mem::try_box(body).map_err(|_| SpawnError::NoMemory)?;
        let thread = Thread::make(&self, Some(entry), 0).ok_or(SpawnError::NoMemory)?;
        thread.worker.store(worker, Ordering::Relaxed);
        kernel().threads.add(&thread);
        schedule::start(&thread, usable);
        Ok(thread)
    }

    /// The idle thread of a core: never on a runqueue, body `entry` of the boot module.
    pub(crate) fn make_idle(self, cpu: CpuId) -> Option<ThreadRef> {
        let thread = Thread::make(&self, None, 0)?;
        thread.set_core(crate::cpu::cpu(cpu));
        kernel().threads.add(&thread);
        Some(thread)
    }
}

/// A name of at most [`NAME_BYTES`], cut at a character boundary.
pub(crate) fn cut(name: &str) -> Name {
    let mut out = Name::new();
    let _fits = out.push_str(&name[..name.floor_char_boundary(NAME_BYTES)]);
    out
}
