//! The list of all threads that have not ended.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use links::{Direct, Handle, Linked, List, ListLinks};
use machine::CpuId;
use sync::{Rank, SpinLock};

use super::{Name, Nice, State, Thread, ThreadRef};

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
}

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

    /// Calls `f` for every thread, under the list's lock.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Thread)) {
        let inner = self.inner.lock();
        for h in inner.list.iter(&inner.arena) {
            f(thread_of(h));
        }
    }

    /// As [`Self::for_each`], unless the list is locked: then false.
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

/// A description of every thread that has not ended, in order of creation, through `f`; called
/// under the list's lock, so `f` copies and does nothing else.
pub fn for_each_thread(mut f: impl FnMut(ThreadInfo)) {
    crate::kernel().threads.for_each(|t| {
        f(ThreadInfo {
            id: t.id(),
            name: t.name.clone(),
            state: t.state(),
            cpu: t.cpu(),
            cpu_ns: t.cpu_time_ns(),
            nice: t.nice(),
            effective_nice: t.effective_nice(),
        });
    });
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
