//! The ring of the timers that were armed last: why there is one is told in `queue.rs`.

use links::Handle;

use crate::TimerNode;

/// Timers in the ring at most; a power of two.
pub(crate) const RECENT: u8 = 8;

/// A place in the ring, or a number that is none.
pub(crate) type Seat = u8;

/// The timers that were armed last, in order from `next` on, around.
#[derive(Debug)]
pub(crate) struct Recent {
    timers: [Option<Handle<TimerNode>>; RECENT as usize],
    /// A bit for each place that is taken.
    taken: u8,
    /// Where the next one goes, and who is there was armed before all others here. It counts on and on.
    next: u8,
}

impl Recent {
    pub(crate) const fn new() -> Self {
        Self {
            timers: [None; RECENT as usize],
            taken: 0,
            next: 0,
        }
    }

    /// Gives `h` the seat behind all others; `None`: it is taken.
    #[inline(always)]
    pub(crate) fn sit(&mut self, h: Handle<TimerNode>) -> Option<Seat> {
        let (seat, taken) = (self.next % RECENT, self.taken);
        let place = 1 << seat;
        if taken & place != 0 {
            return None;
        }
        self.timers[usize::from(seat)] = Some(h);
        self.taken = taken | place;
        self.next = self.next.wrapping_add(1);
        Some(seat)
    }

    /// Who has `seat` leaves.
    #[inline(always)]
    pub(crate) const fn rise(&mut self, seat: Seat) {
        self.taken &= !(1 << (seat % RECENT));
    }

    /// Who was armed before all others here.
    #[inline(always)]
    pub(crate) fn oldest(&self) -> Option<Handle<TimerNode>> {
        self.iter().next()
    }

    /// All, in the order of arming.
    #[inline(always)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Handle<TimerNode>> {
        let mut left = self.taken.rotate_right(u32::from(self.next));
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let nth = left.trailing_zeros() as Seat;
            left &= left - 1;
            self.timers[usize::from(self.next.wrapping_add(nth) % RECENT)]
        })
    }

    /// Whether nobody was armed after the one that has `seat`, if it is one.
    #[inline(always)]
    pub(crate) const fn is_last(&self, seat: Seat) -> bool {
        seat == self.next.wrapping_sub(1) % RECENT
    }

    /// Who has `seat`, or had it last; `None` if it is none.
    pub(crate) fn at(&self, seat: Seat) -> Option<Handle<TimerNode>> {
        self.timers.get(usize::from(seat)).copied().flatten()
    }

    /// How many are here.
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.taken.count_ones() as usize
    }

    /// Breaks the ring, for a test of checks.
    #[cfg(test)]
    pub(crate) fn replace(&mut self, seat: usize, by: Option<Handle<TimerNode>>) {
        self.timers[seat] = by;
    }
}
