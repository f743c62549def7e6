//! Which share of its queue an item goes to: the core's own, another core's, or that of its last run.
//!
//! Two tables of pointers, read without a lock by every submission. A change of attributes stores
//! new pointers before it retires the old shares; whoever read an old one finds it retired under
//! its pool's lock, and reads again ([`super::share`]).
//!
//! References: rows C2, C3, C5.
#![expect(unsafe_code, reason = "routes name shares by address")]

use alloc::boxed::Box;
use core::sync::atomic::AtomicPtr;

use machine::CpuMask;
use sync::atomic::Ordering;
use sync::handshake::Route;
use workqueue::Worker as WorkerNode;

use super::handles::share_of;
use super::pool::{Inner, Pool};
use super::queue::{Queue, Target};
use super::share::Share;
use crate::cpu::{online, this_cpu};

/// Which share gets what is queued on or for a core.
pub(super) struct Routes {
    /// `[A]` First those of items for the core that queues them, null where these go round-robin (C2);
    /// then those of items for this very core (C3).
    sides: Box<[Route<Share>]>,
    /// `[I]` the first of the shares that were made with the queue and stay, one for each core in one piece; else null.
    first: AtomicPtr<Share>,
}

impl Routes {
    pub(super) fn new(cores: usize) -> Option<Self> {
        let mut sides = crate::mem::try_vec_with_capacity(2 * cores).ok()?;
        sides.resize_with(2 * cores, Route::nowhere);
        Some(Self {
            sides: sides.into_boxed_slice(),
            first: AtomicPtr::new(core::ptr::null_mut()),
        })
    }

    /// Items of core `n` go to `share`; those that do not name the core only if `own`.
    pub(super) fn set(&self, n: usize, share: Option<&'static Share>, own: bool) {
        let raw = share.map_or(core::ptr::null_mut(), |s| core::ptr::from_ref(s).cast_mut());
        let (here, on) = self.sides.split_at(self.sides.len() / 2);
        on[n].set(raw);
        let own = if own { raw } else { core::ptr::null_mut() };
        here[n].set(own);
    }

    /// The share that items for core `n` itself go to.
    ///
    /// # Panics
    ///
    /// If the machine has no such core.
    #[inline(always)]
    pub(super) fn on(&self, n: usize) -> Option<&Share> {
        // Not every number is one of a core: see who calls.
        let (_, on) = self.sides.split_at(self.sides.len() / 2);
        // SAFETY: shares live as long as their queue, which this belongs to.
        unsafe { on[n].get().as_ref() }
    }

    /// Each core has one of `shares` for ever; before the queue's first use.
    pub(super) fn set_for_ever(&self, shares: &'static [Share]) {
        assert!(shares.len() == self.sides.len() / 2, "one for each core");
        for (n, share) in shares.iter().enumerate() {
            self.set(n, Some(share), true);
        }
        self.first
            .store(shares.as_ptr().cast_mut(), Ordering::Relaxed);
    }

    /// The shares, if they stay for ever; else none.
    #[inline(always)]
    pub(super) fn for_ever(&self) -> &[Share] {
        let first = self.first.load(Ordering::Relaxed);
        if first.is_null() {
            return &[];
        }
        // SAFETY: `set_for_ever` got as many; they live as long as their queue, which this belongs to.
        unsafe { core::slice::from_raw_parts(first, self.sides.len() / 2) }
    }

    /// As [`Self::here`], of a BH queue, whose shares stay for ever.
    #[inline(always)]
    pub(super) fn here_for_ever(&self) -> &Share {
        let n = this_cpu().id().index();
        debug_assert!(n < self.for_ever().len(), "a share that there is not");
        let first = self.first.load(Ordering::Relaxed);
        // SAFETY: a BH queue has been given its shares before its first use, one for each core.
        let own = unsafe { first.add(n) };
        // SAFETY: they live as long as the queue, which this belongs to.
        unsafe { &*own }
    }

    /// The share that items of the running core go to; none if it is none of their cores.
    #[inline(always)]
    pub(super) fn here(&self) -> Option<&Share> {
        let n = this_cpu().id().index();
        debug_assert!(n < self.sides.len(), "a core that there is not");
        // SAFETY: a running core's number is below that of cores, and there are two for each.
        let side = unsafe { self.sides.get_unchecked(n) };
        // SAFETY: shares live as long as their queue, which this belongs to.
        unsafe { side.get().as_ref() }
    }
}

impl Queue {
    /// The share that `target` means. "Here" stays true while interrupts are masked.
    #[inline(always)]
    pub(super) fn share(&self, target: Target) -> &Share {
        let found = match target {
            Target::Here => self.routes.here(),
            Target::On(cpu) => self.routes.on(cpu.index()),
        };
        match found {
            Some(share) => share,
            None => self.share_of_another(),
        }
    }

    /// This core is one that unbound items keep away from, or all items shall go round: the cores that
    /// may take them have turns (C2).
    #[cold]
    fn share_of_another(&self) -> &Share {
        let wq = &crate::kernel().wq;
        let takers = online().and(CpuMask(wq.takers.load(Ordering::Relaxed)));
        let turn = wq.turn.fetch_add(1, Ordering::Relaxed);
        let cpu = takers.iter().nth(turn % takers.count().max(1));
        let cpu = cpu.unwrap_or_else(|| this_cpu().id());
        self.routes
            .on(cpu.index())
            .expect("a queue has a share for every core")
    }

    /// The share in which an item that runs in `pool`, under `g`, is queued to run again (C5): that
    /// of the run, or, when it runs for another queue, this queue's in the same pool.
    pub(super) fn share_beside(
        &self,
        pool: &Pool,
        g: &Inner,
        runner: &WorkerNode,
    ) -> Option<&Share> {
        let own = runner.current_pwq().map(share_of);
        if let Some(share) = own
            && core::ptr::eq(share.queue_ptr(), self)
        {
            return Some(share);
        }
        let cores = 0..crate::kernel().cpus().len();
        let mut shares = cores.filter_map(|n| self.routes.on(n));
        shares.find(|s| core::ptr::eq(s.pool(), pool) && !s.pwq(g).is_retired())
    }
}
