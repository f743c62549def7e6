//! A BH handler cannot wait for an item.

use std::sync::Arc;

use kernel::softirq::BhCx;
use kernel::thread::ThreadCx;
use kernel::wq::{Run, Softirq, Work};

fn main() {
    let slow = Work::new(0_u32, |_: &ThreadCx<'_>, _: &Run<'_, u32>| {});
    let _ = Work::new(
        Arc::new(slow),
        |cx: &BhCx<'_>, run: &Run<'_, Arc<Work<u32>>, Softirq>| {
            let _ = run.flush(cx);
        },
    );
}
