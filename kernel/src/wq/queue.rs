//! One workqueue: its shares of the pools, and the path of a submission.
//!
//! # The fast path
//!
//! 1. `join`: an item that is pending already takes one atomic operation and nothing else.
//! 2. Interrupts off: from here the item is owned until it is on a list (B3).
//! 3. The share of this core names the pool; its lock is taken.
//! 4. `claim_at`: one atomic operation makes the item pending and published, if it ran here last.
//! 5. The policy links it and names the worker to wake.
//!
//! The slow path is for an item that ran last on another pool: it may still be running there, and
//! must then be queued there (C5).
#![expect(unsafe_code, reason = "pwqs are nodes of their pool's lock")]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use links::{Arena, Handle};
use machine::CpuId;
use sync::handshake::Countdown;
use sync::{IrqGuard, SpinLock};
use workqueue::{Call, Item, Pwq};
use workword::{Claim, Place};

use super::flush::{FlushNode, FlushState};
use super::handles::{item_name, limited, queue_name};
use super::header::Header;
use super::pool::{Inner, Pool};
use super::rescuer::Help;
use super::worker::current_worker;
use super::{QueueName, pool_at};
use crate::cpu::this_cpu;
use crate::trace::{Head, Kind, emit, emit_unmasked};

/// What became of a submission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a refused submission is lost"]
pub enum Submitted {
    /// It will run once more.
    Queued,
    /// It was pending already; so many submissions are merged into the coming run.
    AlreadyPending(u32),
    /// It is disabled: the submission is lost (B9).
    Disabled,
    /// Its handler panicked earlier: the submission is lost.
    Poisoned,
    /// The queue drains or is destroyed, and the caller is not one of its own items (C10): the
    /// submission is lost, the item stays idle.
    Draining,
    /// It is running for another queue on a pool this queue does not use; it would run twice at
    /// once: the submission is lost.
    Elsewhere,
}

impl Submitted {
    /// A run will follow: this submission's own, or the one it was merged into.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Queued | Self::AlreadyPending(_))
    }
}

/// Which core's pool gets an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// The running core.
    Here,
    /// This core.
    On(CpuId),
}

/// What kinds of queue there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    PerCpu,
    Unbound,
    Bh,
}

/// What a queue is made from.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    pub(super) name: QueueName,
    pub(super) class: Class,
    pub(super) highpri: bool,
    pub(super) cpu_intensive: bool,
    /// It has a rescuer (F4).
    pub(super) mem_reclaim: bool,
    /// To begin with.
    pub(super) max_active: u32,
}

/// A queue's share of one pool.
#[repr(C)]
pub(super) struct Share {
    /// `[L]` of `pool`.
    pub(super) pwq: UnsafeCell<Pwq>,
    /// `[L]` of the queue's mayday lock.
    pub(super) call: UnsafeCell<Call>,
    /// `[I]`
    pub(super) pool: &'static Pool,
    /// `[I]`
    queue: AtomicPtr<Queue>,
}

// SAFETY: the pwq is reached only through the pool's store, under its lock.
unsafe impl Sync for Share {}
// SAFETY: nothing in it is tied to a thread.
unsafe impl Send for Share {}

impl Share {
    #[inline(always)]
    pub(super) fn handle(&self) -> Handle<Pwq> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.pwq.get())
    }

    pub(super) fn call_handle(&self) -> Handle<Call> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.call.get())
    }

    pub(super) fn queue_ptr(&self) -> *const Queue {
        self.queue.load(Ordering::Relaxed)
    }

    /// The queue; for as long as the pool's lock is held and items are in flight.
    pub(super) fn queue(&self) -> &Queue {
        // SAFETY: set at creation to the queue that contains this share.
        unsafe { &*self.queue_ptr() }
    }
}

/// A workqueue.
pub(super) struct Queue {
    pub(super) attributes: Attributes,
    /// One per core, or one for an unbound queue.
    pub(super) shares: Box<[Share]>,
    pub(super) flush: SpinLock<FlushState>,
    /// `[A]` changed under `flush`.
    max_active: AtomicU32,
    /// Pwqs that the first flusher still waits for, plus one while they are being armed.
    pub(super) to_flush: Countdown,
    /// The first flusher; stable while `to_flush` is not zero.
    pub(super) first: AtomicPtr<FlushNode>,
    /// The rescuer and who calls for it.
    pub(super) help: SpinLock<Help>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({})", self.attributes.name)
    }
}

impl Queue {
    /// Memory for the queue and its shares; `None` if there is none.
    pub(super) fn make(attributes: Attributes) -> Option<Arc<Self>> {
        let cores = match attributes.class {
            Class::Unbound => 1,
            _ => crate::kernel().cpus().len(),
        };
        let mut shares = crate::mem::try_vec_with_capacity(cores).ok()?;
        for n in 0..cores {
            let pool = super::pool_for(attributes.class, attributes.highpri, n);
            let mut pwq = Pwq::new(attributes.max_active, attributes.cpu_intensive);
            pwq.set_rescuer(attributes.mem_reclaim);
            shares.push(Share {
                pwq: UnsafeCell::new(pwq),
                call: UnsafeCell::new(Call::new()),
                pool,
                queue: AtomicPtr::new(core::ptr::null_mut()),
            });
        }
        // Before there is a queue whose drop takes it back.
        crate::kernel().wq.alive.fetch_add(1, Ordering::Relaxed);
        let queue = crate::mem::try_arc(Self {
            max_active: AtomicU32::new(attributes.max_active),
            attributes,
            shares: shares.into_boxed_slice(),
            flush: FlushState::lock(),
            help: Help::lock(),
            to_flush: Countdown::new(),
            first: AtomicPtr::new(core::ptr::null_mut()),
        })
        .ok()?;
        for share in &queue.shares {
            share
                .queue
                .store(Arc::as_ptr(&queue).cast_mut(), Ordering::Relaxed);
        }
        let a = &queue.attributes;
        let class = match a.class {
            Class::PerCpu => 0,
            Class::Unbound => Kind::UNBOUND,
            Class::Bh => Kind::BH,
        };
        let heavy = u8::from(a.cpu_intensive) * Kind::CPU_INTENSIVE;
        let flags = class | heavy | (u8::from(a.mem_reclaim) * Kind::MEM_RECLAIM);
        let head = Head::of(a.max_active).flags(flags);
        emit_unmasked(Kind::AllocWorkqueue, head, 0, queue_name(&*queue));
        Some(queue)
    }

    /// The limit of items that are active at a time, in each share.
    pub(super) fn max_active(&self) -> u32 {
        self.max_active.load(Ordering::Relaxed)
    }

    /// Changes the limit, and starts what may start now (D6).
    pub(super) fn set_max_active(&self, n: u32) {
        // One at a time: the shares end up with the same limit.
        let g = self.flush.lock();
        self.max_active.store(n, Ordering::Relaxed);
        for share in &self.shares {
            let mut pool = share.pool.lock();
            let Inner { policy, store } = &mut *pool;
            let wake = policy.set_max_active(store, share.handle(), n);
            share.pool.wake(wake);
        }
        drop(g);
    }

    #[inline(always)]
    fn is_bh(&self) -> bool {
        self.attributes.class == Class::Bh
    }

    /// The share of the core that `target` means; interrupts are masked, so "here" stays true.
    #[inline(always)]
    fn share(&self, target: Target) -> &Share {
        let n = match target {
            _ if self.shares.len() == 1 => 0,
            Target::Here => this_cpu().id().index(),
            Target::On(cpu) => cpu.index(),
        };
        &self.shares[n]
    }

    fn share_at(&self, place: Place) -> Option<&Share> {
        self.shares.iter().find(|s| s.pool.place() == place)
    }

    /// Submits item `h`; `retain` takes the count that the submission holds.
    #[inline(always)]
    pub(super) fn submit(
        &self,
        target: Target,
        h: &Header,
        retain: impl FnOnce() -> bool,
    ) -> Submitted {
        if let Some(n) = h.word.join() {
            return Submitted::AlreadyPending(n);
        }
        let _irq = IrqGuard::new();
        let share = self.share(target);
        let mut g = share.pool.lock();
        if g.refuses(share) && !self.is_chained() {
            return Submitted::Draining;
        }
        match h.word.claim_at(share.pool.place(), self.is_bh()) {
            Claim::Claimed(_) => {
                h.set_owned(retain());
                g.link(share, h);
                Submitted::Queued
            }
            Claim::Pending(n) => Submitted::AlreadyPending(n),
            Claim::Disabled => refused(h),
            Claim::Poisoned => Submitted::Poisoned,
            Claim::Elsewhere(_) => {
                drop(g);
                self.submit_moved(target, h, retain)
            }
        }
    }

    /// The slow path: the item ran last on another pool.
    #[cold]
    fn submit_moved(&self, target: Target, h: &Header, retain: impl FnOnce() -> bool) -> Submitted {
        match h.word.claim() {
            Claim::Claimed(_) => {}
            Claim::Pending(n) => return Submitted::AlreadyPending(n),
            Claim::Disabled => return refused(h),
            Claim::Poisoned => return Submitted::Poisoned,
            Claim::Elsewhere(_) => return Submitted::Elsewhere,
        }
        h.set_owned(retain());
        let result = self.submit_owned(target, h);
        if result != Submitted::Queued {
            let hold = h.take_hold();
            h.word.release();
            // The caller has a reference too, so this is not the last one.
            drop(hold);
        }
        result
    }

    /// Queues an item that the caller owns (pending, unqueued, interrupts masked). Unless the
    /// answer is `Queued` the caller still owns it.
    pub(super) fn submit_owned(&self, target: Target, h: &Header) -> Submitted {
        let last = h.word.state().place;
        let mut share = self.share(target);
        if last.is_some() && last != share.pool.place() {
            let g = pool_at(last).lock();
            let node: &Item = g.store.get(h.handle());
            if node.runner().is_some() {
                // C5: it runs there, so it is queued there, behind itself.
                drop(g);
                match self.share_at(last) {
                    Some(s) => share = s,
                    None => return self.submit_after_run(target, h, last),
                }
            }
        }
        self.publish(share, h)
    }

    /// The item was running on pool `last`, which this queue does not use. Nobody can start it
    /// anew, so one more look tells whether that run is over.
    fn submit_after_run(&self, target: Target, h: &Header, last: Place) -> Submitted {
        let g = pool_at(last).lock();
        let node: &Item = g.store.get(h.handle());
        if node.runner().is_some() {
            return Submitted::Elsewhere;
        }
        drop(g);
        self.publish(self.share(target), h)
    }

    fn publish(&self, share: &Share, h: &Header) -> Submitted {
        let mut g = share.pool.lock();
        if g.refuses(share) && !self.is_chained() {
            return Submitted::Draining;
        }
        h.word.publish(share.pool.place(), self.is_bh());
        g.link(share, h);
        Submitted::Queued
    }

    /// The caller is a thread that executes an item of this queue (C10).
    #[cold]
    fn is_chained(&self) -> bool {
        current_worker().is_some_and(|w| w.works_for(self))
    }
}

/// B9: the item is disabled. Interrupts are masked since it said so.
#[cold]
pub(super) fn refused(h: &Header) -> Submitted {
    emit(Kind::RefuseWork, Head::of(0), item_name(h.handle()), 0);
    Submitted::Disabled
}

impl Drop for Queue {
    fn drop(&mut self) {
        crate::kernel().wq.alive.fetch_sub(1, Ordering::Relaxed);
        emit_unmasked(Kind::DestroyWorkqueue, Head::of(0), 0, queue_name(self));
    }
}

impl Inner {
    #[inline(always)]
    fn refuses(&self, share: &Share) -> bool {
        let pwq: &Pwq = self.store.get(share.handle());
        pwq.refuses()
    }

    /// (1), (2) of the item's life: puts a published item on a list, and wakes whom that needs.
    #[inline(always)]
    fn link(&mut self, share: &Share, h: &Header) {
        let q = self
            .policy
            .queue(&mut self.store, share.handle(), h.handle());
        let head = limited(share.pool.head(), self.store.get(share.handle()));
        emit(
            Kind::QueueWork,
            head.flags(u8::from(q.active) * Kind::ACTIVE),
            item_name(h.handle()),
            queue_name(share.queue_ptr()),
        );
        share.pool.wake(q.wake);
    }
}
