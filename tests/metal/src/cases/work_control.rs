//! 98: parameters of the boot line, and what a stall may cost (N2).

use alloc::sync::Arc;
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, Run, Submitted, Work};
use machine::{CpuId, Duration, now};

use super::work_kit::{Gated, ms};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "98_n2_parameters_of_the_boot_line",
    of_the_boot_line,
    Needs::new().bootargs("workqueue.cache_shard_size=2 workqueue.debug_force_rr_cpu=1")
);
ktest!(
    "98_n2_panic_on_stall_stops_the_machine",
    panic_on_stall,
    Needs::new()
        .bootargs("workqueue.panic_on_stall=1")
        .dies("workqueue: 1 stalls, panic_on_stall=1")
);
ktest!(
    "98_n2_panic_on_stall_time_stops_the_machine",
    panic_on_stall_time,
    Needs::new()
        .bootargs("workqueue.panic_on_stall_time=1")
        .dies("panic_on_stall_time=1 s")
);

fn of_the_boot_line(_: &ThreadCx<'_>) {
    assert_eq!(wq::cache_shard_size(), 2);
    assert!(wq::force_rr_cpu());
}

/// An item waits for ever with nothing behind it.
fn panic_on_stall(cx: &ThreadCx<'_>) {
    wq::set_watchdog(ms(200));
    let items = Gated::new().items(1);
    assert_eq!(wq::percpu().queue(&items[0]), Submitted::Queued);
    sleep(cx, Duration::from_secs(20));
}

/// An item holds its pool up for longer than is allowed; the watchdog tells it long before.
fn panic_on_stall_time(cx: &ThreadCx<'_>) {
    wq::set_watchdog(ms(200));
    wq::set_cpu_intensive_threshold(Duration::ZERO);
    let hog = Arc::new(<Work<_>>::new((), |_: &ThreadCx<'_>, _: &Run<'_, ()>| {
        let begin = now();
        while now().since(begin) < Duration::from_secs(20) {}
    }));
    assert_eq!(wq::percpu().queue_on(CpuId::BOOT, &hog), Submitted::Queued);
    let behind = Gated::new().items(1);
    assert_eq!(
        wq::percpu().queue_on(CpuId::BOOT, &behind[0]),
        Submitted::Queued
    );
    sleep(cx, ms(800));
    assert!(wq::stall_count() > 0, "the watchdog told it and went on");
    sleep(cx, Duration::from_secs(20));
}
