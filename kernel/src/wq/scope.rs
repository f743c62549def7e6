//! Scopes: work items that borrow from their spawner's stack, and a call that waits for them.
//!
//! An item of a queue outlives whoever queues it, so its handler can borrow nothing. A scope turns that
//! round: [`Workqueue::scope`] returns when all that was spawned in it is over, so what it spawns may
//! borrow whatever outlives the call, also mutably. As in the standard library's scoped threads, two
//! lifetimes say so: `'scope` is the call, `'env` what is around it.
//!
//! # Why nothing is used after it is gone
//!
//! * The call waits, not the destructor of a value that could be forgotten. It waits until the pools'
//!   books are closed: a spawned item's submission holds a count on the scope (as that of other items
//!   holds one on their `Arc`), and whoever gives up the submission's count gives up that.
//! * The spawner may panic inside. There is no unwinding, so its stack stays as it is and is never used
//!   again. But it may run an item of another scope, and what it spawned may borrow from *that* scope's
//!   stack. So a dying thread waits for its open scopes before its own item is declared over
//!   (`joint::wait_for_open`).
//! * A spawned item may panic. Its worker dies; the count is given up when the pool has forgotten the
//!   worker (`Header::tell_panicked`), and the scope ends with an error.
//! * A [`Task`] is lent mutably for all of `'scope`: nobody can look at it, move it or spawn it again.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::sync::atomic::Ordering;

use machine::CpuId;

use super::errors::WaitError;
use super::handles::item_name;
use super::header::Header;
use super::item::Threaded;
use super::joint::{Joint, Open};
use super::queue::{Queue, Target};
use super::rescuer::{no_progress, promised, promises};
use super::submitted::Submitted;
use super::typed::{Kind, Workqueue};
use super::worker::current_worker;
use crate::schedule::might_sleep;
use crate::thread::{ThreadCx, current};
use crate::trace::{self, Head, emit};

pub use super::task::Task;

/// Why a scope did not do what it was asked to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScopeError {
    /// The caller is an item of this very queue, which runs one item at a time, has a rescuer, or threads of
    /// its own ([`Backend`](super::Backend)): what it spawns might not start before it ends. Nothing was
    /// called.
    SelfWait,
    /// The caller is an item of a queue with a rescuer, and this queue has none (H6). Nothing was called.
    NoProgress,
    /// So many spawned items panicked. All are over.
    Panicked(usize),
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SelfWait => f.write_str("an item cannot wait for others of its queue"),
            Self::NoProgress => WaitError::NoProgress.fmt(f),
            Self::Panicked(n) => write!(f, "{n} items of the scope panicked"),
        }
    }
}

impl core::error::Error for ScopeError {}

/// Why a task was not spawned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpawnError {
    /// The queue drains or is destroyed, and the caller is not one of its items.
    Draining,
    /// The task has run already: a function that is called once cannot be spawned twice.
    Spent,
    /// There is no memory for it.
    NoMemory,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Draining => "the queue drains",
            Self::Spent => "the task has run already",
            Self::NoMemory => "no memory for a task",
        })
    }
}

impl core::error::Error for SpawnError {}

/// Where items are spawned that may borrow what outlives `'scope`; see [`Workqueue::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    queue: Arc<Queue>,
    joint: Joint,
    /// Invariant: `'scope` can be neither shortened nor stretched.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.queue).finish()
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Queues `task` on this core (C1), or on the pool of its pod. Any context. Never allocates.
    ///
    /// # Errors
    ///
    /// [`SpawnError::Draining`], [`SpawnError::Spent`].
    pub fn spawn<F, T>(&'scope self, task: &'scope mut Task<F, T>) -> Result<(), SpawnError>
    where
        F: FnOnce(&ThreadCx<'_>) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.put(Target::Here, task)
    }

    /// As [`Self::spawn`], on core `cpu`, or on the pool of its pod (C3).
    ///
    /// # Errors
    ///
    /// As [`Self::spawn`].
    ///
    /// # Panics
    ///
    /// If the machine has no such core.
    pub fn spawn_on<F, T>(
        &'scope self,
        cpu: CpuId,
        task: &'scope mut Task<F, T>,
    ) -> Result<(), SpawnError>
    where
        F: FnOnce(&ThreadCx<'_>) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.put(Target::On(cpu), task)
    }

    /// Queues `body` as [`Self::spawn`] does, in memory of its own, which is given back when it has run.
    ///
    /// # Errors
    ///
    /// [`SpawnError::NoMemory`], [`SpawnError::Draining`]; `body` is dropped.
    pub fn try_spawn<F>(&'scope self, body: F) -> Result<(), SpawnError>
    where
        F: FnOnce(&ThreadCx<'_>) + Send + 'scope,
    {
        let task = Task::with(body, &Task::<F, ()>::SHARED);
        let task = crate::mem::try_arc(task).map_err(|_| SpawnError::NoMemory)?;
        task.joint.set(&raw const self.joint);
        let take = || {
            // The submission's: `release_shared` gives it up.
            let _kept = ManuallyDrop::new(Arc::clone(&task));
        };
        self.submit(Target::Here, &task.header, take)
    }

    fn put<F, T>(
        &'scope self,
        target: Target,
        task: &'scope mut Task<F, T>,
    ) -> Result<(), SpawnError> {
        if task.is_spent() {
            return Err(SpawnError::Spent);
        }
        task.joint.set(&raw const self.joint);
        self.submit(target, &task.header, || ())
    }

    /// Queues the task of header `h`, which is idle and nobody else's; `take` takes the count on it.
    fn submit(&self, target: Target, h: &Header, take: impl FnOnce()) -> Result<(), SpawnError> {
        let count = || {
            self.joint.left.add();
            take();
            let (item, scope) = (item_name(h.handle()), self.joint.name());
            emit(trace::Kind::ScopeSpawn, Head::of(0), item, scope);
        };
        match self.queue.submit(target, h, None, true, count) {
            Submitted::Queued => Ok(()),
            // It is new: nobody has disabled or poisoned it, and it runs nowhere.
            other => {
                debug_assert_eq!(other, Submitted::Draining);
                Err(SpawnError::Draining)
            }
        }
    }
}

impl<K: Kind<Context = Threaded>> Workqueue<K> {
    /// Calls `f` with a [`Scope`], and returns when all is over that was spawned there: by `f`, and by
    /// what it spawned. Those items may borrow whatever outlives the call.
    ///
    /// The caller sleeps meanwhile. On an ordered queue the items run in the order in which they were
    /// spawned. An item may open a scope on its own queue; each that waits so takes one of the queue's
    /// `max_active` slots, so chains of them must be shorter than that (D11).
    ///
    /// # Errors
    ///
    /// [`ScopeError`]. What `f` returned is lost then; what the tasks returned is in them.
    pub fn scope<'env, F, R>(&self, cx: &ThreadCx<'_>, f: F) -> Result<R, ScopeError>
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        might_sleep("Workqueue::scope");
        self.queue.may_wait_for_new()?;
        let scope = Scope {
            queue: Arc::clone(&self.queue),
            joint: Joint::new(),
            scope: PhantomData,
            env: PhantomData,
        };
        let me = current();
        let open = Open {
            joint: &raw const scope.joint,
            outer: me.scopes.get(),
        };
        me.scopes.set(&raw const open);
        let result = f(&scope);
        me.scopes.set(open.outer);
        scope.joint.wait(cx);
        match scope.joint.panicked.load(Ordering::Relaxed) {
            0 => Ok(result),
            n => Err(ScopeError::Panicked(n)),
        }
    }
}

impl Queue {
    /// Whether the running thread may wait for items that are still to be queued here.
    pub(super) fn may_wait_for_new(&self) -> Result<(), ScopeError> {
        let own = current_worker().is_some_and(|w| w.works_for(self));
        let a = &self.attributes;
        if own && (self.max_active() == 1 || a.mem_reclaim || a.backend.is_dedicated()) {
            return Err(ScopeError::SelfWait);
        }
        if let Some(waits) = promised().filter(|_| !promises(self)) {
            no_progress(waits, &self.attributes.name);
            return Err(ScopeError::NoProgress);
        }
        Ok(())
    }
}
