//! The list of all threads that have not ended.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use links::{Direct, Handle, Linked, List, ListLinks};
use machine::CpuId;
use sync::{Rank, SpinLock};

use super::{Name, Nice, State, Thread, ThreadRef};
use crate::mem::Stack;
use crate::schedule;
use crate::waits::{self, Chain, SleepsIn};

/// A thread's place in the list; `[L]` of the table.
pub(crate) struct TableNode {
    links: ListLinks<Self>,
}

impl TableNode {
    pub(crate) const fn new() -> Self {
        Self {
            links: ListLinks::new(),
        }
    }
}

impl Linked for TableNode {
    fn list_links(&self) -> &ListLinks<Self> {
        &self.links
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self> {
        &mut self.links
    }
}

struct Inner {
    list: List<TableNode>,
    arena: Direct<TableNode>,
}

/// All threads.
pub(crate) struct ThreadTable {
    inner: SpinLock<Inner>,
    count: AtomicUsize,
    next_id: AtomicU32,
    quarantined: AtomicU64,
}

impl fmt::Debug for ThreadTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadTable")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// What one thread looked like.
#[derive(Clone, Debug)]
pub struct ThreadInfo {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: Name,
    /// Its state.
    pub state: State,
    /// Core that owns it.
    pub cpu: CpuId,
    /// CPU time up to its last switch.
    pub cpu_ns: u64,
    /// Its own nice level.
    pub nice: Nice,
    /// The nice level that counts: its own, or a lower one that is lent to it.
    pub effective_nice: Nice,
    /// Virtual runtime in nanoseconds of a thread of nice 0: CPU time divided by weight, plus placements. It
    /// wraps, soon after boot for the first time: compare differences, and within one core only.
    pub vruntime: u64,
    /// What it should have received minus what it did, in nanoseconds of CPU time, as of its runqueue's last
    /// charge; while it sleeps what it owes still, 0 or less.
    pub lag_ns: i64,
    /// What it sleeps in, unless it runs or waits for its core.
    pub sleeps_in: SleepsIn,
    /// It executes work items.
    pub is_worker: bool,
    /// Size of its stack.
    pub stack_bytes: usize,
    /// Most bytes of its stack that were in use; `None` without the boot argument `stack_marks`.
    pub stack_mark: Option<usize>,
}

impl ThreadInfo {
    fn of(t: &Thread) -> Self {
        let (vruntime, lag_ns) = schedule::account_of(t);
        let state = t.state();
        let (nice, effective_nice) = t.nices();
        Self {
            id: t.id(),
            name: t.name.clone(),
            state,
            cpu: t.cpu(),
            cpu_ns: t.cpu_time_ns(),
            nice,
            effective_nice,
            vruntime,
            lag_ns,
            sleeps_in: match state {
                State::Sleeping => t.sleeps_in.get(),
                _ => SleepsIn::Nothing,
            },
            is_worker: crate::wq::is_worker(t),
            stack_bytes: t.stack.as_ref().map_or(0, |s| s.high() - s.low()),
            stack_mark: t.stack.as_ref().and_then(Stack::mark),
        }
    }
}

/// Threads that one look at the list takes along.
const BATCH: usize = 16;

impl ThreadTable {
    #[expect(unsafe_code, reason = "nodes are inside threads")]
    pub(crate) const fn new() -> Self {
        // SAFETY: a node is reached only under this lock, between `add` and `remove`, during which
        // the scheduler's reference keeps its thread alive.
        let arena = unsafe { Direct::new() };
        Self {
            inner: SpinLock::new(
                Rank::ThreadList,
                "thread list",
                Inner {
                    list: List::new(),
                    arena,
                },
            ),
            count: AtomicUsize::new(0),
            next_id: AtomicU32::new(1),
            quarantined: AtomicU64::new(0),
        }
    }

    pub(crate) fn next_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn add(&self, t: &ThreadRef) {
        let mut inner = self.inner.lock();
        let Inner { list, arena } = &mut *inner;
        list.push_back(arena, handle(t));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, t: &Thread) {
        let mut inner = self.inner.lock();
        let Inner { list, arena } = &mut *inner;
        list.remove(arena, handle(t));
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn count_quarantined(&self, bytes: usize) {
        self.quarantined.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn quarantined_bytes(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Calls `f` for every thread that `wanted` wants, without the list's lock. Threads that are
    /// added meanwhile may be left out.
    #[expect(unsafe_code, reason = "references to listed threads")]
    pub(crate) fn for_each_of(&self, wanted: impl Fn(&Thread) -> bool, f: impl Fn(&Thread)) {
        let mut last = 0;
        loop {
            let mut next: Option<&Thread> = None;
            let inner = self.inner.lock();
            for t in inner.list.iter(&inner.arena).map(thread_of) {
                if t.id() > last && next.is_none_or(|n| t.id() < n.id()) && wanted(t) {
                    next = Some(t);
                }
            }
            let Some(t) = next else { return };
            // SAFETY: threads are `Arc`s, and a listed one is kept alive by the scheduler.
            unsafe { Arc::increment_strong_count(t) };
            drop(inner);
            // SAFETY: the count just taken.
            let t = unsafe { Arc::from_raw(core::ptr::from_ref(t)) };
            last = t.id();
            f(&t);
        }
    }

    /// The threads with the lowest numbers above `last`, in that order.
    #[expect(unsafe_code, reason = "references to listed threads")]
    fn above(&self, last: u32) -> heapless::Vec<ThreadRef, BATCH> {
        let mut found = heapless::Vec::<&Thread, BATCH>::new();
        let inner = self.inner.lock();
        for t in inner.list.iter(&inner.arena).map(thread_of) {
            if t.id() <= last {
                continue;
            }
            let at = found.partition_point(|f| f.id() < t.id());
            if found.is_full() && at < BATCH {
                found.pop();
            }
            // One with a higher number than all of a full batch comes with the next.
            let _later = found.insert(at.min(found.len()), t).is_err();
        }
        let taken = found.iter().map(|&t| {
            // SAFETY: threads are `Arc`s, and a listed one is kept alive by the scheduler.
            unsafe { ThreadRef::increment_strong_count(t) };
            // SAFETY: the count just taken.
            unsafe { ThreadRef::from_raw(t) }
        });
        taken.collect()
    }

    /// Calls `f` for every thread in the order of their numbers, without the list's lock. Threads that are
    /// made meanwhile may be left out. Thread context: the last reference to a thread may be given up.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&ThreadRef)) {
        let mut last = 0;
        loop {
            let batch = self.above(last);
            let Some(end) = batch.last() else { return };
            last = end.id();
            batch.iter().for_each(&mut f);
        }
    }

    /// Thread number `id`.
    pub(crate) fn find(&self, id: u32) -> Option<ThreadRef> {
        let t = self.above(id.checked_sub(1)?).first()?.clone();
        (t.id() == id).then_some(t)
    }

    /// Calls `f` for every thread, under the list's lock; false if that is taken.
    pub(crate) fn try_for_each(&self, mut f: impl FnMut(&Thread)) -> bool {
        let Some(inner) = self.inner.try_lock() else {
            return false;
        };
        for h in inner.list.iter(&inner.arena) {
            f(thread_of(h));
        }
        true
    }
}

fn handle(t: &Thread) -> Handle<TableNode> {
    core::ptr::from_ref(t).expose_provenance();
    Handle::of(t.table_node.get())
}

#[expect(unsafe_code, reason = "container_of")]
fn thread_of<'a>(h: Handle<TableNode>) -> &'a Thread {
    let offset = core::mem::offset_of!(Thread, table_node);
    let p = core::ptr::with_exposed_provenance::<u8>(h.raw() - offset);
    // SAFETY: the handle was made by `handle` of a thread that is alive while listed.
    unsafe { &*p.cast::<Thread>() }
}

/// A description of every thread that has not ended, in the order of their numbers, through `f`, which is
/// called without a lock. Threads that are made meanwhile may be left out. Thread context.
pub fn for_each_thread(mut f: impl FnMut(ThreadInfo)) {
    crate::kernel().threads.for_each(|t| f(ThreadInfo::of(t)));
}

/// Thread number `id`, unless it has ended. Thread context.
#[must_use]
pub fn find(id: u32) -> Option<ThreadRef> {
    crate::kernel().threads.find(id)
}

/// For whom thread `t` waits, and for whom that one waits, in words, as far as that is known: of waits that
/// are in no graph only the kind. Empty if the graph is in use at this moment. Thread context.
#[must_use]
pub fn waits_for(t: &ThreadRef) -> Chain {
    let mut chain = Chain::new();
    waits::try_tell(&mut chain, |_| Some(waits::Someone::of(t, None)));
    chain
}

/// Number of threads that have not ended.
#[must_use]
pub fn thread_count() -> usize {
    crate::kernel().threads.count()
}

/// Stack bytes lost to threads that died in a panic.
#[must_use]
pub fn quarantined_stack_bytes() -> u64 {
    crate::kernel().threads.quarantined_bytes()
}
