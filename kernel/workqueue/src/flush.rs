//! Flushing a workqueue: waiting for everything queued before now, and for nothing later (I1, I2).
//!
//! Waiting for "empty" livelocks under a steady producer. Instead each item carries the colour that
//! was current when it was queued. A flush closes the current colour, opens the next, and waits
//! until no item of the closed one is in flight in any pwq. With 16 colours up to 15 flushes wait
//! with a colour of their own; later ones overflow and share the colour that frees up first.
//!
//! One flusher, the *first*, has armed the pwqs; when the last pwq is done the executive resumes
//! it and it calls [`Flush::cascade`], which releases everybody whose colour is over and makes the
//! next one first. All functions stand under the workqueue's lock.

use links::{Arena, Handle, Linked, List, ListLinks};

use crate::{COLOURS, Colour};

/// One waiting flush; lives in the waiting thread.
#[derive(Debug, Default)]
pub struct Flusher {
    links: ListLinks<Self>,
    colour: Colour,
    /// It has no colour yet, and waits for whatever is in flight.
    overflowed: bool,
}

impl Flusher {
    /// A flush that is not waiting yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            links: ListLinks::new(),
            colour: 0,
            overflowed: false,
        }
    }
}

impl Linked for Flusher {
    fn list_links(&self) -> &ListLinks<Self> {
        &self.links
    }
    fn list_links_mut(&mut self) -> &mut ListLinks<Self> {
        &mut self.links
    }
}

/// What a new flush must do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum FlushStart {
    /// Nothing was in flight; it is over.
    Done,
    /// It is the first flusher: wait until the armed pwqs are done, then call
    /// [`Flush::cascade`].
    First,
    /// Wait until a cascade completes it or makes it first.
    Wait,
}

/// How a cascade resolved a waiting flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cascade {
    /// It is over.
    Complete,
    /// It is the first flusher now; the pwqs are about to be armed for it.
    First,
}

/// The colours of one workqueue.
#[derive(Debug, Default)]
pub struct Flush {
    work_colour: Colour,
    flush_colour: Colour,
    first: bool,
    queue: List<Flusher>,
    overflow: List<Flusher>,
}

const fn after(c: Colour) -> Colour {
    (c + 1) % COLOURS as Colour
}

impl Flush {
    /// No flush under way.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            work_colour: 0,
            flush_colour: 0,
            first: false,
            queue: List::new(),
            overflow: List::new(),
        }
    }

    /// The colour of all that is in flight: that of new items, as long as no flush is under way.
    #[inline(always)]
    #[must_use]
    pub const fn only_colour(&self) -> Option<Colour> {
        if self.first {
            None
        } else {
            Some(self.work_colour)
        }
    }

    /// Flush `f` begins. `pass(wait_for, work_colour)` calls [`crate::Pwq::flush`] on every pwq
    /// under its pool's lock; true if any was armed.
    pub fn start<A: Arena<Flusher>>(
        &mut self,
        a: &mut A,
        f: Handle<Flusher>,
        mut pass: impl FnMut(Option<Colour>, Option<Colour>) -> bool,
    ) -> FlushStart {
        let next = after(self.work_colour);
        if next == self.flush_colour {
            self.overflow.push_back(a, f);
            a.get_mut(f).overflowed = true;
            return FlushStart::Wait;
        }
        let colour = core::mem::replace(&mut self.work_colour, next);
        a.get_mut(f).colour = colour;
        if self.first {
            self.queue.push_back(a, f);
            let _none = pass(None, Some(next));
            return FlushStart::Wait;
        }
        debug_assert!(self.flush_colour == colour, "a colour was skipped");
        self.first = true;
        if pass(Some(colour), Some(next)) {
            return FlushStart::First;
        }
        self.first = false;
        self.flush_colour = next;
        FlushStart::Done
    }

    /// The first flusher's colour is over. `pass` as in [`Self::start`]; `resolve` is told of every
    /// waiting flush whose fate is decided, `First` before its pwqs are armed.
    pub fn cascade<A: Arena<Flusher>>(
        &mut self,
        a: &mut A,
        mut pass: impl FnMut(Option<Colour>, Option<Colour>) -> bool,
        mut resolve: impl FnMut(Handle<Flusher>, Cascade),
    ) {
        self.first = false;
        loop {
            // Overflowed flushes share one colour, so several may be over at once.
            while let Some(f) = self.queue.front() {
                if a.get(f).colour != self.flush_colour {
                    break;
                }
                self.queue.remove(a, f);
                resolve(f, Cascade::Complete);
            }
            self.flush_colour = after(self.flush_colour);
            if !self.overflow.is_empty() {
                let next = after(self.work_colour);
                let colour = core::mem::replace(&mut self.work_colour, next);
                while let Some(f) = self.overflow.pop_front(a) {
                    let node = a.get_mut(f);
                    (node.colour, node.overflowed) = (colour, false);
                    self.queue.push_back(a, f);
                }
                let _none = pass(None, Some(next));
            }
            let Some(f) = self.queue.front() else { return };
            debug_assert!(a.get(f).colour == self.flush_colour, "a colour was skipped");
            self.queue.remove(a, f);
            self.first = true;
            resolve(f, Cascade::First);
            if pass(Some(self.flush_colour), None) {
                return;
            }
            self.first = false;
            resolve(f, Cascade::Complete);
        }
    }

    /// Whether `f`, which waits, waits for items of colour `c` that are in flight.
    #[must_use]
    pub fn covers<A: Arena<Flusher>>(&self, a: &A, f: Handle<Flusher>, c: Colour) -> bool {
        let f = a.get(f);
        let age = |c: Colour| (c + COLOURS as Colour - self.flush_colour) % COLOURS as Colour;
        f.overflowed || age(c) <= age(f.colour)
    }

    /// The colour of what is queued now, for a pwq that joins.
    #[must_use]
    pub const fn work_colour(&self) -> Colour {
        self.work_colour
    }

    /// No flush is under way.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        !self.first && self.queue.is_empty() && self.overflow.is_empty()
    }
}
