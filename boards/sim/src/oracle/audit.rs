//! Looks at the executive's own data: what no event shows.
//!
//! When every core waits, all of it can be looked at. In between, every few hundred points, whatever
//! nobody has locked: there it must be as sound as it is whenever its lock is released. The engine
//! is at any place of the kernel then, so seam calls are no points and locks are only tried.
//!
//! # How late is late
//!
//! A slice ends at a nanosecond: with interrupts unmasked and nothing pending, the core's timer is set
//! for that moment or an earlier one. What happens when it comes is another matter: a core that has
//! interrupts masked, runs softirqs or waits for a lock notices later. [`LATE`] is several
//! times what the worst worlds show, and far below what a core takes that never notices. No lag
//! profits from it: the scheduler measures by how much a slice was too long ([`kernel::audit::Lag`]).
//! What a core does not live does not count (`Core::lived`): it stands still, or gets no turn.
//!
//! References: cmwq.md 7.3, 7.4, 7.6; V1-V6.

use core::fmt::Display;

use kernel::audit::{self, Fairness};
use kernel::{timer, wq};
use machine::{CpuId, Duration, Instant, now};

use super::{Verdict, Violation, ensure};
use crate::core::NEVER;
use crate::engine::Sim;
use crate::reclaim::{damaged, outside};

/// How long after its end a slice may go on, and a due timer be armed.
const LATE: Duration = Duration::from_millis(10);

/// What changes of weight round the end of a slice by, in ns: the core is not told of so little.
const ROUNDING: u64 = 1_000;

impl Sim {
    /// Judges what is found when every core waits for an interrupt and none is on its way.
    pub(super) fn look_at_rest(&self) {
        self.report(audit::check());
        self.report(audit::check_loans());
        let mut verdict = Ok(());
        wq::for_each_pool(|p| {
            if verdict.is_ok() {
                verdict = outside(|| nobody_runs(p.id, p.nr_running));
            }
        });
        self.judge(verdict);
        let late = timer::lateness(now());
        self.judge(outside(|| in_time(late)));
        if let Some(bytes) = damaged() {
            self.written_after_free(bytes);
        }
    }

    /// Somebody wrote to a block of so many bytes that had been freed.
    pub(crate) fn written_after_free(&self, bytes: usize) {
        let text = outside(|| {
            format!("{bytes} bytes of memory were written to after they had been freed")
        });
        self.judge(Err(Violation { rule: "B8", text }));
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
                self.look_at_shares(CpuId::new(n));
            }
        });
    }

    fn look_at_shares(&self, id: CpuId) {
        let n = id.index();
        if let Some(f) = audit::fairness(id) {
            let core = &self.cores[n];
            let awake = core.stalled_until.get() == NEVER;
            let open = !core.masked.get() && core.pending.get() == 0;
            let over = core.overrun(f.end.map_or(NEVER, Instant::as_nanos));
            self.judge(outside(|| fair(n, &f, Duration::from_nanos(over))));
            if awake && open && !f.asked {
                self.judge(outside(|| armed(n, f.end, core.wanted.get())));
            }
        }
        let mut parts = outside(|| Vec::with_capacity(16));
        let upsets = audit::shares(id, |share| outside(|| parts.push(share)));
        if let Some(upsets) = upsets {
            let shares = &self.shares;
            self.judge(outside(|| shares.borrow_mut().look(n, upsets, parts)));
        } else {
            outside(|| drop(parts));
        }
    }

    pub(super) fn report<E: Display>(&self, found: Result<(), E>) {
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

/// The running thread's slice has been over for `over` of the time that the core has lived.
fn fair(core: usize, f: &Fairness, over: Duration) -> Verdict {
    ensure!(
        over <= LATE,
        "V5",
        "the slice of the thread on core {core} is over for {} ns, and others wait",
        over.as_nanos()
    );
    if let Some(worst) = f.worst {
        ensure!(
            worst.margin() >= 0,
            "V4",
            "a thread on core {core} has a lag of {} ns, and {} ns is the bound",
            worst.lag,
            worst.bound()
        );
    }
    Ok(())
}

/// The running thread's slice ends at `end`, and the core's timer is set for a time (`wanted`), since
/// another.
fn armed(core: usize, end: Option<Instant>, (wanted, since): (u64, u64)) -> Verdict {
    let end = end.map_or(NEVER, Instant::as_nanos);
    ensure!(
        end == NEVER || wanted <= end.max(since).saturating_add(ROUNDING),
        "V5",
        "the slice of the thread on core {core} ends at {end} ns, others wait, and the timer is set for \
         {wanted} ns"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use kernel::audit::Lag;

    use super::*;

    #[test]
    fn late_and_unfair_cores_are_found() {
        const MS: Duration = Duration::from_millis(1);
        let at = |lag| {
            let (ahead, late) = (2_000_000, 1_000_000);
            Some(Lag { lag, ahead, late })
        };
        let sound = Fairness {
            worst: at(1_000_000),
            end: None,
            asked: false,
        };
        let after = |f, over| fair(0, &f, over).map_err(|v| v.rule);
        let rule = |f| after(f, LATE);
        assert_eq!(rule(sound), Ok(()));
        assert_eq!(after(sound, LATE + MS), Err("V5"));
        for (lag, is) in [
            (1_000_001, Err("V4")),
            (-2_000_000, Ok(())),
            (-2_000_001, Err("V4")),
        ] {
            let worst = at(lag);
            assert_eq!(rule(Fairness { worst, ..sound }), is, "{lag}");
        }
        assert_eq!(
            rule(Fairness {
                worst: None,
                ..sound
            }),
            Ok(())
        );
    }

    #[test]
    fn a_slice_whose_end_nobody_will_notice_is_found() {
        let end = Some(Instant::from_nanos(100));
        let rule = |end, wanted| armed(0, end, wanted).map_err(|v| v.rule);
        assert_eq!(rule(None, (NEVER, 0)), Ok(()), "nobody waits");
        assert_eq!(rule(end, (100, 0)), Ok(()));
        assert_eq!(rule(end, (90, 0)), Ok(()), "another timer comes first");
        assert_eq!(rule(end, (120, 120)), Ok(()), "it was over already");
        assert_eq!(rule(end, (100 + ROUNDING, 50)), Ok(()));
        assert_eq!(rule(end, (101 + ROUNDING, 50)), Err("V5"));
        assert_eq!(rule(end, (NEVER, 50)), Err("V5"));
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
