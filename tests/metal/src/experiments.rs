//! The problems that concurrency management solved, and its price, as experiments (X1-X3, X6).
//!
//! Boot argument `experiment=NAME`; `cargo xtask experiment NAME` gives it and draws what comes. One line
//! for each figure: `ROW series|x|unit|value`. Nothing here passes or fails.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kernel::cpu::online;
use kernel::mem;
use kernel::thread::{self, Builder, Nice, ThreadCx};
use kernel::wq::{self, Backend, PerCpu, Run, Unbound, Work, Workqueue};
use machine::{CpuId, Duration, Instant, now};

const BACKENDS: [Backend; 3] = [
    Backend::SingleThreaded,
    Backend::MultiThreaded,
    Backend::ConcurrencyManaged,
];

/// Runs the experiment of this name; false if there is none.
pub(crate) fn run(cx: &ThreadCx<'_>, name: &str) -> bool {
    match name {
        "thread-explosion" => thread_explosion(cx),
        "head-of-line" => head_of_line(cx),
        "concurrency" => concurrency(cx),
        "cpu-hog" => cpu_hog(cx),
        "priority" => priority(cx),
        _ => return false,
    }
    kernel::println!("EXPERIMENT DONE");
    true
}

fn row(series: &str, x: impl core::fmt::Display, unit: &str, value: u64) {
    kernel::println!("ROW {series}|{x}|{unit}|{value}");
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn burn(d: Duration) {
    let end = now() + d;
    while now() < end {}
}

fn queue(backend: Backend, max_active: u32) -> Workqueue<PerCpu> {
    let b = Workqueue::builder("experiment").backend(backend);
    b.max_active(max_active)
        .build()
        .expect("memory for a queue")
}

/// X1: idle queues.
fn thread_explosion(cx: &ThreadCx<'_>) {
    for backend in BACKENDS {
        for n in [1, 10, 100, 300, 1_000] {
            // What ended before is gone.
            thread::sleep(cx, ms(100));
            let threads = thread::thread_count();
            let bytes = mem::stats().used_bytes();
            let mut queues = Vec::with_capacity(n);
            let begin = now();
            queues.extend((0..n).map(|_| queue(backend, 0)));
            let took = now().since(begin);
            row(
                backend.name(),
                n,
                "threads",
                (thread::thread_count() - threads) as u64,
            );
            let kib = mem::stats().used_bytes().saturating_sub(bytes) / 1024;
            row(backend.name(), n, "KiB", kib as u64);
            row(backend.name(), n, "us to make", took.as_micros());
            for q in queues {
                q.destroy(cx).expect("not one of its items");
            }
        }
    }
}

/// X2: items that sleep for a second each, on all cores.
fn concurrency(cx: &ThreadCx<'_>) {
    const ITEMS: u64 = 32;
    let cores = online().count();
    for (backend, limit, series) in [
        (Backend::SingleThreaded, 1_024, "st"),
        (Backend::MultiThreaded, 1_024, "mt"),
        (Backend::ConcurrencyManaged, 1, "cmwq, max_active 1"),
        (Backend::ConcurrencyManaged, 4, "cmwq, max_active 4"),
        (Backend::ConcurrencyManaged, 1_024, "cmwq, max_active 1024"),
    ] {
        let wq = queue(backend, limit);
        let begin = now();
        for n in 0..ITEMS as usize {
            let item = <Work<_>>::new((), |cx: &ThreadCx<'_>, _| thread::sleep(cx, ms(1_000)));
            let _queued = wq.queue_on(CpuId::new(n % cores), &Arc::new(item));
        }
        wq.flush(cx).expect("not one of its items");
        let took = now().since(begin).as_micros();
        row(
            series,
            cores,
            "items per 1000 s",
            ITEMS * 1_000_000_000 / took,
        );
        wq.destroy(cx).expect("not one of its items");
    }
}

/// When an item was queued and began, in ns.
#[derive(Default)]
struct Wait {
    queued: AtomicU64,
    began: AtomicU64,
}

type Short = Arc<Work<Wait>>;

/// An item that notes when it begins, and computes for 10 us.
fn short() -> Short {
    Arc::new(<Work<_>>::new(Wait::default(), |_, run: &Run<'_, Wait>| {
        run.began.store(now().as_nanos(), Ordering::Relaxed);
        burn(Duration::from_micros(10));
    }))
}

fn stamp(item: &Short) {
    item.queued.store(now().as_nanos(), Ordering::Relaxed);
}

/// Median, 99th of a hundred, and longest wait.
fn tell_waits(series: &str, x: &str, items: &[Short]) {
    let wait = |i: &Short| {
        let at = |a: &AtomicU64| Instant::from_nanos(a.load(Ordering::Relaxed));
        at(&i.began).since(at(&i.queued)).as_micros()
    };
    let mut all: Vec<u64> = items.iter().map(wait).collect();
    all.sort_unstable();
    let at = |percent: usize| all[(all.len() * percent).div_ceil(100).max(1) - 1];
    row(series, x, "us p50", at(50));
    row(series, x, "us p99", at(99));
    row(series, x, "us max", at(100));
}

/// X3: the classic three items, and 99 short ones behind one that sleeps.
fn head_of_line(cx: &ThreadCx<'_>) {
    fn play(cx: &ThreadCx<'_>, run: &Run<'_, bool>) {
        burn(ms(5));
        thread::sleep(cx, ms(10));
        if **run {
            burn(ms(5));
        }
    }
    for (backend, limit, series) in [
        (Backend::SingleThreaded, 3, "st"),
        (Backend::MultiThreaded, 3, "mt"),
        (Backend::ConcurrencyManaged, 1, "cmwq, max_active 1"),
        (Backend::ConcurrencyManaged, 2, "cmwq, max_active 2"),
        (Backend::ConcurrencyManaged, 3, "cmwq, max_active 3"),
    ] {
        let wq = queue(backend, limit);
        let begin = now();
        for again in [true, false, false] {
            let _queued = wq.queue(&Arc::new(<Work<_>>::new(again, play)));
        }
        wq.flush(cx).expect("not one of its items");
        row(series, "three items", "us", now().since(begin).as_micros());
        wq.destroy(cx).expect("not one of its items");
    }
    for backend in BACKENDS {
        let wq = queue(backend, 0);
        let sleeper = <Work<_>>::new((), |cx: &ThreadCx<'_>, _| thread::sleep(cx, ms(100)));
        let items: Vec<_> = (0..99).map(|_| short()).collect();
        let _queued = wq.queue(&Arc::new(sleeper));
        for item in &items {
            stamp(item);
            let _queued = wq.queue(item);
        }
        wq.flush(cx).expect("not one of its items");
        tell_waits(backend.name(), "behind a sleeper", &items);
        wq.destroy(cx).expect("not one of its items");
    }
}

/// X6: a hog computes for 100 ms, and on another queue of its core a short item comes each millisecond.
fn cpu_hog(cx: &ThreadCx<'_>) {
    let never = Duration::ZERO;
    let hog = || Arc::new(<Work<_>>::new((), |_, _| burn(ms(100))));
    for (backend, threshold, series) in [
        (Backend::SingleThreaded, never, "st"),
        (Backend::MultiThreaded, never, "mt"),
        (Backend::ConcurrencyManaged, never, "cmwq, no detection"),
        (
            Backend::ConcurrencyManaged,
            ms(10),
            "cmwq, detection at 10 ms",
        ),
    ] {
        wq::set_cpu_intensive_threshold(threshold);
        let first = queue(backend, 0);
        with_shorts(cx, series, backend, || {
            let _queued = first.queue(&hog());
        });
        first.destroy(cx).expect("not one of its items");
    }
    wq::set_cpu_intensive_threshold(never);
    let heavy = Workqueue::<PerCpu>::builder("heavy").cpu_intensive();
    let heavy = heavy.build().expect("memory for a queue");
    with_shorts(
        cx,
        "cmwq, hog cpu_intensive",
        Backend::ConcurrencyManaged,
        || {
            let _queued = heavy.queue(&hog());
        },
    );
    let free = Workqueue::<Unbound>::builder("free").build();
    let free = free.expect("memory for a queue");
    with_shorts(cx, "cmwq, hog unbound", Backend::ConcurrencyManaged, || {
        let _queued = free.queue(&hog());
    });
}

/// Begins by `hog`, then queues a short item each millisecond from a thread that nothing holds up.
fn with_shorts(cx: &ThreadCx<'_>, series: &str, backend: Backend, hog: impl FnOnce()) {
    let wq = queue(backend, 0);
    let items: Vec<_> = (0..100).map(|_| short()).collect();
    let (theirs, second) = (items.clone(), wq.clone());
    hog();
    let feeder = Builder::new("feeder").nice(Nice::MIN).spawn(move |cx| {
        for item in &theirs {
            stamp(item);
            let _queued = second.queue(item);
            thread::sleep(cx, ms(1));
        }
    });
    feeder.expect("memory for a thread").join(cx);
    wq.flush(cx).expect("not one of its items");
    // The hog is over by then.
    thread::sleep(cx, ms(300));
    tell_waits(series, "beside a hog", &items);
    wq.destroy(cx).expect("not one of its items");
}

/// A hog of one second that queues itself again: the core's time it had, in ns.
struct Greedy {
    wq: Workqueue<PerCpu>,
    had: AtomicU64,
    stop: AtomicBool,
}

impl Greedy {
    /// Longest step between two looks at the clock that was not another thread's, in ns.
    const STEP: u64 = 20_000;

    fn run(_: &ThreadCx<'_>, run: &Run<'_, Self>) {
        let (mut last, mut had) = (now(), 0);
        while had < 1_000_000_000 && !run.stop.load(Ordering::Relaxed) {
            let at = now();
            let step = at.since(last).as_nanos();
            if step < Self::STEP {
                had += step;
                run.had.fetch_add(step, Ordering::Relaxed);
            }
            last = at;
        }
        if !run.stop.load(Ordering::Relaxed) {
            let _queued = run.wq.queue(run);
        }
    }
}

/// A normal and a highpri queue on one core, for 20 s.
fn priority(cx: &ThreadCx<'_>) {
    let of = |highpri| {
        let b = Workqueue::<PerCpu>::builder("greedy").backend(Backend::ConcurrencyManaged);
        let b = if highpri { b.highpri() } else { b };
        let wq = b.build().expect("memory for a queue");
        let greedy = Greedy {
            wq,
            had: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        };
        Arc::new(<Work<_>>::new(greedy, Greedy::run))
    };
    let both = [of(false), of(true)];
    for item in &both {
        let _queued = item.wq.queue(item);
    }
    thread::sleep(cx, Duration::from_secs(20));
    let [normal, high] = both.each_ref().map(|i| i.had.load(Ordering::Relaxed));
    for item in &both {
        item.stop.store(true, Ordering::Relaxed);
    }
    row("cmwq", "normal", "ms of 20 s", normal / 1_000_000);
    row("cmwq", "highpri", "ms of 20 s", high / 1_000_000);
    row("cmwq", "ratio", "hundredths", high * 100 / normal.max(1));
    for item in &both {
        item.wq.clone().destroy(cx).expect("not one of its items");
    }
}
