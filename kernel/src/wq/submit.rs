//! A submission: from the item's word to the lock of the pool it is for.
//!
//! # The fast path
//!
//! 1. `look`: an item that is pending already is joined, in one atomic operation and nothing else.
//! 2. The route of this core names the share, and that its pool.
//! 3. The pool's lock is taken, which masks interrupts: from here the item is owned until it is on a list (B3).
//! 4. `claim_marked`: one atomic operation makes the item pending and published, if it ran here last.
//! 5. The policy links it and names the worker to wake.
//!
//! A share that is not like most is asked more: it has its slots elsewhere, is about to leave, or somebody traces its items. The
//! slow path is for an item that ran last on another pool: it may still be running there, and must then be queued there (C5).

use links::Arena;
use sync::{IrqGuard, SpinGuard};
use workqueue::Item;
use workword::{Claim, Place};

use super::header::Header;
use super::link::{link, link_of_node, link_plain};
use super::pool::{Inner, Pool};
use super::pool_at;
use super::queue::{Class, Queue, Target};
use super::share::Share;
use super::submitted::{Submitted, joined, refused};
use super::worker::current_worker;

impl Queue {
    /// Submits item `h`; `retain` keeps it, by a count of which the submission knows if it is `held`. `class` is the queue's,
    /// where a type says it.
    #[inline(always)]
    pub(super) fn submit(
        &self,
        target: Target,
        h: &Header,
        class: Option<Class>,
        held: bool,
        retain: impl FnOnce(),
    ) -> Submitted {
        let seen = h.word.look();
        if seen.is_pending()
            && let Some(n) = h.word.join_seen(seen)
        {
            return joined(n);
        }
        // The caller may be on another core by the time it has the lock: then it queued just before it moved.
        let share = match target {
            Target::Here if class == Some(Class::Bh) => self.routes.here_for_ever(),
            _ => self.share(target),
        };
        let stays = class.is_some_and(Class::stays);
        let (pool, g) = if stays {
            share.lock_staying()
        } else {
            share.lock()
        };
        if class == Some(Class::Unbound) && share.pwq(&g).takes_of_node() {
            let entered = share.tell_entering(&g);
            if h.word.claim_marked(pool.mark().held(held)) {
                retain();
                link_of_node::<false>(g, (pool, share, h), entered);
                return Submitted::Queued;
            }
        } else if class == Some(Class::Unbound) && share.pwq(&g).takes_of_node_seen() {
            let entered = share.tell_entering(&g);
            if h.word.claim_marked(pool.mark().held(held)) {
                retain();
                link_of_node::<true>(g, (pool, share, h), entered);
                return Submitted::Queued;
            }
        } else if share.pwq(&g).takes_plainly() {
            let entered = share.tell_entering(&g);
            if h.word.claim_marked(pool.mark().held(held)) {
                retain();
                link_plain::<false>(g, (pool, share, h), class, entered);
                return Submitted::Queued;
            }
        } else if share.pwq(&g).takes_seen() {
            let entered = share.tell_entering(&g);
            if h.word.claim_marked(pool.mark().held(held)) {
                retain();
                link_plain::<true>(g, (pool, share, h), class, entered);
                return Submitted::Queued;
            }
        } else if !share.pwq(&g).may_bar() {
            share.tell_entering(&g);
            if h.word.claim_marked(pool.mark().held(held)) {
                retain();
                link(g, (pool, share, h));
                return Submitted::Queued;
            }
        }
        self.submit_locked(target, h, (pool, share, g), held, retain)
    }

    /// [`Self::submit`], if the item is not as it was, did not run here last, or the share is not like most.
    #[inline(never)]
    fn submit_locked(
        &self,
        target: Target,
        h: &Header,
        (pool, share, g): (&'static Pool, &Share, SpinGuard<'_, Inner>),
        held: bool,
        retain: impl FnOnce(),
    ) -> Submitted {
        if share.pwq(&g).may_bar() {
            if self.refuses(share, &g) {
                return Submitted::Draining;
            }
            if share.pwq(&g).is_retired() {
                // The queue's attributes changed since the look.
                drop(g);
                return self.submit_moved(target, h, held, retain);
            }
        }
        share.tell_entering(&g);
        let submitted = match h.word.claim_at(pool.place(), self.is_bh()) {
            Claim::Claimed(_) => {
                h.hold(held, retain);
                link(g, (pool, share, h));
                return Submitted::Queued;
            }
            Claim::Pending(n) => joined(n),
            Claim::Disabled => refused(h),
            Claim::Poisoned => Submitted::Poisoned,
            Claim::Elsewhere(_) => {
                share.tell_entered(&g);
                drop(g);
                return self.submit_moved(target, h, held, retain);
            }
        };
        share.tell_entered(&g);
        submitted
    }

    /// The slow path: the item ran last on another pool.
    #[cold]
    fn submit_moved(
        &self,
        target: Target,
        h: &Header,
        held: bool,
        retain: impl FnOnce(),
    ) -> Submitted {
        let _irq = IrqGuard::new();
        match h.word.claim() {
            Claim::Claimed(_) => {}
            Claim::Pending(n) => return joined(n),
            Claim::Disabled => return refused(h),
            Claim::Poisoned => return Submitted::Poisoned,
            Claim::Elsewhere(_) => return Submitted::Elsewhere,
        }
        h.hold(held, retain);
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
        // Where it may still run; nobody can start it anew, so one look is enough.
        let mut last = h.word.state().place;
        loop {
            let share = self.share(target);
            let (pool, g) = share.lock();
            if last.is_some() && last != pool.place() {
                drop(g);
                let pool = pool_at(last);
                let g = pool.lock();
                let node: &Item = g.store.get(h.handle());
                if let Some(w) = node.runner() {
                    // C5: it runs there, so it is queued there, behind itself.
                    return match self.share_beside(pool, &g, g.store.get(w)) {
                        Some(share) => self.publish(pool, g, share, h),
                        None => Submitted::Elsewhere,
                    };
                }
                last = Place::NONE;
            } else if share.pwq(&g).is_retired() && !self.refuses(share, &g) {
                // Its successor is there to be found.
                drop(g);
                machine::relax();
            } else {
                return self.publish(pool, g, share, h);
            }
        }
    }

    /// Puts an owned item on `share`'s list in `pool`, under its lock.
    fn publish(
        &self,
        pool: &'static Pool,
        g: SpinGuard<'_, Inner>,
        share: &Share,
        h: &Header,
    ) -> Submitted {
        if self.refuses(share, &g) {
            return Submitted::Draining;
        }
        share.tell_entering(&g);
        h.word.publish(pool.place(), self.is_bh());
        link(g, (pool, share, h));
        Submitted::Queued
    }

    /// The queue drains or is destroyed, and the caller is none of its items (C10).
    #[inline(always)]
    fn refuses(&self, share: &Share, g: &Inner) -> bool {
        share.pwq(g).refuses() && !self.is_chained()
    }

    /// The caller is a thread that executes an item of this queue (C10).
    #[cold]
    fn is_chained(&self) -> bool {
        current_worker().is_some_and(|w| w.works_for(self))
    }
}
