//! What the workqueue tests share: times, cores, gates, a look at a pool.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::completion::Completion;
use kernel::cpu::{CpuMask, online};
use kernel::mem;
use kernel::thread::{self, Builder, ThreadCx, ThreadRef};
use kernel::wq::{self, PoolInfo, Run, Work};
use machine::{CpuId, Duration, now};

/// Longest time anything here may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) fn cores() -> usize {
    online().count()
}

/// The running core; stale unless the thread cannot migrate.
pub(super) fn here() -> CpuId {
    kernel::cpu::this_cpu().id()
}

/// Sleeps until `f` holds; panics naming `what` if that takes too long.
pub(super) fn eventually(cx: &ThreadCx<'_>, what: &str, mut f: impl FnMut() -> bool) {
    let began = now();
    while !f() {
        assert!(now().since(began) < PATIENCE, "{what} never happened");
        thread::sleep(cx, us(200));
    }
}

/// Starts a thread on core `cpu`.
pub(super) fn on_core<F>(cpu: CpuId, body: F) -> ThreadRef
where
    F: FnOnce(&ThreadCx<'_>) + Send + 'static,
{
    let builder = Builder::new("helper").affinity(CpuMask::single(cpu));
    builder.spawn(body).expect("memory for a thread")
}

/// Runs `body` with its number on as many threads as there are cores, one on each, and waits.
pub(super) fn on_every_core<F>(cx: &ThreadCx<'_>, body: F)
where
    F: Fn(&ThreadCx<'_>, usize) + Send + Sync + 'static,
{
    let body = Arc::new(body);
    let start = |cpu: CpuId| {
        let body = Arc::clone(&body);
        on_core(cpu, move |cx| body(cx, cpu.index()))
    };
    let threads: Vec<_> = online().iter().map(start).collect();
    threads.iter().for_each(|t| t.join(cx));
}

/// Items that count themselves and wait at a gate.
pub(super) struct Gated {
    gate: Completion,
    started: AtomicUsize,
}

/// An item that waits at a gate.
pub(super) type GatedWork = Arc<Work<Arc<Gated>>>;

impl Gated {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Completion::new(),
            started: AtomicUsize::new(0),
        })
    }

    pub(super) fn items(self: &Arc<Self>, n: usize) -> Vec<GatedWork> {
        let wait = |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Self>>| {
            run.started.fetch_add(1, Ordering::Relaxed);
            run.gate.wait(cx);
        };
        (0..n)
            .map(|_| Arc::new(<Work<_>>::new(Arc::clone(self), wait)))
            .collect()
    }

    pub(super) fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) {
        self.gate.complete_all();
    }
}

/// The per-CPU pool of core `cpu`.
pub(super) fn pool_of(cpu: CpuId, highpri: bool) -> PoolInfo {
    let mut found = None;
    wq::for_each_pool(|p| {
        if p.cpu == Some(cpu) && p.kind == "thread" && (p.nice < 0) == highpri {
            found = Some(p);
        }
    });
    found.expect("every core has this pool")
}

/// No memory is left for a thread.
pub(super) struct Famine {
    hoards: [Vec<Vec<u8>>; 3],
    threads: Vec<ThreadRef>,
    stop: Arc<AtomicBool>,
}

impl Famine {
    pub(super) fn begin() -> Self {
        let hoard = |bytes: usize| -> Vec<Vec<u8>> {
            let mut pieces = mem::try_vec_with_capacity(8 << 10).unwrap_or_default();
            while pieces.len() < pieces.capacity() {
                match mem::try_vec_with_capacity(bytes) {
                    Ok(piece) => pieces.push(piece),
                    Err(_) => break,
                }
            }
            pieces
        };
        // Cached stacks serve new workers without memory; so keep threads until there are no more.
        let stop = Arc::new(AtomicBool::new(false));
        let hoards = [hoard(1 << 20), hoard(16 << 10), hoard(1 << 10)];
        let mut threads = Vec::new();
        loop {
            let stop = Arc::clone(&stop);
            let body = move |cx: &ThreadCx<'_>| {
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(cx, ms(20));
                }
            };
            match Builder::new("hoarder").spawn(body) {
                Ok(t) if threads.try_reserve(1).is_ok() => threads.push(t),
                _ => break,
            }
        }
        Self {
            hoards,
            threads,
            stop,
        }
    }

    pub(super) fn end(self, cx: &ThreadCx<'_>) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.hoards);
        self.threads.iter().for_each(|t| t.join(cx));
    }
}
