//! The service's life: stopped and started while clients ask.

use kernel::mem;
use kernel::net;
use kernel::thread::{ThreadCx, sleep, thread_count};
use machine::{Duration, Instant};
use services::{BootArgs, Mode};

use crate::ktest;
use crate::registry::Needs;

ktest!(
    "95_services_stop_and_start_under_load",
    services_stop_and_start_under_load,
    Needs::new().net().timeout(120)
);

/// New connections to see in each life before it is ended.
const CONNECTIONS: u64 = 60;
/// How long the host's clients may take to make them.
const PATIENCE: Duration = Duration::from_secs(20);

/// One life of the services in `mode`: start, wait for load, stop with clients in the middle of
/// their requests. What is in use afterwards: heap bytes and threads.
fn life(cx: &ThreadCx<'_>, mode: Mode) -> (usize, usize) {
    let args = BootArgs {
        mode,
        ..services::boot_args()
    };
    let running = services::start(cx, &args).expect("memory for the services");
    let before = net::stats().stack.tcp_established;
    let end: Instant = machine::now() + PATIENCE;
    while net::stats().stack.tcp_established < before + CONNECTIONS {
        assert!(machine::now() < end, "no clients came");
        sleep(cx, Duration::from_millis(5));
    }
    running.http.stop(cx).expect("not called from an item");
    running.echo.stop(cx).expect("not called from an item");
    assert_eq!(net::stats().connections, 0, "connections left after stop");
    // Workers that ended and timers that fired give their memory back.
    sleep(cx, Duration::from_millis(50));
    (mem::stats().heap_live_bytes, thread_count())
}

fn services_stop_and_start_under_load(cx: &ThreadCx<'_>) {
    kernel::println!("SERVING");
    for mode in [Mode::Event, Mode::Blocking, Mode::Thread] {
        // The first life of a mode fills caches: workers, and tables that grew.
        let first = life(cx, mode);
        let (second, third) = (life(cx, mode), life(cx, mode));
        kernel::println!("{mode}: (heap bytes, threads) {first:?} {second:?} {third:?}");
        let base = first.0.max(second.0);
        assert!(
            third.0 <= base + 4096,
            "{mode}: heap grows: {first:?} {second:?} {third:?}"
        );
        assert!(
            third.1 <= first.1.max(second.1) + 1,
            "{mode}: threads grow: {first:?} {second:?} {third:?}"
        );
    }
}
