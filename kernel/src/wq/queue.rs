//! One workqueue: its shares of the pools.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use machine::CpuId;
use sync::SpinLock;
use sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use sync::handshake::Countdown;
use workqueue::{Attrs, Pwq};

use super::QueueName;
pub(super) use super::class::Class;
use super::dedicated::{Backend, Own};
use super::flush::{FlushNode, FlushState};
use super::handles::queue_name;
use super::rescuer::Help;
use super::routes::Routes;
use super::share::{Share, Slots};
use super::shares::Shares;
use crate::cpu::topology;
use crate::trace::{Head, Kind, emit_unmasked};

/// Which core's pool gets an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// The running core.
    Here,
    /// This core.
    On(CpuId),
}

/// What a queue is made from.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    pub(super) name: QueueName,
    pub(super) class: Class,
    /// As it has it: see [`Backend::of`].
    pub(super) backend: Backend,
    pub(super) highpri: bool,
    pub(super) cpu_intensive: bool,
    /// Its items do not hold others back while they wait for their core for long.
    pub(super) preemption_aware: bool,
    /// It has a rescuer (F4).
    pub(super) mem_reclaim: bool,
    /// It follows the freezer (F5).
    pub(super) freezable: bool,
    /// It can be found and changed by its name (F8).
    pub(super) exported: bool,
    /// To begin with, as the next two.
    pub(super) max_active: u32,
    pub(super) min_active: u32,
    pub(super) attrs: Attrs,
}

/// A workqueue.
pub(super) struct Queue {
    pub(super) attributes: Attributes,
    pub(super) routes: Routes,
    /// Of an unbound queue: one per memory node, and one for pools that lie in several (D3).
    pub(super) nodes: Box<[SpinLock<Slots>]>,
    pub(super) flush: SpinLock<FlushState>,
    /// `[A]` changed under `flush`.
    pub(super) max_active: AtomicU32,
    /// `[A]` changed under `flush`.
    pub(super) min_active: AtomicU32,
    /// Pwqs that the first flusher still waits for, plus one while they are being armed.
    pub(super) to_flush: Countdown,
    /// The first flusher; stable while `to_flush` is not zero.
    pub(super) first: AtomicPtr<FlushNode>,
    /// The rescuer and who calls for it.
    pub(super) help: SpinLock<Help>,
    /// `[A]` where it stands on the list of all queues; used under the list's lock.
    pub(super) listed_at: AtomicUsize,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({})", self.attributes.name)
    }
}

impl Queue {
    /// Memory for the queue and, unless it is unbound, its shares; `None` if there is none.
    pub(super) fn make(attributes: Attributes) -> Option<Arc<Self>> {
        let cores = crate::kernel().cpus().len();
        let routes = Routes::new(cores)?;
        let nodes = match (attributes.class, attributes.backend) {
            (Class::Unbound, Backend::ConcurrencyManaged) => topology().nodes() + 1,
            _ => 0,
        };
        let mut slots = crate::mem::try_vec_with_capacity(nodes).ok()?;
        slots.resize_with(nodes, || Slots::lock(0));
        // Before there is a queue whose drop takes it back.
        crate::kernel().wq.alive.fetch_add(1, Ordering::Relaxed);
        let queue = crate::mem::try_arc(Self {
            max_active: AtomicU32::new(attributes.max_active),
            min_active: AtomicU32::new(attributes.min_active),
            flush: FlushState::lock(attributes.attrs),
            attributes,
            help: Help::lock(),
            listed_at: AtomicUsize::new(usize::MAX),
            routes,
            nodes: slots.into_boxed_slice(),
            to_flush: Countdown::new(),
            first: AtomicPtr::new(core::ptr::null_mut()),
        })
        .ok()?;
        let a = &queue.attributes;
        let class = match a.class {
            _ if a.backend.is_dedicated() => Kind::DEDICATED,
            Class::PerCpu => 0,
            Class::Unbound | Class::Ordered => Kind::UNBOUND,
            Class::Bh => Kind::BH,
        };
        let heavy = u8::from(a.cpu_intensive) * Kind::CPU_INTENSIVE;
        let heavy = heavy | (u8::from(a.preemption_aware) * Kind::PREEMPTION_AWARE);
        let flags = class | heavy | (u8::from(queue.has_rescuer()) * Kind::MEM_RECLAIM);
        let head = Head::of(a.max_active).flags(flags);
        emit_unmasked(Kind::AllocWorkqueue, head, 0, queue_name(&*queue));
        if a.backend.is_dedicated() {
            queue.make_own_shares(cores)?;
        } else if matches!(a.class, Class::PerCpu | Class::Bh) {
            queue.make_bound_shares(cores)?;
        }
        Some(queue)
    }

    /// Its shares follow its attributes.
    pub(super) fn is_placed(&self) -> bool {
        let a = &self.attributes;
        matches!(a.class, Class::Unbound | Class::Ordered) && !a.backend.is_dedicated()
    }

    /// It has a thread that comes when no worker can be made (F4): threads of its own never wait for one.
    pub(super) fn has_rescuer(&self) -> bool {
        self.attributes.mem_reclaim && !self.attributes.backend.is_dedicated()
    }

    /// The shares of a queue that has one on each core.
    fn make_bound_shares(&self, cores: usize) -> Option<()> {
        let a = &self.attributes;
        let make = |(n, books)| {
            let pool = super::pool_for(a.class, a.highpri, n);
            let mut pwq = if a.class == Class::Bh {
                Pwq::unlimited()
            } else {
                Pwq::new(a.max_active, a.cpu_intensive)
            };
            pwq.set_rescuer(self.has_rescuer());
            pwq.set_preemption_aware(a.preemption_aware);
            Share::new(self, pool, pwq, books)
        };
        let shares = Shares::fixed(cores, make).ok()?;
        self.routes.set_for_ever(shares.block());
        self.flush.lock().shares = shares;
        Some(())
    }

    /// The shares of a queue whose threads are its own, and those threads.
    fn make_own_shares(&self, cores: usize) -> Option<()> {
        let a = &self.attributes;
        let own = Own::make(a.backend, &a.name, &a.attrs).ok()?;
        let make = |(n, books)| Share::new(self, own.pool(n), Pwq::new(u32::MAX, false), books);
        let shares = Shares::fixed(own.len(), make).ok()?;
        let last = own.len() - 1;
        for n in 0..cores {
            self.routes.set(n, shares.iter().nth(n.min(last)), true);
        }
        self.flush.lock().shares = shares;
        own.keep();
        Some(())
    }

    /// The queue is over: it lets its pools go. `shares` are its own.
    pub(super) fn leave_pools(&self, shares: &Shares) {
        if self.is_placed() || self.attributes.backend.is_dedicated() {
            shares.iter().for_each(Share::retire);
        }
    }

    #[inline(always)]
    pub(super) fn is_bh(&self) -> bool {
        self.attributes.class == Class::Bh
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        crate::kernel().wq.alive.fetch_sub(1, Ordering::Relaxed);
        emit_unmasked(Kind::DestroyWorkqueue, Head::of(0), 0, queue_name(self));
        // One that was never finished, or got new shares while it was destroyed, is still in pools.
        let g = self.flush.lock();
        self.leave_pools(&g.shares);
        drop(g);
    }
}
