//! The public face of a workqueue: kinds as types, builders, submission.
//!
//! What Linux checks at run time is a type here (K1, F2): a queue is per-CPU, unbound or BH, its
//! items' handlers are given the context they run in, and options that make no sense for a kind do
//! not exist.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;

use machine::CpuId;
use workqueue::{Attrs, clamp_max_active};

use super::attrs::{self, AttrsError};
use super::builder::Builder;
use super::dedicated::Backend;
use super::errors::WaitError;
use super::item::{Context, Softirq, Submit, Threaded};
use super::queue::{Class, Queue, Target};
use super::registry;
use super::submitted::Submitted;
use crate::cpu::{online, this_cpu, topology};
use crate::thread::ThreadCx;

/// A kind of workqueue: [`PerCpu`], [`Unbound`], [`Ordered`] or [`Bh`].
pub trait Kind: private::Kind {
    /// Where its items run.
    type Context: Context;
}

pub(super) mod private {
    pub trait Kind {
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
        const CLASS: super::Class;
        /// The `max_active` of a queue that asks for none.
        #[doc(hidden)]
        const MAX_ACTIVE: u32;
    }
}

/// Items run on the core they were queued on, one at a time unless they block (E rows).
#[derive(Debug)]
pub enum PerCpu {}
/// Items run on any core, as many at a time as `max_active` allows (F1).
#[derive(Debug)]
pub enum Unbound {}
/// Items run on any core, one at a time, in the order in which they were queued (D8), also while its
/// attributes change (D9). Its limit cannot be changed.
#[derive(Debug)]
pub enum Ordered {}
/// Items run in the softirq of the core they were queued on (K2).
#[derive(Debug)]
pub enum Bh {}

macro_rules! kind {
    ($k:ident, $class:ident, $max_active:expr, $c:ty) => {
        impl private::Kind for $k {
            #[expect(private_interfaces, reason = "sealed: nobody outside can name it")]
            const CLASS: Class = Class::$class;
            const MAX_ACTIVE: u32 = $max_active;
        }
        impl Kind for $k {
            type Context = $c;
        }
    };
}
kind!(PerCpu, PerCpu, clamp_max_active(0), Threaded);
kind!(Unbound, Unbound, clamp_max_active(0), Threaded);
// All cores share its one pwq, whose only slot goes from item to item in order.
kind!(Ordered, Ordered, 1, Threaded);
kind!(Bh, Bh, u32::MAX, Softirq);

/// Kinds of queue whose number of active items can be limited (K1: BH queues' cannot; D8: ordered
/// queues' is one).
pub trait Limited: Kind {}
impl Limited for PerCpu {}
impl Limited for Unbound {}

impl<K: Limited> Workqueue<K> {
    /// Changes the limit, as [`Builder::max_active`] sets it (D6). Raising it lets waiting items
    /// start at once; lowering it stops no running item.
    pub fn set_max_active(&self, n: u32) {
        self.queue.set_max_active(clamp_max_active(n));
    }
}

/// Kinds of queue that have attributes: nice level, cores, affinity scope (G1). Of an ordered queue
/// the scope says nothing, since all its items have one pool.
pub trait Placed: Kind {}
impl Placed for Unbound {}
impl Placed for Ordered {}

impl<K: Placed> Workqueue<K> {
    /// The attributes that were applied last.
    pub fn attrs(&self) -> Attrs {
        self.queue.flush.lock().attrs
    }

    /// Changes the attributes, of all items queued from now on: all of it or nothing (G1). What was
    /// queued before ends where it is, and an item that queues itself again while it runs stays there
    /// too (C8). An ordered queue moves with everything that waits, in order, when its running item
    /// ends (D9); that takes time in proportion to the number of waiting items, interrupts masked.
    ///
    /// # Errors
    ///
    /// [`AttrsError`]; the old attributes hold then.
    pub fn apply_attrs(&self, cx: &ThreadCx<'_>, attrs: Attrs) -> Result<(), AttrsError> {
        attrs::apply(cx, &self.queue, attrs)
    }
}

impl Workqueue<Unbound> {
    /// How many items each memory node lets be active at least (D4).
    pub fn min_active(&self) -> u32 {
        self.queue.min_active()
    }

    /// Changes that, as [`Builder::min_active`] sets it.
    pub fn set_min_active(&self, n: u32) {
        self.queue.set_min_active(n);
    }

    /// Queues an item on memory node `node`: on this core if it is there, else on the node's lowest
    /// core that is online, else as [`Self::queue`] does (C4). Any context.
    pub fn queue_on_node(&self, node: usize, item: impl Submit<Threaded>) -> Submitted {
        let there = |&c: &CpuId| usize::from(topology().place(c).node) == node;
        let here = this_cpu().id();
        if there(&here) {
            return self.queue_on(here, item);
        }
        match online().iter().find(there) {
            Some(cpu) => self.queue_on(cpu, item),
            None => self.queue(item),
        }
    }
}

/// A handle to a workqueue. The queue lives on when all handles are gone, until
/// [`Self::destroy`].
pub struct Workqueue<K> {
    pub(super) queue: Arc<Queue>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Workqueue<K> {
    fn clone(&self) -> Self {
        Self {
            queue: Arc::clone(&self.queue),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for Workqueue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.queue, f)
    }
}

impl<K: Kind> Workqueue<K> {
    pub(super) const fn of(queue: Arc<Queue>) -> Self {
        Self {
            queue,
            kind: PhantomData,
        }
    }

    /// Starts the description of a queue; the name is cut at 32 bytes.
    #[must_use]
    pub fn builder(name: &str) -> Builder<K> {
        Builder::new(name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.queue.attributes.name
    }

    /// Who executes its items.
    pub fn backend(&self) -> Backend {
        self.queue.attributes.backend
    }

    /// The limit it has (D1); `u32::MAX` for a BH queue.
    pub fn max_active(&self) -> u32 {
        self.queue.max_active()
    }

    /// Queues an item: on this core (C1), or on the pool of this core's pod; from a core that unbound
    /// items keep away from, on those of the others in turn (C2). Any context. Never allocates.
    #[inline(always)]
    pub fn queue(&self, item: impl Submit<K::Context>) -> Submitted {
        self.queue.submit(
            Target::Here,
            item.header(),
            Some(K::CLASS),
            item.counts(),
            || {
                item.retain();
            },
        )
    }

    /// Undoes one disable of the item, and queues it if that was the last (J4). `None`: it is still
    /// disabled.
    pub fn enable_and_queue(&self, item: impl Submit<K::Context>) -> Option<Submitted> {
        super::ops::enable(item.header()).then(|| self.queue(item))
    }

    /// Queues an item on core `cpu`, or on the pool of its pod (C3, K3). Any context.
    ///
    /// # Panics
    ///
    /// If the machine has no such core.
    #[inline]
    pub fn queue_on(&self, cpu: CpuId, item: impl Submit<K::Context>) -> Submitted {
        self.queue.submit(
            Target::On(cpu),
            item.header(),
            Some(K::CLASS),
            item.counts(),
            || {
                item.retain();
            },
        )
    }

    /// Whether items queued on core `cpu` wait because the limit is reached (D10). Advice: stale at
    /// once.
    ///
    /// # Panics
    ///
    /// If the machine has no such core.
    pub fn is_congested(&self, cpu: CpuId) -> bool {
        self.queue.is_congested(cpu)
    }

    /// Waits until everything queued before this call is over; later items do not delay it (I1).
    ///
    /// # Errors
    ///
    /// [`WaitError::SelfWait`] from an item of this very queue (I4); [`WaitError::Deadlock`] when one of
    /// the queue's items waits for the caller, through others or not.
    pub fn flush(&self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        self.queue.flush(cx)
    }

    /// Refuses submissions, except by the queue's own items, until the queue is empty (I9).
    ///
    /// # Errors
    ///
    /// As [`Self::flush`].
    pub fn drain(&self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        self.queue.drain(cx, false)
    }

    /// Drains the queue and ends it; other handles then find it draining for ever (I10). Delayed
    /// items whose timer is armed are refused when it fires.
    ///
    /// # Errors
    ///
    /// As [`Self::flush`]; the queue then goes on.
    pub fn destroy(self, cx: &ThreadCx<'_>) -> Result<(), WaitError> {
        self.queue.drain(cx, true)?;
        self.queue.stop_rescuer(cx);
        registry::remove(&self.queue);
        Ok(())
    }
}
