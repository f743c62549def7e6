//! What a peer owes: acknowledgments, within its connection's patience.
//!
//! The naive measure is when the peer was last heard. It lets a reader that keeps its window shut and
//! answers every probe hold a connection, its buffers and its seat for ever; counting any
//! acknowledged byte as progress lets one that takes a byte a minute hold them for days. So a debt has
//! terms: of what is outstanding at its begin, all, or [`STEP`] bytes if it is more, is to be
//! acknowledged in time. Then new terms begin, while anything is outstanding.
//!
//! RFC 9293 3.8.6.1 asks TCP itself to keep a connection whose window stays shut. Giving it up is the
//! server's right when it needs what the connection holds (RFC 6429).

use machine::{Duration, Instant};

/// Most bytes that a peer must acknowledge in time.
pub(crate) const STEP: usize = 1024;

/// The terms of one connection's peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Debt {
    /// When the terms began; `FOREVER` without debt.
    since: Instant,
    /// Bytes to be acknowledged yet.
    left: usize,
}

impl Debt {
    pub(crate) const NONE: Self = Self {
        since: Instant::FOREVER,
        left: 0,
    };

    /// Notes that `acknowledged` bytes were acknowledged since the last look, and that `queued` are
    /// not yet; the peer `owes` something, which may be an acknowledgment of the stream's end alone.
    #[inline]
    pub(crate) fn look(&mut self, now: Instant, acknowledged: usize, queued: usize, owes: bool) {
        if !owes {
            *self = Self::NONE;
            return;
        }
        self.left = self.left.saturating_sub(acknowledged);
        if self.left == 0 || self.since == Instant::FOREVER {
            self.since = now;
            // The end of a stream counts as one that only the end of the debt pays.
            self.left = queued.clamp(1, STEP);
        }
    }

    /// When a peer that acknowledges nothing more is given up.
    #[inline]
    pub(crate) fn due(&self, patience: Duration) -> Instant {
        if self.since == Instant::FOREVER {
            Instant::FOREVER
        } else {
            self.since + patience
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn at(s: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn hearing_of_a_peer_that_takes_nothing_moves_nothing() {
        let mut debt = Debt::NONE;
        assert_eq!(debt.due(PATIENCE), Instant::FOREVER);
        for s in 5..60 {
            debt.look(at(s), 0, 8_000, true);
            assert_eq!(debt.due(PATIENCE), at(65));
        }
    }

    #[test]
    fn a_step_in_time_earns_new_terms_and_less_does_not() {
        let mut debt = Debt::NONE;
        debt.look(at(0), 0, 8_000, true);
        debt.look(at(30), STEP - 1, 8_000, true);
        assert_eq!(debt.due(PATIENCE), at(60));
        debt.look(at(50), 1, 8_000, true);
        assert_eq!(debt.due(PATIENCE), at(110));
    }

    #[test]
    fn who_owes_little_pays_by_acknowledging_that() {
        let mut debt = Debt::NONE;
        debt.look(at(0), 0, 10, true);
        // More is written meanwhile: the old terms hold, and are met by ten bytes.
        debt.look(at(40), 0, 500, true);
        debt.look(at(59), 10, 490, true);
        assert_eq!(debt.due(PATIENCE), at(119));
        debt.look(at(60), 490, 0, false);
        assert_eq!(debt, Debt::NONE);
        // The stream's end.
        debt.look(at(100), 0, 0, true);
        debt.look(at(110), 0, 0, true);
        assert_eq!(debt.due(PATIENCE), at(160));
    }
}
