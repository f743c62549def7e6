//! What the workqueue tests share: times, cores, gates, a look at a pool.

use core::sync::atomic::{AtomicUsize, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::completion::Completion;
use kernel::cpu::{CpuMask, online};
use kernel::mem::{self, Stack};
use kernel::mutex::Mutex;
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

/// No memory is left for a thread, on any core.
pub(super) struct Famine {
    hoards: Arc<Vec<Mutex<[Pieces; 3]>>>,
    stacks: Vec<Stack>,
}

type Pieces = Vec<Vec<u8>>;

/// Sizes of hoarded pieces, large ones first.
const SIZES: [usize; 3] = [1 << 20, 16 << 10, 1 << 10];

/// Takes memory until there is no more, or no place to note it.
fn hoard(pieces: &mut Pieces, bytes: usize) {
    while pieces.len() < pieces.capacity() {
        match mem::try_vec_with_capacity(bytes) {
            Ok(piece) => pieces.push(piece),
            Err(_) => break,
        }
    }
}

impl Famine {
    /// Every core has free blocks of its own, so each hoards. Whoever hoards needs a thread, whose
    /// stack is free afterwards and would serve a worker: so stacks are hoarded last.
    pub(super) fn begin(cx: &ThreadCx<'_>) -> Self {
        const QUIET: u32 = 20;
        let room = || SIZES.map(|_| Vec::with_capacity(8 << 10));
        let hoards: Vec<_> = (0..cores()).map(|_| Mutex::new(room())).collect();
        let hoards = Arc::new(hoards);
        let mut stacks = Vec::with_capacity(4 << 10);
        let mine = Arc::clone(&hoards);
        let begun = AtomicUsize::new(0);
        on_every_core(cx, move |cx, n| {
            // Nobody hoards before everybody has a thread.
            begun.fetch_add(1, Ordering::Relaxed);
            eventually(cx, "the other cores", || {
                begun.load(Ordering::Relaxed) == cores()
            });
            let mut pieces = mine[n].lock(cx).expect("nobody panics with it");
            for (pieces, bytes) in pieces.iter_mut().zip(SIZES) {
                hoard(pieces, bytes);
            }
        });
        let stack_bytes = kernel::kernel().info().stack_bytes;
        let mut quiet = 0;
        while quiet < QUIET {
            quiet += 1;
            while stacks.len() < stacks.capacity()
                && let Some(stack) = Stack::alloc(stack_bytes)
            {
                stacks.push(stack);
                quiet = 0;
            }
            // The helpers' last memory comes back a little after they ended.
            thread::sleep(cx, us(200));
        }
        assert!(stacks.len() < stacks.capacity(), "memory is left");
        let cached = mem::stats().stack_cached_bytes;
        assert_eq!(
            cached, 0,
            "a cached stack serves a new worker without memory"
        );
        Self { hoards, stacks }
    }

    pub(super) fn end(self) {
        drop(self.stacks);
        drop(self.hoards);
    }
}
