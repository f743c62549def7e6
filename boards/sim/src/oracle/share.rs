//! Shares: while nobody comes or goes, threads get of their core what their weights say (V3).
//!
//! Held against CPU time and not against virtual time, so it does not believe the scheduler's own
//! books. Over a stretch in which the same threads are on a core, each has had its part of what all
//! of them had together, but for what its lag may be at the two ends. The stretch begins anew with
//! whatever else moves lags: a thread that joins or leaves, yields, or gets another weight.

use kernel::audit::Share;

use super::{Verdict, ensure};

/// A stretch on one core.
#[derive(Debug)]
struct Stretch {
    upsets: u64,
    began: Vec<Share>,
}

/// The stretches on all cores.
#[derive(Default, Debug)]
pub(crate) struct Shares(Vec<Option<Stretch>>);

impl Shares {
    /// Judges what the threads on core `core` have had by now; `upsets` counts what begins a stretch.
    pub(crate) fn look(&mut self, core: usize, upsets: u64, now: Vec<Share>) -> Verdict {
        if self.0.len() <= core {
            self.0.resize_with(core + 1, || None);
        }
        let stretch = &mut self.0[core];
        match stretch {
            Some(s) if s.upsets == upsets => fair(core, &s.began, &now),
            _ => {
                *stretch = Some(Stretch { upsets, began: now });
                Ok(())
            }
        }
    }
}

fn fair(core: usize, began: &[Share], now: &[Share]) -> Verdict {
    let of = |s: &Share| began.iter().find(|b| b.thread == s.thread);
    let pairs = || now.iter().filter_map(|s| of(s).map(|b| (b, s)));
    ensure!(
        pairs().count() == now.len() && now.len() == began.len(),
        "V3",
        "{} threads were on core {core}, now {} are, and nobody came or went",
        began.len(),
        now.len()
    );
    let had = |(b, s): (&Share, &Share)| i128::from(s.ran - b.ran);
    let all: i128 = pairs().map(had).sum();
    let weights: i128 = now.iter().map(|s| i128::from(s.weight)).sum();
    for (b, s) in pairs() {
        let (had, weight) = (had((b, s)), i128::from(s.weight));
        let (ahead, late) = (b.lag.ahead.max(s.lag.ahead), b.lag.late.max(s.lag.late));
        // The weight of nice -20 has a reciprocal that is right to 1 in 97,000.
        let bound = i128::from(ahead) + i128::from(late) + all / 50_000;
        let off = all * weight - had * weights;
        ensure!(
            off.abs() <= bound * weights,
            "V3",
            "of {all} ns on core {core} a thread with weight {weight} of {weights} has had {had} ns, \
             and {bound} ns is how far that may be off"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kernel::audit::Lag;

    use super::*;

    fn share(thread: u64, weight: u64, ran: u64) -> Share {
        let (lag, ahead, late) = (0, 1_000, 500);
        Share {
            thread,
            weight,
            ran,
            lag: Lag { lag, ahead, late },
        }
    }

    fn rule(shares: &mut Shares, upsets: u64, now: Vec<Share>) -> Option<&'static str> {
        shares.look(1, upsets, now).err().map(|v| v.rule)
    }

    #[test]
    fn who_gets_too_much_is_found() {
        let mut s = Shares::default();
        let two = |a, b| vec![share(7, 3072, a), share(8, 1024, b)];
        assert_eq!(rule(&mut s, 1, two(0, 50)), None);
        assert_eq!(rule(&mut s, 1, two(75_000, 25_050)), None);
        assert_eq!(
            rule(&mut s, 1, two(76_500, 23_550)),
            None,
            "within two lags"
        );
        assert_eq!(rule(&mut s, 1, two(76_600, 23_450)), Some("V3"));
        assert_eq!(rule(&mut s, 2, two(90_000, 23_450)), None, "somebody came");
        assert_eq!(rule(&mut s, 2, two(90_000, 33_450)), Some("V3"));
    }

    #[test]
    fn the_same_threads_stay() {
        let mut s = Shares::default();
        assert_eq!(rule(&mut s, 1, vec![share(7, 1024, 0)]), None);
        assert_eq!(rule(&mut s, 1, vec![share(8, 1024, 0)]), Some("V3"));
        assert_eq!(rule(&mut s, 1, Vec::new()), Some("V3"));
    }
}
