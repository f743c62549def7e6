//! How long a connection may wait for its client, and for what.
//!
//! | Waiting for | Begins with | Ends after |
//! | --- | --- | --- |
//! | a request | the connection, or the last reply | [`Limits::idle`], silently |
//! | the rest of a head | its first byte | [`Limits::head`], with 408 |
//! | the rest of a body | the end of its head | [`Limits::body`], with 408 |
//!
//! Each limit is for all of what is waited for: a limit between two pieces is one that a client
//! prolongs with a byte. So is a wait that begins anew whenever it is entered: the empty lines that may
//! stand before a request (RFC 9112 2.2) enter and leave a head that never comes. Therefore being idle
//! ends with a request that was answered, and with nothing else.

use machine::{Duration, Instant};

use super::Awaits;

/// How patient the service is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// For a head, from its first byte to its last.
    pub head: Duration,
    /// For a body, from the end of its head to its last byte.
    pub body: Duration,
    /// For the next request, and for a client that takes nothing of a reply.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        }
    }
}

/// One connection's waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    limits: Limits,
    awaits: Awaits,
    /// Begin of the connection, or end of the last request.
    idle_since: Instant,
    /// When the wait for the rest of a head or body began.
    since: Instant,
}

impl Patience {
    /// That of a connection that begins at `now`.
    #[must_use]
    pub const fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            awaits: Awaits::Request,
            idle_since: now,
            since: now,
        }
    }

    /// A request was answered; what has arrived of the next one begins now.
    pub const fn answered(&mut self, awaits: Awaits, now: Instant) {
        *self = Self {
            awaits,
            ..Self::new(self.limits, now)
        };
    }

    /// Notes what is waited for; the clock is asked only when that is news.
    pub fn notice(&mut self, awaits: Awaits, clock: impl FnOnce() -> Instant) {
        if self.awaits != awaits {
            self.awaits = awaits;
            self.since = clock();
        }
    }

    /// True when a client that goes on like this is to be told 408: it has begun a request.
    #[must_use]
    pub fn expects_more(&self) -> bool {
        self.awaits != Awaits::Request
    }

    /// When the wait is over.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match self.awaits {
            Awaits::Request => self.idle_since + self.limits.idle,
            Awaits::Head => self.since + self.limits.head,
            Awaits::Body => self.since + self.limits.body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn each_wait_has_its_own_limit_from_its_own_begin() {
        let mut p = Patience::new(Limits::default(), at(0));
        assert_eq!((p.deadline(), p.expects_more()), (at(60), false));
        p.notice(Awaits::Head, || at(50));
        p.notice(Awaits::Head, || at(55));
        assert_eq!((p.deadline(), p.expects_more()), (at(60), true));
        p.notice(Awaits::Body, || at(58));
        for s in 59..118 {
            p.notice(Awaits::Body, || at(s));
            assert_eq!(p.deadline(), at(118), "a piece prolongs nothing");
        }
        p.answered(Awaits::Request, at(100));
        assert_eq!((p.deadline(), p.expects_more()), (at(160), false));
    }

    #[test]
    fn a_request_behind_another_begins_when_that_is_answered() {
        let mut p = Patience::new(Limits::default(), at(0));
        p.answered(Awaits::Head, at(30));
        assert_eq!(p.deadline(), at(40));
    }

    /// CR, wait, LF, wait, CR...
    #[test]
    fn empty_lines_do_not_prolong_being_idle() {
        let mut p = Patience::new(Limits::default(), at(0));
        let mut now = 0;
        while at(now) < p.deadline() {
            let awaits = [Awaits::Head, Awaits::Request][now as usize / 9 % 2];
            p.notice(awaits, || at(now));
            now += 9;
        }
        assert!(now <= 70 + 9, "held on for {now} s");
    }
}
