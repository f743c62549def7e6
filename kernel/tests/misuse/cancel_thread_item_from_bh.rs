//! A softirq may wait for BH items only.
use std::sync::Arc;

use kernel::softirq::BhCx;
use kernel::wq::{Run, Softirq, Threaded, Work};

type Other = Arc<Work<(), Threaded>>;

fn main() {
    let other: Other = Arc::new(Work::new((), |_, _| {}));
    let _ = Work::<Other, Softirq>::new(other, |cx: &BhCx<'_>, run: &Run<'_, Other, Softirq>| {
        let other: &Other = run;
        let _ = other.cancel_sync_bh(cx);
    });
}
