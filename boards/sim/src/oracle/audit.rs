//! Looks at the executive's own data: what no event shows.
//!
//! When every core waits, all of it can be looked at. In between, every few hundred points, whatever
//! nobody has locked: there it must be as sound as it is whenever its lock is released. The engine
//! is at any place of the kernel then, so seam calls are no points and locks are only tried.
//!
//! # How late is late
//!
//! A slice ends at a nanosecond, but a core that has interrupts masked, runs softirqs, waits for a
//! lock or stands still notices later. [`LATE`] is several times what the worst worlds show, and far
//! below what a core takes that never notices. Lag may exceed its bound by as much.
//!
//! References: cmwq.md 7.3, 7.4, 7.6; V1, V2, V4, V5, V6.

use core::fmt::Display;

use kernel::audit::{self, Fairness};
use kernel::{timer, wq};
use machine::{CpuId, Duration, now};

use super::{Verdict, Violation, ensure};
use crate::engine::Sim;
use crate::reclaim::outside;

/// How long after its end a slice may go on, and a due timer be armed.
const LATE: Duration = Duration::from_millis(10);

impl Sim {
    /// Judges what is found when every core waits for an interrupt and none is on its way.
    pub(super) fn look_at_rest(&self) {
        self.report(audit::check());
        let mut verdict = Ok(());
        wq::for_each_pool(|p| {
            if verdict.is_ok() {
                verdict = outside(|| nobody_runs(p.id, p.nr_running));
            }
        });
        self.judge(verdict);
        let (now, due) = (now(), timer::earliest());
        let late = due.map_or(Duration::ZERO, |due| now.since(due));
        self.judge(outside(|| in_time(late)));
    }

    /// Judges what is found in the middle of things.
    pub(crate) fn glance(&self) {
        self.at_rest(|| {
            self.report(audit::glance());
            let mut verdict = Ok(());
            wq::for_each_free_pool(|p| {
                if verdict.is_ok() {
                    let pools = &self.oracles.borrow().pools;
                    verdict = outside(|| pools.check_running(p.id as u32, p.nr_running));
                }
            });
            self.judge(verdict);
            for n in 0..self.cores.len() {
                let found = audit::fairness(CpuId::new(n), now());
                self.judge(outside(|| found.map_or(Ok(()), |f| fair(n, &f))));
            }
        });
    }

    fn report<E: Display>(&self, found: Result<(), E>) {
        if let Err(finding) = found {
            let text = outside(|| finding.to_string());
            let rule = "audit";
            self.judge(Err(Violation { rule, text }));
        }
    }
}

fn nobody_runs(pool: usize, running: u32) -> Verdict {
    ensure!(
        running == 0,
        "7.6",
        "every core waits for an interrupt, and pool {pool} counts {running} running workers"
    );
    Ok(())
}

fn in_time(late: Duration) -> Verdict {
    ensure!(
        late <= LATE,
        "timer",
        "every core waits for an interrupt, and a timer is armed for {} ns ago",
        late.as_nanos()
    );
    Ok(())
}

fn fair(core: usize, f: &Fairness) -> Verdict {
    let (lag, bound, over) = (f.lag, f.bound, f.overrun);
    ensure!(
        over <= LATE,
        "V5",
        "the slice of the thread on core {core} is over for {} ns, and others wait",
        over.as_nanos()
    );
    ensure!(
        lag <= bound + LATE,
        "V4",
        "a thread on core {core} has a lag of {} ns, and {} ns is the bound",
        lag.as_nanos(),
        bound.as_nanos()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_and_unfair_cores_are_found() {
        const MS: Duration = Duration::from_millis(1);
        let sound = Fairness {
            lag: MS,
            bound: MS,
            overrun: MS,
        };
        let rule = |f| fair(0, &f).map_err(|v| v.rule);
        assert_eq!(rule(sound), Ok(()));
        let overrun = LATE + MS;
        assert_eq!(rule(Fairness { overrun, ..sound }), Err("V5"));
        let lag = LATE + MS + MS;
        assert_eq!(rule(Fairness { lag, ..sound }), Err("V4"));
    }

    #[test]
    fn what_is_left_at_rest_is_found() {
        assert_eq!(nobody_runs(0, 0), Ok(()));
        assert_eq!(nobody_runs(0, 1).map_err(|v| v.rule), Err("7.6"));
        assert_eq!(in_time(LATE), Ok(()));
        let late = LATE + Duration::from_nanos(1);
        assert_eq!(in_time(late).map_err(|v| v.rule), Err("timer"));
    }
}
