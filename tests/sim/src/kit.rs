//! What scenarios are written with: threads, counts, choices, and ways to let time pass.
//!
//! A scenario draws its choices from [`pick`] and [`one_in`] only, so that a run stays a function of
//! its seed. Host atomics and host locks are no interleaving points; a [`Count`] is therefore exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::thread::{Builder, SpawnError, ThreadCx, ThreadRef, sleep, yield_now};
use kernel::wq::{DelayedWork, Handler, Softirq, Threaded, Work};
use machine::{CpuId, Duration, now};
use sim::Kinds;

/// Longest that [`until`] waits for anything, in virtual time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Faults that a scenario endures if it takes no exact times: delays, and want of memory for a while,
/// since it makes its threads and queues by [`crowd`] and [`insist`].
pub const HARDY: Kinds = Kinds::DELAYS.or(Kinds::MEMORY);

/// `n` microseconds.
#[must_use]
pub const fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

/// `n` milliseconds.
#[must_use]
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// How many cores the world has.
#[must_use]
pub fn cpus() -> usize {
    kernel::cpu::online().count()
}

/// Core `n`, counted round.
#[must_use]
pub fn core(n: usize) -> CpuId {
    CpuId::new(n % cpus())
}

/// Any core.
#[must_use]
pub fn some_core() -> CpuId {
    core(pick(cpus()))
}

/// The running core; stale unless the thread cannot migrate.
#[must_use]
pub fn here() -> CpuId {
    kernel::cpu::this_cpu().id()
}

/// A number below `n` from the world's seed.
#[must_use]
pub fn pick(n: usize) -> usize {
    (machine::entropy() % n as u64) as usize
}

/// True once in `n` times.
#[must_use]
pub fn one_in(n: usize) -> bool {
    pick(n) == 0
}

/// Computes for `d`. (Not by `relax`: to the simulator that means "nothing to do".)
pub fn burn(d: Duration) {
    let end = now() + d;
    while now() < end {}
}

/// Computes a little, at any point of which another core or an interrupt may come in.
pub fn linger() {
    (0..pick(12)).for_each(|_| machine::sync_point());
}

/// Lets time pass one way or another: at once, in a yield, asleep, computing.
pub fn dawdle(cx: &ThreadCx<'_>) {
    match pick(5) {
        0 => {}
        1 => yield_now(cx),
        2 => sleep(cx, us(1 + pick(20) as u64)),
        _ => linger(),
    }
}

/// Sleeps until `condition` holds, for events that come without a wake-up.
///
/// # Panics
///
/// When it does not hold for five minutes of virtual time: what it waits for is lost.
#[track_caller]
pub fn until(cx: &ThreadCx<'_>, condition: impl Fn() -> bool) {
    let begin = now();
    let mut pause = us(5);
    while !condition() {
        assert!(now().since(begin) < PATIENCE, "it never happens");
        sleep(cx, pause);
        pause = (pause + pause).min(ms(20));
    }
}

/// A number that threads, handlers and interrupts count up.
#[derive(Debug, Default)]
pub struct Count(AtomicUsize);

impl Count {
    /// `n`.
    #[must_use]
    pub const fn new(n: usize) -> Self {
        Self(AtomicUsize::new(n))
    }

    /// One more. What it was before.
    pub fn up(&self) -> usize {
        self.add(1)
    }

    /// One less. What it was before.
    pub fn down(&self) -> usize {
        self.0.fetch_sub(1, Ordering::SeqCst)
    }

    /// `n` more. What it was before.
    pub fn add(&self, n: usize) -> usize {
        self.0.fetch_add(n, Ordering::SeqCst)
    }

    /// One more if `yes`.
    pub fn up_if(&self, yes: bool) {
        self.add(usize::from(yes));
    }

    /// The number.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Takes everything.
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }

    /// Makes it `n`.
    pub fn set(&self, n: usize) {
        self.0.store(n, Ordering::SeqCst);
    }
}

/// An idle item whose handler runs in a worker thread.
pub fn new_item<T: Send + Sync + 'static>(data: T, handler: Handler<T, Threaded>) -> Arc<Work<T>> {
    Arc::new(Work::<T, Threaded>::new(data, handler))
}

/// An idle item whose handler runs in BH context.
pub fn new_bh_item<T: Send + Sync + 'static>(
    data: T,
    handler: Handler<T, Softirq>,
) -> Arc<Work<T, Softirq>> {
    Arc::new(Work::<T, Softirq>::new(data, handler))
}

/// As [`new_item`], with a timer.
pub fn new_delayed<T: Send + Sync + 'static>(
    data: T,
    handler: Handler<T, Threaded>,
) -> Arc<DelayedWork<T>> {
    Arc::new(DelayedWork::<T, Threaded>::new(data, handler))
}

/// As [`new_bh_item`], with a timer.
pub fn new_delayed_bh<T: Send + Sync + 'static>(
    data: T,
    handler: Handler<T, Softirq>,
) -> Arc<DelayedWork<T, Softirq>> {
    Arc::new(DelayedWork::<T, Softirq>::new(data, handler))
}

/// What `f` makes, tried again while there is no memory for it.
///
/// # Panics
///
/// When there never is.
#[track_caller]
pub fn insist<T, E>(mut f: impl FnMut() -> Result<T, E>) -> T {
    // A workqueue with a thread per core may need all the luck of some hundred tries.
    for _ in 0..20_000 {
        if let Ok(made) = f() {
            return made;
        }
        machine::sync_point();
    }
    panic!("there is never enough memory")
}

/// Starts `n` threads that run `body` with their number.
pub fn crowd<F>(n: usize, body: F) -> Vec<ThreadRef>
where
    F: Fn(&ThreadCx<'_>, usize) + Send + Sync + 'static,
{
    let body = Arc::new(body);
    (0..n).map(|i| insist(|| spawn(i, &body))).collect()
}

/// As [`crowd`], with as many threads as there is memory for.
pub fn volunteers<F>(n: usize, body: F) -> Vec<ThreadRef>
where
    F: Fn(&ThreadCx<'_>, usize) + Send + Sync + 'static,
{
    let body = Arc::new(body);
    (0..n).filter_map(|i| spawn(i, &body).ok()).collect()
}

fn spawn<F>(i: usize, body: &Arc<F>) -> Result<ThreadRef, SpawnError>
where
    F: Fn(&ThreadCx<'_>, usize) + Send + Sync + 'static,
{
    let body = Arc::clone(body);
    Builder::new(&format!("t{i}")).spawn(move |cx: &ThreadCx<'_>| body(cx, i))
}

/// Waits for all of `threads`.
pub fn join(cx: &ThreadCx<'_>, threads: &[ThreadRef]) {
    threads.iter().for_each(|t| t.join(cx));
}
