//! Which items of a burst are followed.

/// Of one share: when the next item may be followed. Times are readings of the counter and ticks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pace {
    next: u64,
    /// How far it is from the last one that was followed.
    step: u64,
}

impl Pace {
    /// The next item is followed, whenever it comes.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 0, step: 0 }
    }

    /// Whether an item is to be followed that is queued at `now`.
    #[inline(always)]
    #[must_use]
    pub const fn is_due(&self, now: u64) -> bool {
        now >= self.next
    }

    /// An item is followed that is queued at `now`. One that comes more than `gap` later will be, too. While none comes more than
    /// that behind the moment at which the next could be followed, how far apart two are at least doubles with each, up to the gap;
    /// else it is a 256th of the gap again. Without a gap all are followed.
    pub fn follow(&mut self, now: u64, gap: u64) {
        let late = now.saturating_sub(self.next);
        let least = (gap / 256).max(1);
        self.step = if late > gap {
            least
        } else {
            gap.min(least.max(2 * self.step))
        };
        // Without a gap even one that comes before the last by another core's counter.
        self.next = if gap == 0 { 0 } else { now + self.step };
    }

    /// The gap is another one from now on, or nobody followed for a time.
    pub const fn begin(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// When those are queued that are followed.
    fn followed(gap: u64, times: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut pace = Pace::new();
        let mut all = Vec::new();
        for now in times {
            if pace.is_due(now) {
                pace.follow(now, gap);
                all.push(now);
            }
        }
        all
    }

    #[test]
    fn of_a_burst_some() {
        let begin = 1 << 40;
        let distances = |gap, n| {
            let all = followed(gap, begin..begin + n);
            assert_eq!(all[0], begin);
            all.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>()
        };
        assert_eq!(
            distances(1_024, 3_000),
            [4, 8, 16, 32, 64, 128, 256, 512, 1_024]
        );
        // A gap of less than 256 ticks is one, too.
        assert_eq!(distances(16, 79), [1, 2, 4, 8, 16, 16, 16]);
        assert_eq!(distances(1, 4), [1, 1, 1]);
        assert_eq!(distances(0, 4), [1, 1, 1]);
    }

    #[test]
    fn soon_after_the_counter_began() {
        // Within a gap of its beginning there was no pause yet.
        assert!(followed(1 << 26, 1_000..100_000).len() < 64);
    }

    #[test]
    fn a_pause_begins_anew() {
        let (gap, second) = (1_024, 1 << 30);
        let all = followed(
            gap,
            (second..second + 5_000).chain(2 * second..2 * second + 100),
        );
        let of_second = all.iter().filter(|&&at| at >= 2 * second).count();
        assert_eq!(of_second, 5, "0, 4, 12, 28, 60 behind it");
    }

    #[test]
    fn how_long_a_pause_begins_anew() {
        // Followed at 0 and 4 of a second; then the next may be at 12.
        let second = 1 << 30;
        let distance = |pause: u64| {
            let again = second + 12 + pause;
            let all = followed(
                1_024,
                [second, second + 4].into_iter().chain(again..again + 100),
            );
            assert_eq!(all[2], again);
            all[3] - all[2]
        };
        assert_eq!(distance(1_024), 16);
        assert_eq!(distance(1_025), 4);
    }

    proptest! {
        #[test]
        fn whoever_comes_apart_is_followed(
            gap in 0_u64..10_000,
            distances in prop::collection::vec(0_u64..20_000, 1..200),
        ) {
            let mut pace = Pace::new();
            let (mut now, mut last) = (0, None);
            for d in distances {
                now += d;
                let due = pace.is_due(now);
                prop_assert!(due || last.is_some_and(|at| now - at <= gap));
                if due {
                    if let Some(at) = last {
                        prop_assert!(gap == 0 || now > at, "two at a moment");
                    }
                    pace.follow(now, gap);
                    last = Some(now);
                }
            }
        }
    }
}
