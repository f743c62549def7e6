//! Time, and letting the simulated pool come to rest.

use machine::Duration;

use crate::Cull;
use crate::sim::{Act, Sim};

impl Sim {
    /// Lets `d` pass; the reaper runs when due.
    pub(crate) fn pass(&mut self, d: Duration) {
        let until = self.now + d;
        while let Some(at) = self.reap_at.filter(|&at| at <= until) {
            self.now = self.now.max(at);
            self.reap_at = None;
            loop {
                match self.pool.cull(&mut self.s, self.now) {
                    Cull::Enough => break,
                    Cull::At(at) => {
                        assert!(at > self.now, "the reaper is due again at once");
                        self.reap_at = Some(at);
                        break;
                    }
                    Cull::End { worker, wake } => {
                        let w = self.index(worker);
                        self.workers[w].act = Act::Awake;
                        self.wake(wake);
                        self.step(w);
                        assert_eq!(self.workers[w].act, Act::Gone);
                    }
                }
            }
        }
        self.now = until;
        self.check();
    }

    /// Lets everybody who can advance do so until nobody can; blocked workers stay blocked.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            // Every one of them, so no `any`.
            if (0..self.workers.len()).filter(|&w| self.step(w)).count() == 0 {
                return;
            }
        }
        panic!("the workers never come to rest");
    }

    /// Lets blocked workers go on, and everybody finish.
    pub(crate) fn drain(&mut self) {
        self.fail_creation = false;
        for _ in 0..1_000 {
            self.settle();
            let rescued = (0..self.rescuers.len()).filter(|&n| self.rescue(n)).count();
            let all = 0..self.workers.len();
            let resumed = all.filter(|&w| self.resume(w) | self.back(w)).count();
            if resumed + rescued == 0 {
                return;
            }
        }
        panic!("the workers block for ever");
    }
}
