//! The items of a per-CPU queue run where they were queued: it has no cores to choose (G1).

use kernel::thread::ThreadCx;
use kernel::wq::{Attrs, PerCpu, Workqueue};

fn _place(cx: &ThreadCx<'_>, queue: &Workqueue<PerCpu>) {
    let _ = queue.apply_attrs(cx, Attrs::new());
}

fn main() {}
