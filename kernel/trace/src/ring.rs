//! The ring of one core: the last `N` events, written without a lock, read from anywhere.
//!
//! # Writing
//!
//! Only the owner core writes, with interrupts masked, so one event is written at a time: four
//! words, then the count. Nothing is ever waited for; the oldest event is overwritten.
//!
//! # Reading
//!
//! Event number `n` is in slot `n % N`, and it is whole from the moment the count has passed it until
//! the writer of event `n + N` begins. A reader copies the slot and then looks at the count: if that
//! says that the writer may have begun, the copy is thrown away.
//!
//! # Orderings
//!
//! One release fence per event, between its words and the count:
//!
//! * words(n) → fence → count = n + 1. A reader that acquires `count > n` sees words(n).
//! * The same fence stands between count = n and words(n + 1). A reader that saw any of words(n + 1),
//!   put an acquire fence behind its copy and then reads the count, reads at least n. So a writer
//!   may be ahead of the count by one event plus the one in progress: the copy of event `p` is good
//!   if `p + N > count + 1`, and `N - 2` events can be read.
//!
//! A release store of the count alone would not do: it does not keep the *next* event's words from
//! becoming visible first.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::asked::{ASIDE, Asked};
use crate::{Categories, Event};

/// The atomic operations a ring needs; the model checker supplies its own.
pub trait Word: Sized {
    /// A word with this value.
    fn new(value: u64) -> Self;
    /// Reads.
    fn load(&self, order: Ordering) -> u64;
    /// Writes.
    fn store(&self, value: u64, order: Ordering);
    /// A fence.
    fn fence(order: Ordering);
    /// Writes each of `words` to the slot, relaxed and in any order.
    #[inline(always)]
    fn store_event(slot: &Slot<Self>, words: [u64; 4]) {
        for (to, word) in slot.iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
    }
}

impl Word for AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }
    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
    #[inline(always)]
    fn fence(order: Ordering) {
        fence(order);
    }
}

/// One event's place.
pub type Slot<A> = [A; 4];

/// No memory for a ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMemory;

/// A core's ring of `N` events, a power of two and at least 4. `S` is where they are kept.
pub struct Ring<const N: usize, A = AtomicU64, S = Box<[Slot<A>; N]>> {
    wanted: AtomicU32,
    /// Events written so far.
    count: A,
    slots: S,
}

impl<const N: usize, A: Word, S> fmt::Debug for Ring<N, A, S>
where
    S: Deref<Target = [Slot<A>; N]>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl<const N: usize, A: Word> Ring<N, A> {
    /// An empty ring that wants `categories`.
    ///
    /// # Errors
    ///
    /// [`NoMemory`].
    pub fn new(categories: Categories) -> Result<Self, NoMemory> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(N).map_err(|_| NoMemory)?;
        slots.resize_with(N, || core::array::from_fn(|_| A::new(0)));
        let slots = slots.into_boxed_slice().try_into();
        Ok(Self::over(slots.map_err(|_| NoMemory)?, categories))
    }
}

impl<const N: usize, A: Word, S> Ring<N, A, S>
where
    S: Deref<Target = [Slot<A>; N]>,
{
    const CHECK: () = assert!(
        N >= 4 && N.is_power_of_two(),
        "a ring of 4, 8, 16... events"
    );

    /// An empty ring in `slots` that wants `categories`.
    pub fn over(slots: S, categories: Categories) -> Self {
        const { Self::CHECK };
        Self {
            wanted: AtomicU32::new(categories.0 & !ASIDE),
            count: A::new(0),
            slots,
        }
    }

    /// Which of `categories` are to be written, and whether [`Self::set_aside`] was told: one look for both.
    #[inline(always)]
    pub fn asked(&self, categories: Categories) -> Asked {
        Asked::of(self.wanted.load(Ordering::Relaxed), categories)
    }

    /// Has [`Asked::aside`] say yes, for something that is done at the same places as events, or no more.
    pub fn set_aside(&self, on: bool) {
        if on {
            self.wanted.fetch_or(ASIDE, Ordering::Relaxed);
        } else {
            self.wanted.fetch_and(!ASIDE, Ordering::Relaxed);
        }
    }

    /// Whether events of `categories` are to be written.
    #[inline(always)]
    pub fn wants(&self, categories: Categories) -> bool {
        self.wanted.load(Ordering::Relaxed) & categories.0 & !ASIDE != 0
    }

    /// The categories that are to be written.
    #[inline(always)]
    pub fn wanted(&self) -> Categories {
        Categories(self.wanted.load(Ordering::Relaxed) & !ASIDE)
    }

    /// Changes what is to be written.
    pub fn want(&self, categories: Categories) {
        let change = |old| Some(old & ASIDE | categories.0 & !ASIDE);
        let order = Ordering::Relaxed;
        let _before = self.wanted.fetch_update(order, order, change);
    }

    /// Writes one event; by the owner core, with interrupts masked.
    #[inline(always)]
    pub fn push(&self, words: [u64; 4]) {
        let n = self.count.load(Ordering::Relaxed);
        let slot = &self.slots[n as usize % N];
        A::store_event(slot, words);
        A::fence(Ordering::Release);
        self.count.store(n.wrapping_add(1), Ordering::Relaxed);
    }

    /// Events written so far; the next event's number.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Event number `n`; `None` when it was overwritten or is not there yet.
    pub fn get(&self, n: u64) -> Option<[u64; 4]> {
        if n >= self.count() {
            return None;
        }
        let slot = &self.slots[n as usize % N];
        let words = core::array::from_fn(|i| slot[i].load(Ordering::Relaxed));
        A::fence(Ordering::Acquire);
        let count = self.count.load(Ordering::Relaxed);
        (n + N as u64 > count + 1).then_some(words)
    }
}

/// Reads one ring from a place onwards, each event once.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Reader {
    next: u64,
    lost: u64,
}

impl Reader {
    /// Starts with the oldest event.
    #[must_use]
    pub const fn oldest() -> Self {
        Self { next: 0, lost: 0 }
    }

    /// Starts with the `n` newest events of `ring`; what is older does not count as lost.
    #[must_use]
    pub fn last<const N: usize, A: Word, S>(ring: &Ring<N, A, S>, n: u64) -> Self
    where
        S: Deref<Target = [Slot<A>; N]>,
    {
        let keep = n.min(N as u64 - 2);
        Self {
            next: ring.count().saturating_sub(keep),
            lost: 0,
        }
    }

    /// Events that were overwritten before this reader came to them.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// The next event; `None` when all were read.
    pub fn read<const N: usize, A: Word, S>(&mut self, ring: &Ring<N, A, S>) -> Option<Event>
    where
        S: Deref<Target = [Slot<A>; N]>,
    {
        loop {
            let count = ring.count();
            if self.next >= count {
                return None;
            }
            let first = (count + 2).saturating_sub(N as u64);
            if self.next < first {
                self.lost += first - self.next;
                self.next = first;
            }
            let words = ring.get(self.next);
            self.next += 1;
            match words.as_ref().and_then(Event::unpack) {
                Some(event) => return Some(event),
                None => self.lost += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::{Head, Kind};
    use std::sync::atomic::AtomicBool;

    fn event(i: u64) -> [u64; 4] {
        Event::pack(i, Kind::NetRx, Head::of(i as u32), !i, i)
    }

    fn ring<const N: usize>() -> Ring<N> {
        Ring::new(Categories::ALL).expect("memory")
    }

    #[test]
    fn events_come_out_in_order_and_once() {
        let ring = ring::<8>();
        let mut reader = Reader::oldest();
        assert_eq!(reader.read(&ring), None);
        for i in 0..5 {
            ring.push(event(i));
        }
        for i in 0..5 {
            assert_eq!(reader.read(&ring).map(|e| e.stamp), Some(i));
        }
        assert_eq!(reader.read(&ring), None);
        assert_eq!(reader.lost(), 0);
    }

    #[test]
    fn what_is_asked_for_aside_is_no_category() {
        let ring = ring::<8>();
        ring.want(Categories::SCHED);
        assert!(!ring.asked(Categories::WORKQUEUE).event());
        assert!(!ring.asked(Categories::WORKQUEUE).aside());
        ring.set_aside(true);
        assert_eq!(ring.wanted(), Categories::SCHED, "it is not told of");
        let asked = ring.asked(Categories::WORKQUEUE);
        assert!(asked.aside() && !asked.event());
        assert!(ring.asked(Categories::SCHED).event());
        assert!(asked.also(Categories::SCHED) && !asked.also(Categories::LATENCY));
        ring.want(Categories::NONE);
        assert!(ring.asked(Categories::IRQ).aside(), "it stays");
        assert!(!ring.wants(Categories::ALL));
        ring.want(Categories(u32::MAX));
        ring.set_aside(false);
        assert!(!ring.asked(Categories::IRQ).aside(), "nor is it a category");
        assert!(ring.asked(Categories::IRQ).event());
    }

    #[test]
    fn the_oldest_are_overwritten_and_counted() {
        let ring = ring::<8>();
        let mut reader = Reader::oldest();
        for i in 0..100 {
            ring.push(event(i));
        }
        let mut seen = std::vec::Vec::new();
        while let Some(e) = reader.read(&ring) {
            seen.push(e.stamp);
        }
        assert_eq!(seen, [94, 95, 96, 97, 98, 99]);
        assert_eq!(reader.lost(), 94);
    }

    #[test]
    fn a_reader_may_start_near_the_end() {
        let ring = ring::<16>();
        for i in 0..50 {
            ring.push(event(i));
        }
        let mut reader = Reader::last(&ring, 3);
        assert_eq!(reader.read(&ring).map(|e| e.stamp), Some(47));
        assert_eq!(
            Reader::last(&ring, 1_000).read(&ring).map(|e| e.stamp),
            Some(36)
        );
        assert_eq!(reader.lost(), 0);
    }

    #[test]
    fn categories_are_switched_at_run_time() {
        let ring = ring::<4>();
        assert!(ring.wants(Categories::NET));
        ring.want(Categories::DEFAULT);
        assert!(!ring.wants(Categories::NET));
        assert!(ring.wants(Categories::SCHED));
    }

    #[test]
    fn a_reader_beside_the_writer_sees_whole_events() {
        const EVENTS: u64 = 200_000;
        let ring = ring::<8>();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..EVENTS).for_each(|i| ring.push(event(i)));
                over.store(true, Ordering::Release);
            });
            let mut reader = Reader::oldest();
            let (mut seen, mut last) = (0, None);
            loop {
                let finished = over.load(Ordering::Acquire);
                while let Some(e) = reader.read(&ring) {
                    assert_eq!((e.a, e.b, e.head.arg), (!e.stamp, e.stamp, e.stamp as u32));
                    assert!(last < Some(e.stamp), "{last:?} then {}", e.stamp);
                    last = Some(e.stamp);
                    seen += 1;
                }
                if finished {
                    break;
                }
            }
            assert_eq!(seen + reader.lost(), EVENTS);
        });
    }
}
