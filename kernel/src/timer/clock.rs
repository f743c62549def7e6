//! What a core's one hardware timer is set to, and why.
//!
//! Every core has one one-shot comparator. Four things want it: the end of the running thread's
//! slice, the end of the CPU budget of the work item it executes (E14), the end of a worker's patience
//! with the core, and the core's first armed timer. It is set to the earliest, and left alone when what
//! it is set for moves back: it then fires once for nothing and is set anew. So a core that switches often
//! touches its timer about once per slice, not at every switch; one that falls idle gets at most one
//! interrupt more.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use machine::Instant;
use sync::handshake::Running;

use crate::cpu::this_cpu;
use crate::softirq::{self, Vector};
use crate::thread;

/// [`CoreClock::went_on`] of a core that rests.
const AT_REST: u64 = u64::MAX;

/// A budget that never ends.
pub(crate) const NO_BUDGET: u64 = u64::MAX;

/// A budget that runs.
struct Budget {
    from: u64,
    span: u64,
}

/// The budget of a worker that does not run: how much of it was used, and how long it is, by the raw counter.
#[derive(Debug)]
pub(crate) struct Kept {
    used: Cell<u64>,
    /// [`NO_BUDGET`] if none is kept.
    span: Cell<u64>,
}

impl Kept {
    /// None.
    pub(crate) const fn new() -> Self {
        Self {
            used: Cell::new(0),
            span: Cell::new(NO_BUDGET),
        }
    }
}

/// What a core's hardware timer is set to and why. `[C]` but `running`.
pub(crate) struct CoreClock {
    slice_end: Cell<Instant>,
    /// When the item that the running worker executes began, or went on, by the raw counter.
    budget_from: Cell<u64>,
    /// For how long from then it may use the core, if it keeps it, a span of the raw counter: anew with each item. [`NO_BUDGET`] if
    /// that does not matter.
    budget: Cell<u64>,
    /// When a worker may have waited for the core for long: a time that [`Self::program`] has no eye on;
    /// it is set when it comes up, and again when the timer has fired.
    watch_due: Cell<Instant>,
    /// No armed timer is due before this, unless the TIMER softirq is about to look; the first may be due
    /// later: it is cancelled more often than it fires, and then nobody looks for the next.
    pub(super) timer_due: Cell<Instant>,
    programmed: Cell<Instant>,
    /// The same by the raw counter.
    programmed_stamp: Cell<u64>,
    /// When the core last went on after [`Self::hold`], in nanoseconds; [`AT_REST`] until it does.
    went_on: AtomicU64,
    /// Address of the timer whose callback runs on this core, for `cancel_sync`.
    pub(super) running: Running,
}

impl CoreClock {
    pub(crate) const fn new() -> Self {
        Self {
            slice_end: Cell::new(Instant::FOREVER),
            budget_from: Cell::new(0),
            budget: Cell::new(NO_BUDGET),
            watch_due: Cell::new(Instant::FOREVER),
            timer_due: Cell::new(Instant::FOREVER),
            programmed: Cell::new(Instant::FOREVER),
            programmed_stamp: Cell::new(u64::MAX),
            went_on: AtomicU64::new(0),
            running: Running::new(),
        }
    }

    /// The core starts: nothing is programmed. Interrupts are masked.
    pub(crate) fn reset(&self) {
        for at in [&self.slice_end, &self.watch_due, &self.timer_due] {
            at.set(Instant::FOREVER);
        }
        self.end_budget();
        self.nothing_programmed();
    }

    /// Notes when the running thread's slice ends, [`Instant::FOREVER`] if nobody waits for the core;
    /// interrupts are masked.
    #[inline(always)]
    pub(crate) fn set_slice_end(&self, at: Instant) {
        self.slice_end.set(at);
        if at < self.programmed.get() {
            self.set_hardware(at);
        }
    }

    /// As [`Self::set_slice_end`], in the timer's interrupt, at whose end the hardware is set for all.
    pub(crate) fn note_slice_end(&self, at: Instant) {
        self.slice_end.set(at);
    }

    /// The running worker may use the core for `budget`, a span of the raw counter or [`NO_BUDGET`], from now on;
    /// interrupts are masked.
    #[inline(always)]
    pub(crate) fn start_budget(&self, budget: u64) {
        self.set_budget(Budget {
            from: machine::stamp(),
            span: budget,
        });
    }

    #[inline(always)]
    fn set_budget(&self, budget: Budget) {
        self.budget_from.set(budget.from);
        self.budget.set(budget.span);
        let end = self.budget_end();
        if end < self.programmed_stamp.get() {
            self.set_for_budget(machine::stamp_time(end));
        }
    }

    /// As [`Self::start_budget`], at `now` by the raw counter, of a worker that has had the same budget since it came to the core: the hardware timer does not
    /// fire later than at the end of that one. A worker of a pool whose limit changes begins anew (`Pool::set_tuning`).
    #[inline(always)]
    pub(crate) fn renew_budget(&self, now: u64, budget: impl FnOnce() -> u64) {
        debug_assert!(self.budget.get() == budget(), "it has another budget");
        self.budget_from.set(now);
    }

    /// When the budget ends, by the raw counter.
    #[inline(always)]
    fn budget_end(&self) -> u64 {
        self.budget_from.get().saturating_add(self.budget.get())
    }

    /// The raw counter said that the hardware timer may fire too late for a budget that ends at `at`.
    #[cold]
    fn set_for_budget(&self, at: Instant) {
        if at < self.programmed.get() {
            self.set_hardware(at);
        }
    }

    /// The running worker's budget counts no more; interrupts are masked.
    #[inline(always)]
    pub(crate) fn end_budget(&self) {
        self.budget.set(NO_BUDGET);
    }

    /// When the budget ends.
    #[inline(always)]
    fn budget_time(&self) -> Instant {
        match self.budget_end() {
            NO_BUDGET => Instant::FOREVER,
            end => machine::stamp_time(end),
        }
    }

    /// At a switch: `prev` keeps how much of its budget it has used, unless it is asleep, after which it gets another one; `next`
    /// goes on with what it has left. While it runs it has nothing laid by. Interrupts are masked.
    #[inline(always)]
    pub(crate) fn switch_budget(&self, prev: &Kept, asleep: bool, next: &Kept) {
        let budget = self.budget.get();
        if budget & next.span.get() == NO_BUDGET {
            return;
        }
        if budget != NO_BUDGET {
            if !asleep {
                let used = machine::stamp().saturating_sub(self.budget_from.get());
                prev.used.set(used.min(budget));
                prev.span.set(budget);
            }
            self.end_budget();
        }
        if next.span.get() != NO_BUDGET {
            // As if it had begun so long ago, all of it here.
            self.set_budget(Budget {
                from: machine::stamp().saturating_sub(next.used.get()),
                span: next.span.replace(NO_BUDGET),
            });
        }
    }

    /// Sets the hardware timer if it would fire too late; interrupts are masked.
    #[inline]
    pub(crate) fn program(&self) {
        let at = self
            .slice_end
            .get()
            .min(self.timer_due.get())
            .min(self.budget_time());
        if at < self.programmed.get() {
            self.set_hardware(at);
        }
    }

    /// Whether [`Self::set_timer_due`] with `at` does anything.
    #[inline(always)]
    pub(super) fn must_know(&self, at: Instant) -> bool {
        at < self.timer_due.get()
    }

    /// A timer of this core is due at `at`, perhaps before all others; interrupts are masked.
    #[inline(always)]
    pub(super) fn set_timer_due(&self, at: Instant) {
        if at < self.timer_due.get() {
            self.timer_due.set(at);
            if at < self.programmed.get() {
                self.set_hardware(at);
            }
        }
    }

    /// At time `due` at the latest [`wq::preempted`](crate::wq::preempted) looks who has waited for the
    /// core; interrupts are masked.
    pub(crate) fn watch(&self, due: Instant) {
        self.watch_due.set(due.min(self.watch_due.get()));
        if due < self.programmed.get() {
            self.set_hardware(due);
        }
    }

    /// As [`Self::program`], with [`Self::watch`]'s time.
    fn program_all(&self) {
        self.program();
        if self.watch_due.get() < self.programmed.get() {
            self.set_hardware(self.watch_due.get());
        }
    }

    /// The machine sleeps: the hardware timer is for `until` only, whatever is due before. Interrupts
    /// are masked.
    pub(crate) fn hold(&self, until: Instant) {
        self.went_on.store(AT_REST, Ordering::Relaxed);
        self.nothing_programmed();
        if until == Instant::FOREVER {
            machine::cancel_timer();
        } else {
            let _stamp = machine::arm_timer(until);
        }
    }

    /// When the core last went on after a rest, `None` between [`Self::hold`] and [`Self::go_on`]. What
    /// was due before is late since then only. Any core may ask.
    pub(crate) fn awake_since(&self) -> Option<Instant> {
        match self.went_on.load(Ordering::Relaxed) {
            AT_REST => None,
            at => Some(Instant::from_nanos(at)),
        }
    }

    /// Undoes [`Self::hold`].
    pub(crate) fn go_on(&self) {
        self.went_on
            .store(machine::now().as_nanos(), Ordering::Relaxed);
        self.nothing_programmed();
        machine::cancel_timer();
        self.program_all();
    }

    // The rare case, and the only place that sets the timer: the seam's call becomes instructions here.
    #[inline(never)]
    fn set_hardware(&self, at: Instant) {
        self.programmed.set(at);
        self.programmed_stamp.set(machine::arm_timer(at));
    }

    /// The hardware timer is not set for anything.
    fn nothing_programmed(&self) {
        self.programmed.set(Instant::FOREVER);
        self.programmed_stamp.set(u64::MAX);
    }
}

/// The hardware timer fired; hard-interrupt context.
#[inline(never)]
pub(crate) fn interrupt() {
    let c = this_cpu();
    let now = machine::now();
    c.clock.nothing_programmed();
    if c.clock.slice_end.get() <= now {
        crate::schedule::slice_timer(now);
    }
    if c.clock.budget_end() <= machine::stamp() {
        c.clock.end_budget();
        crate::wq::hooks::worker_over_budget(thread::current());
    }
    if c.clock.watch_due.get() <= now {
        c.clock.watch_due.set(Instant::FOREVER);
        crate::wq::preempted::time_is_over(now);
    }
    if c.clock.timer_due.get() <= now {
        // Off until the softirq has looked: it reprograms.
        c.clock.timer_due.set(Instant::FOREVER);
        softirq::raise(Vector::Timer);
    }
    c.clock.program_all();
}
