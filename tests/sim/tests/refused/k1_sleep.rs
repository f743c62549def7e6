//! Sleeping takes the token of a thread, and a BH item has none.
use kernel::softirq::BhCx;
use kernel::thread::sleep;
use kernel::wq::{Run, Softirq, Work};
use machine::Duration;

fn main() {
    let _ = Work::<(), Softirq>::new((), |cx: &BhCx<'_>, _: &Run<'_, (), Softirq>| {
        sleep(cx, Duration::from_millis(1));
    });
}
