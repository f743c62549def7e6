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

/// Heap a worker holds besides its stack, at most.
const WORKER_BYTES: usize = 1024;

/// What is in use. Workers wait minutes for more work, so there are as many as items ever slept at
/// once: they are counted apart.
#[derive(Clone, Copy, Debug)]
struct Use {
    heap_bytes: usize,
    workers: usize,
    other_threads: usize,
}

impl Use {
    fn now() -> Self {
        let mut workers = 0;
        // The one worker of a BH pool is no thread.
        kernel::wq::for_each_pool(|p| {
            workers += if p.kind == "thread" {
                p.workers.total as usize
            } else {
                0
            };
        });
        Self {
            heap_bytes: mem::stats().heap_live_bytes,
            workers,
            other_threads: thread_count() - workers,
        }
    }
}

/// One life of the services in `mode`: start, wait for load, stop with clients in the middle of
/// their requests. Returns what is in use afterwards.
fn life(cx: &ThreadCx<'_>, mode: Mode) -> Use {
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
    Use::now()
}

fn services_stop_and_start_under_load(cx: &ThreadCx<'_>) {
    kernel::println!("SERVING");
    for mode in [Mode::Event, Mode::Blocking, Mode::Thread] {
        // The first life of a mode fills caches: workers, and tables that grew.
        let first = life(cx, mode);
        let (second, third) = (life(cx, mode), life(cx, mode));
        kernel::println!("{mode}: {first:?} {second:?} {third:?}");
        let workers = first.workers.max(second.workers);
        let heap = first.heap_bytes.max(second.heap_bytes)
            + third.workers.saturating_sub(workers) * WORKER_BYTES;
        assert!(
            third.heap_bytes <= heap + 4096,
            "{mode}: heap grows: {first:?} {second:?} {third:?}"
        );
        assert!(
            third.other_threads <= first.other_threads.max(second.other_threads) + 1,
            "{mode}: threads grow: {first:?} {second:?} {third:?}"
        );
    }
}
