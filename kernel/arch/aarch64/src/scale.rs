//! Conversion between counter ticks and nanoseconds without division.
//!
//! A 64-by-64 division of a 128-bit product would call `__udivti3` on every reading of the clock.
//! Both directions are a multiplication by a precomputed fraction instead. The fractions are
//! rounded, so ticks-to-time and time-to-ticks can disagree; [`Scale::ticks_at`] is corrected so
//! that the time read at the returned tick has reached the deadline: a timer never fires early by
//! the clock that judges it.

/// Factors for one counter frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Nanoseconds per tick, 32 fraction bits, rounded down. Exact for 62.5 MHz (16) and 1 GHz.
    pub nanos_per_tick: u64,
    /// Ticks per nanosecond, 64 fraction bits, rounded up.
    pub ticks_per_nano: u64,
}

impl Scale {
    /// The factors for a counter of `hz` ticks per second; runs once per boot.
    #[must_use]
    pub const fn new(hz: u64) -> Self {
        let hz = if hz == 0 { 1 } else { hz as u128 };
        let per_tick = (1_000_000_000u128 << 32) / hz;
        let per_nano = (hz << 64).div_ceil(1_000_000_000);
        Self {
            nanos_per_tick: if per_tick > u64::MAX as u128 {
                u64::MAX
            } else {
                per_tick as u64
            },
            ticks_per_nano: if per_nano > u64::MAX as u128 {
                u64::MAX
            } else {
                per_nano as u64
            },
        }
    }

    /// Time at counter value `ticks`.
    #[inline(always)]
    #[must_use]
    pub const fn nanos(&self, ticks: u64) -> u64 {
        Self::nanos_of(ticks, self.nanos_per_tick)
    }

    /// As [`Self::nanos`], for these [`Self::nanos_per_tick`].
    #[inline(always)]
    #[must_use]
    pub const fn nanos_of(ticks: u64, per_tick: u64) -> u64 {
        ((ticks as u128 * per_tick as u128) >> 32) as u64
    }

    /// First counter value, up to a few ticks more, whose time is not before `nanos`.
    #[inline(always)]
    #[must_use]
    pub const fn ticks_at(&self, nanos: u64) -> u64 {
        let guess = ((nanos as u128 * self.ticks_per_nano as u128) >> 64) as u64;
        let reached = self.nanos(guess);
        if reached >= nanos {
            return guess;
        }
        // One tick by rounding; more when the down-rounded clock lags after a long uptime.
        let lack = nanos - reached;
        let more = ((lack as u128 * self.ticks_per_nano as u128) >> 64) as u64;
        let mut ticks = guess.saturating_add(more);
        // In full width: the last times that can be said are beyond what `nanos` can.
        while (ticks as u128 * self.nanos_per_tick as u128) >> 32 < nanos as u128 {
            ticks += 1;
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: u64 = 365 * 86_400 * 1_000_000_000;

    #[test]
    fn virt_machine_is_exact() {
        let s = Scale::new(62_500_000);
        assert_eq!(s.nanos(1), 16);
        assert_eq!(s.nanos(123_456_789_012_345), 123_456_789_012_345 * 16);
        assert_eq!(s.ticks_at(16), 1);
    }

    #[test]
    fn a_timer_never_fires_early_nor_much_late() {
        for hz in [
            1_000_000,
            19_200_000,
            24_000_000,
            54_000_000,
            62_500_000,
            1_000_000_000,
        ] {
            let s = Scale::new(hz);
            let period = 1_000_000_000 / hz + 1;
            for base in [0u64, 1, 999, 1_000_000_007, 86_400_000_000_001, YEAR] {
                for d in 0..200 {
                    let ns = base + d * 7;
                    let at = s.nanos(s.ticks_at(ns));
                    assert!(at >= ns, "{hz} Hz: {ns} fires at {at}");
                    assert!(at <= ns + 4 * period, "{hz} Hz: {ns} fires late at {at}");
                }
            }
        }
    }

    #[test]
    fn the_longest_time_has_ticks() {
        for hz in [
            1_000_000,
            19_200_000,
            24_000_000,
            54_000_000,
            62_500_000,
            100_000_000,
            1_000_000_000,
        ] {
            let s = Scale::new(hz);
            for ns in [u64::MAX, u64::MAX - 1, u64::MAX / 2] {
                let exact = (u128::from(s.ticks_at(ns)) * u128::from(s.nanos_per_tick)) >> 32;
                assert!(exact >= u128::from(ns), "{hz} Hz: {ns}");
            }
        }
    }

    #[test]
    fn time_does_not_go_backwards() {
        let s = Scale::new(24_000_000);
        let mut last = 0;
        for t in 0..10_000 {
            let now = s.nanos(t);
            assert!(now >= last);
            last = now;
        }
    }
}
