//! The end of a scope waits, so BH items have none, and BH queues neither.

use kernel::softirq::BhCx;
use kernel::thread::ThreadCx;
use kernel::wq::{self, Run, Softirq, Work};

fn _wrong(cx: &ThreadCx<'_>) {
    let _ = wq::bh().scope(cx, |_| ());
}

fn main() {
    let _ = Work::new(0_u32, |cx: &BhCx<'_>, _: &Run<'_, u32, Softirq>| {
        let _ = wq::percpu().scope(cx, |_| ());
    });
}
