//! The engine: virtual cores, one clock, and the choice of who goes on.
//!
//! All cores share one host thread. A core runs until its next seam call; there the engine records
//! the point, lets a little virtual time pass, chooses the core that goes on and resumes that
//! core's flow. Interrupts are taken at seam calls with interrupts unmasked, the way the metal's
//! vectors take them between two instructions.
//!
//! ```text
//!        resume flow of the chosen core            seam call
//!   run_loop ----------------------------> flow ---------------> point(): record, advance, choose
//!        <---------------------------------     <-- stays --------+   |
//!                    suspend (another core was chosen) <--------------+
//! ```
//!
//! When every core waits in `idle`, the clock jumps to the next event; if there is none, the world
//! is deadlocked. When the only core that can run spins, it jumps too, since nobody else could
//! release what it waits for.
//!
//! # Panics
//!
//! The kernel does not unwind. A panic in a world reaches [`Sim::panicked`] (by way of
//! [`crate::raise`]), still on the panicking flow's stack, which reports to the kernel as the
//! metal's panic handler does and never returns. The host's runtime, however, believes from then on
//! that its thread is panicking. So the rest of the world continues on a fresh host thread, while
//! the old one waits for it.
#![expect(
    unsafe_code,
    reason = "headers by address; a world may change its host thread"
)]

use core::cell::{Cell, RefCell};
use core::sync::atomic::Ordering;

use kernel::thread::ThreadCx;
use machine::{CpuHeader, CpuId, Hooks, Instant, PreemptWord, ThreadHeader};

use crate::arena::Arena;
use crate::core::{Core, IPI, NEVER};
use crate::device::Devices;
use crate::flow::Flows;
use crate::options::{Failure, Options, Strategy};
use crate::rng::Rng;
use crate::trace::{Event, Recorder, What};

/// Points a lone spinning core gets before the world counts as livelocked.
const MAX_LONE_SPINS: u64 = 100_000;
/// Spinning points in a row after which the clock jumps to the next event.
const SPIN_PATIENCE: u64 = 1_000;

/// What takes a panic's message and place and never returns.
pub type PanicHandler = fn(&str, &str, u32) -> !;

/// When a run has failed by taking too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Interleaving points.
    pub(crate) steps: u64,
    /// Virtual time in nanoseconds.
    pub(crate) ns: u64,
}

/// A simulated machine.
pub(crate) struct Sim {
    pub(crate) cores: Box<[Core]>,
    pub(crate) flows: Flows,
    pub(crate) arena: Arena,
    pub(crate) devices: Devices,
    pub(crate) rng: Rng,
    /// Apart from the choices, so that a strategy does not change what the world's devices do.
    pub(crate) world_rng: Rng,
    pub(crate) options: Options,
    limits: Limits,
    pub(crate) console: RefCell<Vec<u8>>,
    /// Index of the core whose turn it is.
    pub(crate) running: Cell<usize>,
    /// Cores that can run, one bit each.
    pub(crate) runnable: Cell<u64>,
    /// Earliest event of any core.
    pub(crate) next_event: Cell<u64>,
    pub(crate) clock: Cell<u64>,
    steps: Cell<u64>,
    choices: Cell<u64>,
    spins: Cell<u64>,
    /// 0 = the chosen core is any; n = stays on its core n times out of n + 1.
    stickiness: u32,
    recorder: Recorder,
    pub(crate) result: Cell<Option<Result<(), Failure>>>,
    /// The running flow panicked and needs a fresh host thread.
    moved: Cell<bool>,
    in_flow: Cell<bool>,
    panic_note: RefCell<(String, String, u32)>,
    /// Body of the kernel's first thread.
    pub(crate) init: Cell<Option<fn(&ThreadCx<'_>)>>,
    panic_handler: Option<PanicHandler>,
    early_thread: ThreadHeader,
    early_cpus: Box<[CpuHeader]>,
}

fn too_early() {
    panic!("an interrupt before the core was set up");
}

static EARLY_HOOKS: Hooks = Hooks {
    irq: too_early,
    preempt: too_early,
    resched: too_early,
    softirq: too_early,
    fault: |f| panic!("fault before the core was set up: {}", f.what),
    secondary: |_| panic!("a core was started without hooks"),
};

impl Sim {
    pub(crate) fn new(
        cpus: usize,
        seed: u64,
        options: Options,
        limits: Limits,
        panic_handler: Option<PanicHandler>,
    ) -> Box<Self> {
        let rng = Rng::new(seed);
        let world_rng = rng.fork();
        let stickiness = [0, 1, 3, 7, 31, 127][rng.below(6) as usize];
        let early: Box<[CpuHeader]> = (0..cpus)
            .map(|i| CpuHeader::new(CpuId::new(i), &EARLY_HOOKS))
            .collect();
        let early_thread = ThreadHeader::new(PreemptWord::PREEMPT, 0, usize::MAX);
        let mut sim = Box::new(Self {
            cores: Box::new([]),
            flows: Flows::default(),
            arena: Arena::new(options.memory_bytes),
            devices: Devices::default(),
            rng,
            world_rng,
            options,
            limits,
            console: RefCell::default(),
            running: Cell::new(0),
            runnable: Cell::new(1),
            next_event: Cell::new(NEVER),
            clock: Cell::new(0),
            steps: Cell::new(0),
            choices: Cell::new(0),
            spins: Cell::new(0),
            stickiness,
            recorder: Recorder::new(options.keep_trace),
            result: Cell::new(None),
            moved: Cell::new(false),
            in_flow: Cell::new(false),
            panic_note: RefCell::default(),
            init: Cell::new(None),
            panic_handler,
            early_thread,
            early_cpus: early,
        });
        let thread: *const ThreadHeader = &raw const sim.early_thread;
        sim.cores = sim
            .early_cpus
            .iter()
            .map(|h| Core::new(core::ptr::from_ref(h), thread))
            .collect();
        sim
    }

    /// Puts the boot core at the start of `main`.
    pub(crate) fn start(&self, main: impl FnOnce() + 'static) {
        let boot = &self.cores[0];
        boot.flow.set(self.flows.boot(main));
        boot.started.set(true);
        self.refresh();
    }

    /// Runs the world to its end.
    pub(crate) fn run_loop(&self) {
        while self.unfinished() {
            self.in_flow.set(true);
            self.flows.resume(self.core().flow.get());
            self.in_flow.set(false);
            self.serve_devices();
            if self.moved.replace(false) {
                self.continue_elsewhere();
            }
        }
    }

    /// True while a flow of the world runs, not the engine.
    pub(crate) const fn in_flow(&self) -> bool {
        self.in_flow.get()
    }

    /// True while the world has no result.
    fn unfinished(&self) -> bool {
        let result = self.result.take();
        let none = result.is_none();
        self.result.set(result);
        none
    }

    /// Runs the rest of the world on another host thread and waits for it.
    fn continue_elsewhere(&self) {
        struct Whole<'a>(&'a Sim);
        // SAFETY: this thread does nothing with the world until the other one is done with it.
        unsafe impl Send for Whole<'_> {}
        let whole = Whole(self);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let Whole(sim) = { whole };
                crate::current::enter(sim, || sim.run_loop());
            });
        });
    }

    /// The core whose turn it is.
    #[inline]
    pub(crate) fn core(&self) -> &Core {
        &self.cores[self.running.get()]
    }

    /// Virtual time.
    #[inline]
    pub(crate) fn time(&self) -> Instant {
        Instant::from_nanos(self.clock.get())
    }

    pub(crate) const fn steps(&self) -> u64 {
        self.steps.get()
    }

    pub(crate) const fn choices(&self) -> u64 {
        self.choices.get()
    }

    pub(crate) fn finish_trace(&self) -> crate::trace::Trace {
        self.recorder.finish()
    }

    /// Recomputes what depends on the state of all cores.
    pub(crate) fn refresh(&self) {
        let (mut runnable, mut next) = (0, self.devices.next_event());
        for (i, core) in self.cores.iter().enumerate() {
            if core.started.get() {
                core.advance(self.clock.get());
                next = next.min(core.next_event());
                runnable |= u64::from(core.can_run()) << i;
            }
        }
        self.runnable.set(runnable);
        self.next_event.set(next);
    }

    /// Records an event of the running core.
    #[inline]
    pub(crate) fn record(&self, what: What, arg: u64) {
        self.recorder.record(Event {
            step: self.steps.get(),
            at: self.time(),
            cpu: self.running.get() as u8,
            what,
            arg,
        });
    }

    /// An interleaving point of the running core: others may go on here, and interrupts come in.
    #[inline]
    pub(crate) fn point(&self, what: What, arg: u64) {
        self.spins.set(0);
        self.record(what, arg);
        self.pass_time();
        let me = self.running.get();
        let next = self.choose(me);
        self.go_on_with(next);
        self.take_interrupts();
    }

    /// A point of a core that waits for another one.
    pub(crate) fn spin_point(&self) {
        self.record(What::Relax, 0);
        self.pass_time();
        let spins = self.spins.get() + 1;
        self.spins.set(spins);
        let me = self.running.get();
        let others = self.runnable.get() & !(1 << me);
        if others == 0 || spins.is_multiple_of(SPIN_PATIENCE) {
            if self.next_event.get() != NEVER {
                self.jump();
            } else if spins > MAX_LONE_SPINS {
                self.end(Err(Failure::Livelock));
            }
        }
        let others = self.runnable.get() & !(1 << me);
        let next = if others == 0 {
            me
        } else {
            self.pick(others, me)
        };
        self.go_on_with(next);
        self.take_interrupts();
    }

    /// Counts a step and lets time pass.
    #[inline]
    fn pass_time(&self) {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > self.limits.steps {
            self.end(Err(Failure::StepLimit));
        }
        let cores = self.runnable.get().count_ones().max(1);
        let ns = u64::from(self.world_rng.below(self.options.max_step_ns) / cores + 1);
        self.clock.set(self.clock.get() + ns);
        if self.clock.get() >= self.next_event.get() {
            self.happen();
        }
    }

    /// Moves the clock to the next event.
    fn jump(&self) {
        self.clock.set(self.clock.get().max(self.next_event.get()));
        if self.clock.get() > self.limits.ns {
            self.end(Err(Failure::TimeLimit));
        }
        self.happen();
    }

    /// Chooses who goes on after core `me`, which can.
    #[inline]
    fn choose(&self, me: usize) -> usize {
        let runnable = self.runnable.get();
        if runnable & (runnable - 1) == 0 {
            return me;
        }
        self.choices.set(self.choices.get() + 1);
        match self.options.strategy {
            Strategy::RandomWalk if self.stickiness == 0 => self.pick(runnable, me),
            Strategy::RandomWalk if !self.rng.one_in(self.stickiness + 1) => me,
            _ => self.pick(runnable & !(1 << me), me),
        }
    }

    /// Picks one of `set` (not empty) by the strategy.
    #[inline]
    fn pick(&self, set: u64, me: usize) -> usize {
        match self.options.strategy {
            Strategy::RandomWalk => {
                let mut rest = set;
                for _ in 0..self.rng.below(set.count_ones()) {
                    rest &= rest - 1;
                }
                rest.trailing_zeros() as usize
            }
            Strategy::RoundRobin => {
                let after = set & (u64::MAX << me) & !(1 << me);
                (if after == 0 { set } else { after }).trailing_zeros() as usize
            }
        }
    }

    /// Gives the turn to core `next`; returns when the calling flow has it again, maybe on another
    /// core.
    #[inline]
    fn go_on_with(&self, next: usize) {
        if next != self.running.get() {
            let flow = self.core().flow.get();
            self.running.set(next);
            self.flows.suspend(flow);
        }
    }

    /// The running core waits for an interrupt; returns when one is pending.
    pub(crate) fn wait_for_interrupt(&self) {
        let me = self.running.get();
        let core = &self.cores[me];
        while core.pending.get() == 0 {
            core.waiting.set(true);
            self.refresh();
            while self.runnable.get() == 0 {
                if self.next_event.get() == NEVER {
                    self.end(Err(Failure::Deadlock));
                }
                self.jump();
            }
            let next = self.pick(self.runnable.get(), me);
            self.go_on_with(next);
            core.waiting.set(false);
        }
        self.refresh();
    }

    /// Delivers pending interrupts to the running core, as the metal's vector code does.
    #[inline]
    pub(crate) fn take_interrupts(&self) {
        loop {
            let core = self.core();
            if core.masked.get() || core.pending.get() == 0 {
                return;
            }
            self.interrupt(core);
        }
    }

    #[cold]
    fn interrupt(&self, core: &Core) {
        self.record(What::Interrupt, u64::from(core.pending.get()));
        core.masked.set(true);
        // SAFETY: headers installed by the kernel outlive everything in its world.
        let header = unsafe { &*core.percpu.get() };
        let nested = header.on_irq_stack.replace(1);
        (header.hooks.irq)();
        header.on_irq_stack.set(nested);
        debug_assert!(
            core::ptr::eq(core, self.core()),
            "an interrupt handler changed its core"
        );
        // SAFETY: the running thread's header outlives its running.
        let thread = unsafe { &*core.current.get() };
        if nested == 0
            && thread.preempt.load(Ordering::Relaxed) == 0
            && header.need_resched.load(Ordering::Relaxed)
        {
            self.record(What::Preempt, 0);
            (header.hooks.preempt)();
        }
        // The thread may have come back on another core.
        self.core().masked.set(false);
    }

    /// Sends an IPI to core `target`.
    pub(crate) fn post_ipi(&self, target: usize) {
        let core = &self.cores[target];
        let delay = match self.options.max_ipi_ns {
            0 => 0,
            max if self.world_rng.one_in(2) => u64::from(self.world_rng.below(max)),
            _ => 0,
        };
        if delay == 0 {
            core.pending.set(core.pending.get() | IPI);
        } else {
            core.ipi_at
                .set(core.ipi_at.get().min(self.clock.get() + delay));
        }
        self.refresh();
    }

    /// Takes one pending interrupt of the running core.
    pub(crate) fn acknowledge(&self) -> Option<u32> {
        let core = self.core();
        let pending = core.pending.get();
        let bit = match pending {
            0 => return None,
            // Two at once are taken in either order.
            p if !p.is_power_of_two() && self.world_rng.one_in(2) => 1 << p.ilog2(),
            p => p & p.wrapping_neg(),
        };
        core.pending.set(pending & !bit);
        Some(bit)
    }

    /// Ends the world with `result`, unless it has one; called on a flow, which never goes on.
    pub(crate) fn end(&self, result: Result<(), Failure>) -> ! {
        if self.unfinished() {
            self.result.set(Some(result));
        }
        loop {
            self.flows.suspend(self.core().flow.get());
        }
    }

    /// Keeps what the panic hook was told.
    pub(crate) fn note_panic(&self, message: &str, file: &str, line: u32) {
        *self.panic_note.borrow_mut() = (message.to_owned(), file.to_owned(), line);
    }

    /// The running flow panicked; called on its stack instead of unwinding it.
    pub(crate) fn panicked(&self) -> ! {
        let (message, file, line) = self.panic_note.take();
        self.record(What::Panic, u64::from(line));
        if !self.unfinished() {
            self.end(Ok(()));
        }
        self.moved.set(true);
        self.flows.suspend(self.core().flow.get());
        match self.panic_handler {
            // Before the core has data of its own the kernel cannot report.
            Some(handler) if !self.is_early() => handler(&message, &file, line),
            _ => self.end(Err(Failure::Panic(format!("{message}, at {file}:{line}")))),
        }
    }

    fn is_early(&self) -> bool {
        let header = self.core().percpu.get();
        self.early_cpus.iter().any(|h| core::ptr::eq(h, header))
    }
}
