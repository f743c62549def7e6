//! 20: preemption, shares, placement.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::cpu::{CpuMask, online};
use kernel::thread::{self, Builder, Nice, ThreadCx};
use kernel::timer::Timer;
use machine::{CpuId, Duration, now};

use super::work_kit::on_core;
use crate::ktest;
use crate::registry::Needs;

ktest!("20_preempt_spinning_thread", preempt_spinning_thread);
ktest!(
    "21_park_takes_an_earlier_unpark",
    park_takes_an_earlier_unpark
);
ktest!(
    "22_two_equal_threads_share_one_core",
    two_equal_threads_share_one_core,
    Needs::new().icount()
);
ktest!(
    "23_shares_follow_nice",
    shares_follow_nice,
    Needs::new().icount()
);
ktest!(
    "24_no_core_idles_beside_a_queue",
    no_core_idles_beside_a_queue,
    Needs::new().cpus(2)
);
ktest!("25_copies_survive_preemption", copies_survive_preemption);
ktest!("26_threads_come_and_go", threads_come_and_go);

const CORE_0: CpuMask = CpuMask::single(CpuId::BOOT);

fn preempt_spinning_thread(cx: &ThreadCx<'_>) {
    let stop = Arc::new(AtomicBool::new(false));
    let spinners: Vec<_> = online()
        .iter()
        .map(|id| {
            let stop = Arc::clone(&stop);
            let body = move |_: &ThreadCx<'_>| {
                // Never yields: only a timer interrupt takes the core away from it.
                while !stop.load(Ordering::Relaxed) {
                    machine::relax();
                }
            };
            Builder::new("spinner")
                .affinity(CpuMask::single(id))
                .spawn(body)
                .expect("a thread")
        })
        .collect();
    for _ in 0..5 {
        thread::sleep(cx, Duration::from_millis(2));
        thread::yield_now(cx);
    }
    stop.store(true, Ordering::Relaxed);
    spinners.iter().for_each(|s| s.join(cx));
}

fn park_takes_an_earlier_unpark(cx: &ThreadCx<'_>) {
    thread::current().unpark();
    thread::park(cx);
    let sleeper = Builder::new("sleeper")
        .spawn(thread::park)
        .expect("a thread");
    thread::sleep(cx, Duration::from_millis(5));
    assert!(!sleeper.has_exited(), "it parked");
    sleeper.unpark();
    sleeper.join(cx);
}

/// CPU time threads of these nice levels get on core 0 within `ms`.
fn shares(cx: &ThreadCx<'_>, nice: &[i8], ms: u64) -> Vec<u64> {
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = nice
        .iter()
        .map(|&nice| {
            let stop = Arc::clone(&stop);
            let body = move |_: &ThreadCx<'_>| {
                while !stop.load(Ordering::Relaxed) {
                    // Computes rather than relaxes: under instruction counting every `yield`
                    // ends QEMU's turn, and half a second would take minutes.
                    (0..1_000).for_each(|i| _ = core::hint::black_box(i));
                }
            };
            let builder = Builder::new("burner").nice(Nice::new(nice).expect("a nice level"));
            builder.affinity(CORE_0).spawn(body).expect("a thread")
        })
        .collect();
    thread::sleep(cx, Duration::from_millis(ms));
    let times = threads.iter().map(|t| t.cpu_time_ns()).collect();
    stop.store(true, Ordering::Relaxed);
    threads.iter().for_each(|t| t.join(cx));
    times
}

/// The largest difference a slice can make, plus what the measuring thread takes.
const SLICE_NS: u64 = 4_000_000;

fn two_equal_threads_share_one_core(cx: &ThreadCx<'_>) {
    let times = shares(cx, &[0, 0], 200);
    assert!(times[0].abs_diff(times[1]) <= SLICE_NS, "{times:?}");
}

fn shares_follow_nice(cx: &ThreadCx<'_>) {
    // Linux's weights of nice -5, 0, 5.
    let weights = [3121_u64, 1024, 335];
    let times = shares(cx, &[-5, 0, 5], 400);
    let (time, weight) = (times.iter().sum::<u64>(), weights.iter().sum::<u64>());
    for (got, w) in times.iter().zip(weights) {
        let fair = time * w / weight;
        assert!(
            got.abs_diff(fair) <= SLICE_NS,
            "{times:?}: {got} instead of {fair}"
        );
    }
}

fn no_core_idles_beside_a_queue(cx: &ThreadCx<'_>) {
    // All start on core 0, may run anywhere, and each wants half a second of a core.
    let cores = online().count();
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..cores)
        .map(|_| {
            let stop = Arc::clone(&stop);
            let body = move |_: &ThreadCx<'_>| {
                while !stop.load(Ordering::Relaxed) {
                    machine::relax();
                }
            };
            let t = Builder::new("mover")
                .affinity(CORE_0)
                .spawn(body)
                .expect("a thread");
            t.set_affinity(CpuMask::ALL);
            t
        })
        .collect();
    let deadline = now() + Duration::from_millis(5_000);
    let spread = || -> usize {
        threads
            .iter()
            .fold(CpuMask::NONE, |mask, t| mask.with(t.cpu()))
            .count()
    };
    while spread() < cores && now() < deadline {
        thread::sleep(cx, Duration::from_millis(5));
    }
    let reached = spread();
    stop.store(true, Ordering::Relaxed);
    threads.iter().for_each(|t| t.join(cx));
    assert_eq!(reached, cores, "busy threads share cores while others idle");
}

/// Bytes of a copy: some turns of the loop, in which an interrupt finds it nearly always.
const COPIED: usize = 1024;

/// Copies, moves and fills with bytes that nobody else uses; each is looked at.
fn copy_about(mark: u8) {
    let source = core::hint::black_box([mark; COPIED]);
    let mut to = core::hint::black_box([0; COPIED]);
    to.copy_from_slice(&source);
    let copied = core::hint::black_box(&to).iter().all(|&b| b == mark);
    assert!(copied, "a copy of {mark:#x} has other bytes");
    let up = core::hint::black_box(100);
    to.copy_within(..COPIED - up, up);
    to.copy_within(up.., 0);
    let moved = core::hint::black_box(&to).iter().all(|&b| b == mark);
    assert!(moved, "a move of {mark:#x} has other bytes");
    to.fill(core::hint::black_box(!mark));
    let filled = core::hint::black_box(&to).iter().all(|&b| b == !mark);
    assert!(filled, "a fill with {:#x} has other bytes", !mark);
}

#[expect(unsafe_code, reason = "arming asks for a timer that stays alive")]
fn copies_survive_preemption(cx: &ThreadCx<'_>) {
    // Two threads take turns, and a timer's interrupt copies on top of either.
    const WANTED: u64 = 200;
    static ON_TOP: AtomicU64 = AtomicU64::new(0);
    static TIMER: Timer = Timer::new(|timer| {
        copy_about(0xa5);
        if ON_TOP.fetch_add(1, Ordering::Relaxed) < WANTED {
            // SAFETY: the timer is static.
            unsafe { timer.arm(now() + Duration::from_micros(60)) };
        }
    });
    // A host with other work is slow.
    let end = now() + Duration::from_secs(10);
    let go_on = move || ON_TOP.load(Ordering::Relaxed) < WANTED && now() < end;
    let run = |mark| {
        let body = move |_: &ThreadCx<'_>| {
            while go_on() {
                copy_about(mark);
            }
        };
        Builder::new("copier")
            .affinity(CORE_0)
            .spawn(body)
            .expect("a thread")
    };
    let copiers = [run(0x3c), run(0x17)];
    // SAFETY: as above.
    on_core(CpuId::BOOT, |_| unsafe { TIMER.arm(now()) }).join(cx);
    copiers.iter().for_each(|c| c.join(cx));
    TIMER.cancel_sync();
    let on_top = ON_TOP.load(Ordering::Relaxed);
    assert!(on_top >= WANTED, "only {on_top} interrupts copied");
}

fn threads_come_and_go(cx: &ThreadCx<'_>) {
    static DONE: AtomicU64 = AtomicU64::new(0);
    let body = |_: &ThreadCx<'_>| {
        DONE.fetch_add(1, Ordering::Relaxed);
    };
    let round = || {
        let all: Vec<_> = (0..50)
            .map(|_| Builder::new("short").spawn(body).expect("a thread"))
            .collect();
        all.iter().for_each(|t| t.join(cx));
    };
    round();
    let before = kernel::mem::stats().used_bytes();
    (0..10).for_each(|_| round());
    // The last threads' stacks are freed by whoever runs next on their core.
    thread::sleep(cx, Duration::from_millis(20));
    let grown = kernel::mem::stats().used_bytes().saturating_sub(before);
    assert_eq!(DONE.load(Ordering::Relaxed), 550);
    assert!(grown < 256 * 1024, "500 threads left {grown} bytes behind");
}
