//! An item whose handler runs in BH context is not queued to threads, nor the other way round.

use std::sync::Arc;

use kernel::softirq::BhCx;
use kernel::thread::ThreadCx;
use kernel::wq::{self, Run, Softirq, Work};

fn main() {
    let urgent = Arc::new(Work::new(
        0_u32,
        |_: &BhCx<'_>, _: &Run<'_, u32, Softirq>| {},
    ));
    let _ = wq::percpu().queue(&urgent);
    let patient = Arc::new(Work::new(0_u32, |_: &ThreadCx<'_>, _: &Run<'_, u32>| {}));
    let _ = wq::bh().queue(&patient);
}
