//! Creating workers when all have blocked, and ending those that idle for long.
//!
//! The worker that leaves idle last creates the next one before it works (the *manager*, E9): so
//! whenever a worker blocks, another is ready. Creation may fail for want of memory; the manager
//! then pauses and tries again for as long as somebody is needed (E10).

use links::Handle;
use machine::Instant;

use crate::item::worker;
use crate::item::worker_mut;
use crate::{Kind, Phase, Pool, Store, Worker};

/// What the reaper found (E11, E12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Cull {
    /// `worker` left the pool: wake it, it will exit. Call again.
    End {
        /// The worker.
        worker: Handle<Worker>,
        /// Another to wake: `worker` may have been on its way to some work.
        wake: Option<Handle<Worker>>,
    },
    /// Nobody has been idle long enough: look again then.
    At(Instant),
    /// There are not too many workers.
    Enough,
}

impl Pool {
    /// A worker that was made for this pool joins it, idle. The worker to wake, and when to reap.
    #[must_use = "the worker must be woken"]
    pub fn attach<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        now: Instant,
    ) -> (Option<Handle<Worker>>, Option<Instant>) {
        debug_assert!(worker(s, w).phase == Phase::New, "a worker joins twice");
        self.nr_workers += 1;
        self.enrol(s, w);
        let reap_at = self.enter_idle(s, w, now);
        if self.closing {
            return (self.dismiss(s), None);
        }
        (self.kick(s), reap_at)
    }

    /// The pool's last pwq is gone, so it has no work and gets none: its workers end. The executive
    /// wakes those that [`Self::dismiss`] names.
    pub fn close(&mut self) {
        debug_assert!(self.worklist.is_empty(), "a pool closes with work");
        self.closing = true;
    }

    /// Takes an idle worker out of a closing pool: wake it, it will exit.
    #[must_use = "the worker must be woken"]
    pub fn dismiss<S: Store>(&mut self, s: &mut S) -> Option<Handle<Worker>> {
        let w = self.idle.front()?;
        self.idle.remove(s, w);
        self.nr_idle -= 1;
        self.nr_workers -= 1;
        self.strike_off(s, w);
        worker_mut(s, w).phase = Phase::Dying;
        Some(w)
    }

    /// Nobody belongs to it any more, nor is anybody being made for it.
    #[must_use]
    pub const fn is_vacant(&self) -> bool {
        self.nr_workers == 0 && !self.manager
    }

    /// The manager made worker `w` (E9).
    #[must_use = "the worker must be woken"]
    pub fn created<S: Store>(
        &mut self,
        s: &mut S,
        w: Handle<Worker>,
        now: Instant,
    ) -> (Option<Handle<Worker>>, Option<Instant>) {
        self.manager = false;
        self.attach(s, w, now)
    }

    /// The manager failed to make a worker. True: pause and try again; false: no longer needed,
    /// and it is no longer the manager: it calls [`Pool::next`] before it releases the lock, since
    /// until then there is no reserve worker.
    #[must_use]
    pub fn keep_creating(&mut self) -> bool {
        self.manager = match self.kind {
            // There is no other one, so it is needed whether or not anything waits now.
            Kind::Dedicated => !self.closing,
            _ => self.need_more_worker() && self.nr_idle == 0,
        };
        self.manager
    }

    /// Too many idle workers, the manager counting as idle: more than two, and one above two for
    /// each four busy ones (E11).
    #[must_use]
    pub const fn too_many_workers(&self) -> bool {
        let idle = self.nr_idle + self.manager as u32;
        // A manager that makes its successor has left.
        let busy = self.nr_workers.saturating_sub(idle);
        idle > 2 && (idle - 2) * 4 >= busy
    }

    /// The reaper's timer fired: ends the worker that has been idle longest, if there are too many
    /// and it has been idle long enough (E12).
    pub fn cull<S: Store>(&mut self, s: &mut S, now: Instant) -> Cull {
        self.reaper_armed = false;
        let Some(w) = self.idle.back().filter(|_| self.too_many_workers()) else {
            return Cull::Enough;
        };
        let due = worker(s, w).idle_since + self.tuning.idle_timeout;
        if now < due {
            self.reaper_armed = true;
            return Cull::At(due);
        }
        self.idle.remove(s, w);
        self.nr_idle -= 1;
        self.nr_workers -= 1;
        self.strike_off(s, w);
        worker_mut(s, w).phase = Phase::Dying;
        Cull::End {
            worker: w,
            wake: self.kick(s),
        }
    }

    /// When to reap, if there are too many workers and no timer is armed.
    pub(crate) fn arm_reaper<S: Store>(&mut self, s: &S) -> Option<Instant> {
        if self.reaper_armed || !self.too_many_workers() {
            return None;
        }
        let oldest = self.idle.back()?;
        self.reaper_armed = true;
        Some(worker(s, oldest).idle_since + self.tuning.idle_timeout)
    }
}
