//! A delayed item whose handler runs in BH context is not queued where threads run items.

use std::sync::Arc;

use kernel::softirq::BhCx;
use kernel::wq::{self, DelayedWork, Run, Softirq};
use machine::Duration;

fn main() {
    let urgent = Arc::new(DelayedWork::new(
        0_u32,
        |_: &BhCx<'_>, _: &Run<'_, u32, Softirq>| {},
    ));
    let _ = wq::unbound().queue_delayed(&urgent, Duration::from_millis(1));
    let _ = wq::percpu().mod_delayed(&urgent, Duration::from_millis(1));
}
