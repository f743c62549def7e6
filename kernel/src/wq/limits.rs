//! The limits of one queue: how many of its items are active at a time (D1-D6, D10).
//!
//! A per-CPU, BH or ordered queue tells each of its shares. An unbound one divides its limit among
//! its memory nodes, hands out what that made free, slot by slot, and never stops what runs.
//! What applies at a moment is the answer of one function, [`Queue::limit`].

use core::sync::atomic::Ordering;

use machine::CpuId;
use workqueue::split;

use super::flush::FlushState;
use super::handles::share_of_turn;
use super::pool::Inner;
use super::queue::Queue;
use super::rest::Rest;
use super::share::Slots;
use super::urge;
use crate::cpu::{online, topology};
use crate::kernel;

impl Queue {
    /// The limit of items that are active at a time: in each share, or in the system.
    pub(super) fn max_active(&self) -> u32 {
        self.max_active.load(Ordering::Relaxed)
    }

    /// How many items each memory node lets run at least (D4).
    pub(super) fn min_active(&self) -> u32 {
        let min = self.min_active.load(Ordering::Relaxed);
        min.min(self.max_active())
    }

    /// The limits that apply now: most active items, and the least that a node offers.
    pub(super) fn limit(&self) -> (u32, u32) {
        if self.is_frozen() {
            (0, 0)
        } else if self.attributes.backend.is_dedicated() {
            // A thread executes one item at a time, whatever is said.
            (u32::MAX, u32::MAX)
        } else {
            (self.max_active(), self.min_active())
        }
    }

    /// No item of it may start (F5).
    pub(super) fn is_frozen(&self) -> bool {
        self.attributes.freezable && kernel().wq.frozen.load(Ordering::Relaxed) != 0
    }

    /// Follows the freezer.
    pub(super) fn follow_freezer(&self) {
        if self.attributes.freezable {
            let g = self.flush.lock();
            self.apply_limit(&g);
        }
    }

    /// Changes the limit, and starts what may start now (D6).
    pub(super) fn set_max_active(&self, n: u32) {
        // One at a time: all shares end up with the same limit.
        let g = self.flush.lock();
        self.max_active.store(n, Ordering::Relaxed);
        self.apply_limit(&g);
    }

    /// Changes what each node offers at least, and starts what may start now (D4).
    pub(super) fn set_min_active(&self, n: u32) {
        let g = self.flush.lock();
        self.min_active.store(n.max(1), Ordering::Relaxed);
        self.apply_limit(&g);
    }

    /// Makes [`Self::limit`] true for all shares; `g` is this queue's.
    pub(super) fn apply_limit(&self, g: &FlushState) {
        let (max, min) = self.limit();
        if self.nodes.is_empty() {
            for share in g.shares.iter() {
                let (pool, mut g) = share.lock();
                let Inner { policy, store, .. } = &mut *g;
                let wake = policy.set_max_active(store, share.handle(), max);
                urge::look_again(pool, &mut g);
                pool.wake(wake);
            }
            return;
        }
        let usable = g.effective.and(online());
        for (n, node) in self.nodes.iter().enumerate() {
            let here = usable
                .iter()
                .filter(|&c| usize::from(topology().place(c).node) == n);
            let part = if n == topology().nodes() {
                max
            } else {
                split(max, min, here.count(), usable.count())
            };
            node.lock().policy.set_max(part);
            loop {
                let mut g = node.lock();
                let Slots { policy, turns } = &mut *g;
                let next = policy.grant(turns);
                drop(g);
                let Some(t) = next else { break };
                Rest::slot_for(share_of_turn(t).handle()).carry_out();
            }
        }
    }

    /// Whether items for core `cpu` wait for a slot; stale at once (D10).
    pub(super) fn is_congested(&self, cpu: CpuId) -> bool {
        let share = self.routes.on(cpu.index());
        share.is_some_and(|share| {
            let (_, g) = share.lock();
            share.pwq(&g).inactive() > 0
        })
    }
}
