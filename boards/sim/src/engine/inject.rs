//! Faults: which ones a world has, when they strike, and what they do.
//!
//! A world has about half of the kinds it may have, at rates of its own, all drawn from its seed:
//! some worlds suffer from one kind alone, others from many (swarm testing). Faults begin with the
//! scenario, not with the boot.
//!
//! Some are answers to the kernel ("no memory", "this IPI takes long"); the others strike by
//! themselves at a point and hit any core.

use core::cell::Cell;

use super::Sim;
use crate::core::{Core, NOTHING, STRANGER};
use crate::decision::Choice;
use crate::faults::{Injected, Kinds};
use crate::rng::Rng;
use crate::trace::What;

/// One unit of a stall, in nanoseconds.
const STALL_NS: u64 = 1_000;
/// Points until the next strike for each interrupt of a storm.
const STORM_POINTS: u64 = 64;
/// A late interrupt is at most so many nanoseconds late.
const LATE_NS: u32 = 200_000;

/// The faults of one world.
#[derive(Debug)]
pub(crate) struct Injector {
    rng: Rng,
    /// Kinds this world will have once the scenario has begun.
    drawn: Kinds,
    /// Kinds it has now.
    kinds: Cell<Kinds>,
    /// Of threads: how many more are made, then how many are not.
    threads: (Cell<u32>, Cell<u32>),
    /// No thread is made now, by the scenario's wish.
    no_threads: Cell<bool>,
    /// Nor any block of the heap.
    no_heap: Cell<bool>,
    /// No core is switched off now, by the scenario's wish.
    no_leaving: Cell<bool>,
    /// Allocations: one in so many fails.
    memory: u32,
    /// Interrupts: one in so many is late.
    late: u32,
    /// Points from one strike to the next, on average half of this.
    gap: u32,
    /// Strikes still to come: a world must also see what follows them.
    left: Cell<u32>,
    /// Step of the next strike.
    pub(super) next: Cell<u64>,
    counts: [Cell<u64>; Kinds::COUNT],
}

impl Injector {
    pub(super) fn new(kinds: Kinds, rng: Rng) -> Self {
        let drawn = kinds.and(Kinds::of_bits(rng.next() as u16));
        let failures = match rng.below(3) {
            0 => 1,
            1 => 2 + rng.below(6),
            _ => 20 + rng.below(20),
        };
        Self {
            drawn: if drawn.is_empty() { kinds } else { drawn },
            kinds: Cell::new(Kinds::NONE),
            threads: (Cell::new(rng.below(12)), Cell::new(failures)),
            no_threads: Cell::new(false),
            no_heap: Cell::new(false),
            no_leaving: Cell::new(false),
            memory: 4 << rng.below(7),
            late: 2 << rng.below(6),
            gap: 32 << rng.below(8),
            left: Cell::new(16 << rng.below(6)),
            next: Cell::new(u64::MAX),
            counts: Default::default(),
            rng,
        }
    }

    /// The scenario begins at this step.
    pub(super) fn begin(&self, step: u64) {
        self.kinds.set(self.drawn);
        self.again(step);
    }

    /// The scenario is over.
    pub(super) fn end(&self) {
        self.kinds.set(Kinds::NONE);
        self.no_threads.set(false);
        self.no_heap.set(false);
        self.no_leaving.set(false);
        self.next.set(u64::MAX);
    }

    /// Draws the step of the next strike.
    fn again(&self, step: u64) {
        let left = self.left.get();
        self.next.set(if self.strikes().is_empty() || left == 0 {
            u64::MAX
        } else {
            step + 1 + u64::from(self.rng.below(self.gap))
        });
        self.left.set(left.saturating_sub(1));
    }

    fn strikes(&self) -> Kinds {
        let striking = Kinds::SPURIOUS.or(Kinds::STALL).or(Kinds::STORM);
        self.kinds.get().and(striking)
    }

    fn has(&self, kind: Kinds) -> bool {
        self.kinds.get().has(kind)
    }

    /// 0 or 1.
    pub(super) fn coin(&self) -> u32 {
        self.rng.below(2)
    }

    /// True when the next thread shall not be made.
    fn refuses_thread(&self) -> bool {
        let (before, failures) = &self.threads;
        if !self.has(Kinds::THREAD) && !self.has(Kinds::FOREVER) {
            return false;
        }
        if before.get() > 0 {
            before.set(before.get() - 1);
            return false;
        }
        if self.has(Kinds::FOREVER) {
            return true;
        }
        let refused = failures.get() > 0;
        failures.set(failures.get().saturating_sub(1));
        refused
    }

    fn refuses(&self, kind: Kinds) -> bool {
        self.has(kind) && self.rng.one_in(self.memory)
    }

    /// By how many nanoseconds an interrupt is late.
    fn lateness(&self, kind: Kinds) -> u32 {
        if self.has(kind) && self.rng.one_in(self.late) {
            1 + self.rng.below(LATE_NS >> self.rng.below(12))
        } else {
            0
        }
    }

    /// What strikes whom: a choice and its value.
    fn draw_strike(&self, cores: &[Core]) -> (Choice, u32) {
        let kinds = self.strikes();
        let order = [
            (Kinds::SPURIOUS, Choice::Spurious),
            (Kinds::STALL, Choice::Stall),
            (Kinds::STORM, Choice::Storm),
        ];
        let mut possible = order.iter().filter(|(k, _)| kinds.has(*k));
        let n = self.rng.below(possible.clone().count() as u32);
        let what = possible.nth(n as usize).map_or(Choice::Spurious, |s| s.1);
        let amount = match what {
            Choice::Stall => 1 << self.rng.below(11),
            Choice::Storm => 8 << self.rng.below(6),
            _ => self.rng.below(2),
        };
        let started = cores.iter().filter(|c| c.started.get()).count();
        (what, (self.rng.below(started as u32) + 1) | (amount << 8))
    }

    /// Counts a fault.
    pub(crate) fn count(&self, kind: Kinds) {
        let count = &self.counts[kind.index()];
        count.set(count.get() + 1);
    }

    pub(crate) fn injected(&self) -> Injected {
        Injected(core::array::from_fn(|i| self.counts[i].get()))
    }
}

/// Refuses every thread that the kernel of the calling scenario's world wants to make, or no more.
/// Beside what the seed refuses, for scenarios that look at what follows.
pub fn refuse_threads(on: bool) {
    if let Some(sim) = crate::current::sim() {
        sim.injector.no_threads.set(on);
    }
}

/// Refuses the kernel of the calling scenario's world all heap that it can do without, or no more.
pub fn refuse_heap(on: bool) {
    if let Some(sim) = crate::current::sim() {
        sim.injector.no_heap.set(on);
    }
}

/// Has the firmware refuse to switch off any core of the calling scenario's world, or no more.
pub fn refuse_leaving(on: bool) {
    if let Some(sim) = crate::current::sim() {
        sim.injector.no_leaving.set(on);
    }
}

impl Sim {
    /// Whether the firmware switches a core off.
    pub(crate) fn may_leave(&self) -> bool {
        !self.injector.no_leaving.get()
    }

    /// Whether the kernel may make a thread.
    pub(crate) fn may_make_thread(&self) -> bool {
        if self.injector.no_threads.get() {
            return self.refused(1, Kinds::THREAD, 0);
        }
        let refused = self.decide(Choice::Thread, |f| u32::from(f.refuses_thread()));
        let kind = if self.injector.has(Kinds::FOREVER) {
            Kinds::FOREVER
        } else {
            Kinds::THREAD
        };
        self.refused(refused, kind, 0)
    }

    /// Whether the kernel gets `bytes` of heap.
    pub(crate) fn may_allocate(&self, bytes: usize) -> bool {
        if self.injector.no_heap.get() {
            return self.refused(1, Kinds::HEAP, bytes);
        }
        let refused = self.decide(Choice::Heap, |f| u32::from(f.refuses(Kinds::HEAP)));
        self.refused(refused, Kinds::HEAP, bytes)
    }

    /// Whether the kernel gets `pages` pages.
    pub(crate) fn may_take_pages(&self, pages: usize) -> bool {
        let refused = self.decide(Choice::Pages, |f| u32::from(f.refuses(Kinds::PAGES)));
        self.refused(refused, Kinds::PAGES, pages)
    }

    fn refused(&self, refused: u32, kind: Kinds, amount: usize) -> bool {
        if refused != 0 {
            self.record(What::AllocRefused, amount as u64);
            self.injector.count(kind);
        }
        refused == 0
    }

    /// How many nanoseconds an IPI takes that is sent now.
    pub(super) fn ipi_delay(&self) -> u64 {
        let usual = self.options.max_ipi_ns;
        let ns = self.decide(Choice::Ipi, |f| match f.lateness(Kinds::IPI) {
            0 if usual != 0 && f.rng.one_in(2) => f.rng.below(usual),
            0 => 0,
            late => usual + late,
        });
        if ns > usual {
            self.injector.count(Kinds::IPI);
        }
        u64::from(ns)
    }

    /// By how many nanoseconds the timer that is armed now will be late.
    pub(crate) fn timer_lateness(&self) -> u64 {
        let ns = self.decide(Choice::Timer, |f| f.lateness(Kinds::TIMER));
        if ns != 0 {
            self.injector.count(Kinds::TIMER);
        }
        u64::from(ns)
    }

    /// A strike by the seed is due.
    pub(super) fn strike(&self) {
        let (what, value) = self.injector.draw_strike(&self.cores);
        self.note(what, value);
        self.hit(what, value);
        // A storm gets time to pass, or the cores would do nothing else.
        let pause = match what {
            Choice::Storm => u64::from(value >> 8) * STORM_POINTS,
            _ => 0,
        };
        self.injector.again(self.steps.get() + pause);
    }

    /// A strike does its work.
    pub(super) fn hit(&self, what: Choice, value: u32) {
        let (target, amount) = ((value as usize & 0xff).wrapping_sub(1), value >> 8);
        let Some(core) = self.cores.get(target).filter(|c| c.started.get()) else {
            return;
        };
        self.record(What::Fault, u64::from(value) << 8 | what as u64);
        let kind = match what {
            Choice::Stall => {
                let end = self.clock.get() + u64::from(amount) * STALL_NS;
                core.stalled_until.set(end);
                Kinds::STALL
            }
            Choice::Storm => {
                core.storm.set(amount);
                core.raise(STRANGER);
                Kinds::STORM
            }
            _ => {
                core.raise(if amount == 0 { NOTHING } else { STRANGER });
                Kinds::SPURIOUS
            }
        };
        self.injector.count(kind);
        self.refresh();
    }
}
