//! Workqueues.
use crate::thread::{Thread, ThreadCx};

/// A worker.
#[derive(Debug)]
pub struct Worker {}
/// System-wide state.
#[derive(Debug)]
pub struct System {}
impl System {
    pub(crate) const fn new() -> Self {
        Self {}
    }
}
/// Per-core pools.
#[derive(Debug)]
pub struct CpuPools {}
impl CpuPools {
    pub(crate) const fn new() -> Self {
        Self {}
    }
}
pub(crate) fn init(_cx: &ThreadCx<'_>) {}
pub(crate) fn worker_panicked(_t: &Thread) {}
pub(crate) fn current_item(_t: &Thread) -> Option<&'static str> {
    None
}
pub(crate) mod bh {
    pub(crate) fn run(_cx: &crate::softirq::BhCx<'_>, _hi: bool) {}
}
pub(crate) mod hooks {
    pub(crate) fn worker_sleeping(_t: &crate::thread::Thread) {}
    pub(crate) fn worker_running(_t: &crate::thread::Thread) {}
}
