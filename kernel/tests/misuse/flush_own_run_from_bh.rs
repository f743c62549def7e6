//! Waiting takes the token of a thread, and a softirq has none.
use std::sync::Arc;

use kernel::softirq::BhCx;
use kernel::wq::{Run, Softirq, Threaded, Work};

type Other = Arc<Work<(), Threaded>>;

fn main() {
    let other: Other = Arc::new(Work::new((), |_, _| {}));
    let _ = Work::<Other, Softirq>::new(other, |cx: &BhCx<'_>, run: &Run<'_, Other, Softirq>| {
        let _ = run.flush(cx);
    });
}
