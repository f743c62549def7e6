//! A BH handler has no proof that it may sleep.

use kernel::softirq::BhCx;
use kernel::thread::sleep;
use kernel::wq::{Run, Softirq, Work};
use machine::Duration;

fn main() {
    let _ = Work::new(0_u32, |cx: &BhCx<'_>, _: &Run<'_, u32, Softirq>| {
        sleep(cx, Duration::from_millis(1));
    });
}
