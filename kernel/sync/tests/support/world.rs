//! A machine of one core that writes down what the locks make of it.
//!
//! The hooks are plain functions, so the book they write into belongs to the host thread. Each line
//! is what happened and the preempt word at that moment.
#![expect(
    dead_code,
    reason = "each test program includes this file and uses a part of it"
)]

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;

use machine::{
    Context, CpuHeader, CpuId, Hooks, Instant, Interrupt, Protection, StartError, ThreadHeader,
    World,
};

thread_local! {
    static BOOK: RefCell<Vec<(&'static str, u32)>> = const { RefCell::new(Vec::new()) };
    static ON_RESCHED: Cell<fn()> = const { Cell::new(|| {}) };
}

fn note(what: &'static str) {
    BOOK.with_borrow_mut(|book| book.push((what, sync::preempt_word())));
}

static HOOKS: Hooks = Hooks {
    irq: || note("irq"),
    preempt: || note("preempt"),
    resched: || {
        machine::percpu()
            .need_resched
            .store(false, Ordering::Relaxed);
        note("resched");
        ON_RESCHED.get()();
    },
    softirq: || {
        assert!(machine::irqs_masked(), "the hook's contract");
        machine::percpu()
            .softirq_pending
            .store(0, Ordering::Relaxed);
        note("softirq");
    },
    fault: |fault| panic!("{}", fault.what),
    secondary: |_| panic!("there is one core"),
};

pub(crate) struct Core {
    cpu: CpuHeader,
    thread: ThreadHeader,
    masked: Cell<bool>,
    on_relax: Cell<fn()>,
}

impl Core {
    /// Runs `test` on a fresh core with interrupts enabled and nothing due.
    pub(crate) fn run(test: impl FnOnce(&Self)) {
        BOOK.with_borrow_mut(Vec::clear);
        ON_RESCHED.set(|| {});
        let core = Self {
            cpu: CpuHeader::new(CpuId::BOOT, &HOOKS),
            thread: ThreadHeader::new(0, 0, 0),
            masked: Cell::new(false),
            on_relax: Cell::new(|| {}),
        };
        machine::with_world(&core, || test(&core));
    }

    /// Somebody wants this core to pick again.
    pub(crate) fn want_resched(&self) {
        self.cpu.need_resched.store(true, Ordering::Relaxed);
    }

    /// An interrupt has raised a softirq.
    pub(crate) fn raise_softirq(&self) {
        self.cpu.softirq_pending.store(1, Ordering::Relaxed);
    }

    /// What happened since the last call.
    pub(crate) fn events(&self) -> Vec<(&'static str, u32)> {
        BOOK.with_borrow_mut(std::mem::take)
    }

    /// What to do at each turn of a spin loop, so that it ends.
    pub(crate) fn on_relax(&self, f: fn()) {
        self.on_relax.set(f);
    }

    /// What to do when the core reschedules.
    pub(crate) fn on_resched(&self, f: fn()) {
        ON_RESCHED.set(f);
    }

    /// The recorded lock of the highest rank.
    pub(crate) fn highest_held(&self) -> Option<&'static str> {
        self.cpu.held.highest().map(|lock| lock.name)
    }

    pub(crate) fn locks_held(&self) -> usize {
        self.cpu.held.len()
    }
}

impl World for Core {
    fn percpu(&self) -> *const CpuHeader {
        &raw const self.cpu
    }
    fn current(&self) -> *const ThreadHeader {
        &raw const self.thread
    }
    fn irq_save(&self) -> bool {
        !self.masked.replace(true)
    }
    fn irq_enable(&self) {
        self.masked.set(false);
    }
    fn irq_disable(&self) {
        self.masked.set(true);
    }
    fn irqs_masked(&self) -> bool {
        self.masked.get()
    }
    fn relax(&self) {
        note("relax");
        self.on_relax.get()();
    }
    fn sync_point(&self) {
        note("sync point");
    }
    fn allocation_allowed(&self, _bytes: usize) -> bool {
        true
    }
    fn pages_allowed(&self, _pages: usize) -> bool {
        true
    }
    fn thread_allowed(&self) -> bool {
        true
    }
    fn now(&self) -> Instant {
        Instant::ZERO
    }
    fn arm_timer(&self, _deadline: Option<Instant>) {}
    fn irq_ack(&self) -> Option<Interrupt> {
        None
    }
    fn irq_end(&self, _irq: Interrupt) {}
    fn idle(&self) {}
    fn console_write(&self, _bytes: &[u8]) {}
    fn console_read(&self) -> Option<u8> {
        None
    }
    fn entropy(&self) -> u64 {
        0
    }
    fn protect(&self, _address: usize, _bytes: usize, _rights: Protection) {}
    fn context_drop(&self, _context: Context) {}

    fn set_percpu(&self, _header: *const CpuHeader) {
        unreachable!("no lock moves a core");
    }
    fn set_current(&self, _header: *const ThreadHeader) {
        unreachable!("no lock switches");
    }
    fn send_ipi(&self, _cpu: CpuId) {
        unreachable!("there is one core");
    }
    fn shutdown(&self, _code: u8) -> ! {
        unreachable!("no lock ends the machine")
    }
    fn start_cpu(&self, _header: &'static CpuHeader) -> Result<(), StartError> {
        Err(StartError::Unknown)
    }
    fn context_init(
        &self,
        _low: usize,
        _high: usize,
        _entry: extern "C" fn(usize) -> !,
        _arg: usize,
    ) -> Context {
        unreachable!("no lock makes a thread")
    }
    fn switch(&self, _prev: *mut Context, _next: Context) {
        unreachable!("no lock switches")
    }
}
