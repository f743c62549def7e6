//! Flush colours: which items and barriers of a pwq a flush waits for (I1).
//!
//! Items get the colour of the moment. A flush pass gives the pwq a new one and waits until nothing of the colour before is in
//! flight. So only the colours before the one of the moment are counted; what is in flight otherwise is of that one.
//!
//! A pwq whose items in flight are all of one colour takes the new one when it has to: with the next item that comes, or
//! when none is left. Until then nothing is counted by colour, and the flush is over when nothing is in flight: the end of an item
//! costs a flushed queue nothing but a look at that where it was the last.

use crate::Pwq;
use crate::ways::Ways;

/// Number of flush colours (A3).
pub const COLOURS: usize = 16;

/// A flush colour, below [`COLOURS`].
pub type Colour = u8;

impl Pwq {
    /// Nothing of colour `c` is in flight.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty_of(&self, c: Colour) -> bool {
        let n = if c == self.work_colour {
            self.nr_in_flight() - self.nr_older()
        } else {
            self.older[c as usize % COLOURS]
        };
        n == 0
    }

    /// What is in flight of all colours before the one of the moment. In O(such colours).
    const fn nr_older(&self) -> u32 {
        let (mut sum, mut left) = (0, self.has_older);
        while left != 0 {
            sum += self.older[left.trailing_zeros() as usize % COLOURS];
            left &= left - 1;
        }
        sum
    }

    /// So many are in flight of colour `c`, which is not the one of the moment.
    fn set_older(&mut self, c: Colour, n: u32) {
        self.older[usize::from(c) % COLOURS] = n;
        let bit = 1 << c;
        self.has_older &= !bit;
        if n > 0 {
            self.has_older |= bit;
        }
        self.ways.set(Ways::COLOURED, self.has_older != 0);
    }

    /// One flush pass over this pwq: items queued from now on get `work_colour`; when items of
    /// colour `wait_for` are in flight, the pwq will report their end. True if it will.
    #[must_use = "the flush waits for as many pwqs as said true"]
    pub fn flush(&mut self, wait_for: Option<Colour>, work_colour: Option<Colour>) -> bool {
        if let Some(c) = work_colour {
            let of_one = !self.ways.any(Ways::COLOURED | Ways::TURNS);
            if of_one && wait_for == Some(self.work_colour) && !self.is_empty() {
                self.flush_colour = wait_for;
                self.next_colour = work_colour;
                self.ways.set(Ways::TURNS, true);
                return true;
            }
            self.set_colour(c);
        }
        match wait_for {
            Some(c) if !self.is_empty_of(c) => {
                debug_assert!(c != self.work_colour, "a flush of what is queued later");
                self.flush_colour = Some(c);
                true
            }
            _ => false,
        }
    }

    /// The next item comes.
    #[inline(always)]
    pub(crate) fn turn_if_due(&mut self) {
        if self.ways.any(Ways::TURNS) {
            self.turn();
        }
    }

    /// Items get the colour that they were to have from the next one on.
    #[cold]
    #[inline(never)]
    fn turn(&mut self) {
        if let Some(c) = self.next_colour.take() {
            self.ways.set(Ways::TURNS, false);
            self.change_colour(c);
        }
    }

    /// Nothing is in flight any more; true if that ended a flush pass.
    #[cold]
    fn turned(&mut self) -> bool {
        let ends = self.next_colour.is_some() && self.is_empty();
        if ends {
            self.turn();
            self.flush_colour = None;
        }
        ends
    }

    /// As [`Self::turned`], where barriers may be in flight, or nobody has looked.
    #[inline(always)]
    pub(crate) fn has_turned(&mut self) -> bool {
        self.ways.any(Ways::TURNS) && self.turned()
    }

    /// Items get colour `c` from now on, of which nothing is in flight.
    pub(crate) fn set_colour(&mut self, c: Colour) {
        self.turn();
        self.change_colour(c);
    }

    fn change_colour(&mut self, c: Colour) {
        debug_assert!(self.is_empty_of(c) || c == self.work_colour, "colour {c}");
        self.set_older(self.work_colour, self.nr_in_flight() - self.nr_older());
        self.set_older(c, 0);
        self.work_colour = c;
    }

    /// A barrier of colour `c` is inserted.
    pub(crate) fn enter_barrier(&mut self, c: Colour) {
        self.nr_barriers += 1;
        if c != self.work_colour {
            self.set_older(c, self.older[usize::from(c) % COLOURS] + 1);
        }
    }

    /// A barrier of colour `c` is over; true if that ended a flush pass.
    pub(crate) fn leave_barrier(&mut self, c: Colour) -> bool {
        self.nr_barriers -= 1;
        self.fades(c) || self.has_turned()
    }

    /// One item of colour `c` is over, or was taken out; true if that ended a flush pass.
    #[inline(always)]
    pub(crate) fn leave(&mut self, c: Colour) -> bool {
        self.leaves(c) || self.has_turned()
    }

    /// As [`Self::leave`], if others are in flight: else [`Self::has_turned`] says it.
    #[inline(always)]
    pub(crate) fn leaves(&mut self, c: Colour) -> bool {
        self.passed += 1;
        self.fades(c)
    }

    /// As [`Self::leaves`], of what is not counted any more.
    #[inline(always)]
    pub(crate) fn fades(&mut self, c: Colour) -> bool {
        self.ways.any(Ways::COLOURED) && c != self.work_colour && self.fades_older(c)
    }

    #[inline(always)]
    fn fades_older(&mut self, c: Colour) -> bool {
        let n = &mut self.older[usize::from(c) % COLOURS];
        debug_assert!(*n > 0, "in-flight count of colour {c} underflows");
        *n -= 1;
        *n == 0 && self.faded(c)
    }

    /// Nothing of colour `c` is in flight any more.
    #[inline(never)]
    fn faded(&mut self, c: Colour) -> bool {
        self.set_older(c, 0);
        let ends = self.flush_colour == Some(c);
        if ends {
            self.flush_colour = None;
        }
        ends
    }
}
