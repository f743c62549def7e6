//! Threads: what they are, how they begin and end.
//!
//! ```text
//!            spawn                     prepare_to_sleep          schedule
//!   (none) ---------> Running  ----------------------> Sleeping ----------> off the runqueue
//!                      ^   |  ^                           |                      |
//!                      |   |  +------- cancel_sleep ------+                      |
//!                      |   |             (1)                                     |
//!                      |   +-- exit --> Dead                                     |
//!                      +------------------- wake ------------------------(2)-----+
//! ```
//!
//! `Running` covers "on a core" and "waiting on a runqueue": preemption does not change the state.
//! (1) The condition the thread was going to wait for became true before it gave up the core.
//! (2) `schedule::wake` under the runqueue lock of the thread's core.
//!
//! Lost wake-ups: a sleeper stores `Sleeping`, fences, and then reads its condition; a waker makes
//! the condition true, fences, and then reads the state. One of the two sees the other
//! ([`sync::handshake::SleepState`]).
//!
//! Ownership: a thread is an `Arc`. The scheduler holds one reference from spawn until the thread
//! that runs next on its last core drops it (`finish_switch`), because a thread cannot free the
//! stack it stands on.
#![expect(
    unsafe_code,
    reason = "entry closure, scheduler-owned reference, container_of"
)]

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU64, Ordering};

use links::Handle;
use machine::{CpuId, ThreadHeader};
use sched::Entity;
pub use sched::Nice;
pub use sync::handshake::State;
use sync::handshake::{Home, ParkToken, SleepState};
use workqueue::anatomy::Away;

use crate::completion::Completion;
use crate::cpu::{CpuLocal, cpu};
use crate::lend::{self, Party};
use crate::mem::{self, Stack};
use crate::mutex::HeldMutexes;
use crate::timer::{KeptBudget, Timer};
use crate::waits::{SleepsIn, Wait};
use crate::{kernel, schedule, waits, wq};

mod builder;
mod current;
mod party;
mod place;
mod survivor;
mod table;

pub(crate) use builder::cut;
pub use builder::{Builder, SpawnError};
pub(crate) use current::exit;
use current::wake_sleeper;
pub use current::{ThreadCx, current, park, sleep, sleep_until, yield_now};
pub use survivor::{Survivor, with_survivor};
pub(crate) use table::{TableNode, ThreadTable};
pub use table::{
    ThreadInfo, find, for_each_thread, quarantined_stack_bytes, thread_count, waits_for,
};

/// A shared reference to a thread.
pub type ThreadRef = Arc<Thread>;

/// Longest thread name in bytes; longer ones are cut.
pub const NAME_BYTES: usize = 32;

/// A thread's name.
pub type Name = heapless::String<NAME_BYTES>;

type Entry = Box<dyn FnOnce(&ThreadCx<'_>) + Send>;

/// A kernel thread. `[I]` set at spawn, `[R]` under the runqueue lock of `cpu`, `[A]` atomic,
/// `[P]` private to the thread, `[G]` under the
/// wait graph's lock.
#[repr(C)]
pub struct Thread {
    pub(crate) header: ThreadHeader,
    /// `[R]` the scheduler's view.
    pub(crate) entity: UnsafeCell<Entity>,
    /// `[A]` see [`State`]; `Sleeping -> Running` by others only under `[R]`.
    pub(crate) state: SleepState,
    /// `[A]` core whose runqueue owns the thread; changed under that runqueue's lock only.
    pub(crate) home: Home<CpuLocal>,
    /// `[R]` 1 if its core is the only one on which it may run: the byte, since a `bool` is made from it anew at every look.
    stays: AtomicU8,
    /// `[A]` cores it may run on.
    affinity: AtomicU64,
    /// `[A]` CPU time in nanoseconds, complete up to the last switch.
    pub(crate) cpu_ns: AtomicU64,
    /// `[A]` non-null for a worker of a pool; the scheduler then calls its hooks.
    pub(crate) worker: AtomicPtr<wq::Worker>,
    /// `[R]` how much of its work item's CPU budget it has used, while it does not run (E14).
    pub(crate) budget: KeptBudget,
    /// Whether its pool is told when it waits for its core for long.
    pub(crate) watch: wq::preempted::Watch,
    /// `[R]` for how long it was off its core; itself may read it.
    pub(crate) away: Cell<Away>,
    /// `[A]` a token left by `unpark`.
    park_token: ParkToken,
    /// Wakes the thread at the end of a timed sleep.
    pub(crate) sleep_timer: Timer,
    /// Mutexes the thread holds or waits for.
    pub(crate) mutexes: HeldMutexes,
    /// `[G]` the wait it has published, or null; see [`crate::waits`].
    pub(crate) waits: Cell<*const Wait<'static>>,
    /// `[A]` what it sleeps in, for reports.
    pub(crate) sleeps_in: waits::Label,
    /// Whom it lends to, and who lends to it; under the lending lock.
    party: Party,
    /// `[A]` its own nice value and the one that counts; changed under `[R]`.
    nices: AtomicU16,
    /// `[P]` who is told if it panics.
    pub(crate) survivors: survivor::Survivors,
    /// `[P]` the innermost scope of work items that it has not left.
    pub(crate) scopes: Cell<*const wq::OpenScope>,
    /// Place in the list of all threads.
    table_node: UnsafeCell<TableNode>,
    /// `[P]` what to run, taken by the first instruction of the thread.
    entry: UnsafeCell<Option<Entry>>,
    /// Completed at exit.
    exited: Completion,
    /// `[I]` freed with the thread.
    stack: Option<Stack>,
    pub(crate) name: Name,
    id: u32,
    /// `[I]` what switches to and from it are told with: its number, or 0 of an idle thread.
    pub(crate) told_id: u32,
}

// SAFETY: `entity`, `budget` and `away` are `[R]`, `waits` is `[G]`, `entry`, `survivors` and `scopes` are `[P]`; everything else is atomic, a
// lock or `[I]`.
unsafe impl Sync for Thread {}
// SAFETY: nothing in it is tied to the spawning thread, a published wait is read under its lock; the entry closure is `Send`, a survivor `Sync`.
unsafe impl Send for Thread {}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.id)
    }
}

impl Thread {
    fn make(b: &Builder, entry: Option<Entry>, preempt: u32) -> Option<ThreadRef> {
        let bytes = b.stack_bytes.unwrap_or(kernel().info().stack_bytes);
        let stack = Stack::alloc(bytes)?;
        let (low, high) = (stack.low(), stack.high());
        let idle = entry.is_none();
        let id = kernel().threads.next_id();
        let thread = mem::try_arc(Self {
            header: ThreadHeader::new(preempt, low, high),
            entity: UnsafeCell::new(Entity::new(b.nice, b.slice).pinned(b.affinity.count() == 1)),
            state: SleepState::new(),
            home: Home::new(core::ptr::from_ref(cpu(CpuId::BOOT)).cast_mut()),
            stays: AtomicU8::new(0),
            affinity: AtomicU64::new(b.affinity.0),
            cpu_ns: AtomicU64::new(0),
            worker: AtomicPtr::new(core::ptr::null_mut()),
            park_token: ParkToken::new(),
            budget: KeptBudget::new(),
            watch: wq::preempted::Watch::new(),
            away: Cell::new(Away::new()),
            sleep_timer: Timer::new(wake_sleeper),
            mutexes: HeldMutexes::new(),
            waits: Cell::new(core::ptr::null()),
            sleeps_in: waits::Label::new(),
            party: Party::thread(b.nice, b.slice),
            nices: AtomicU16::new(both(b.nice, b.nice)),
            survivors: survivor::Survivors::new(),
            scopes: Cell::new(core::ptr::null()),
            table_node: UnsafeCell::new(TableNode::new()),
            entry: UnsafeCell::new(entry),
            exited: Completion::new(),
            stack: Some(stack),
            name: b.name.clone(),
            id,
            told_id: if idle { 0 } else { id },
        })
        .ok()?;
        let main = if idle {
            crate::boot::idle_main
        } else {
            thread_main
        };
        let arg = Arc::as_ptr(&thread).expose_provenance();
        // SAFETY: the stack belongs to this thread alone and is freed with it.
        let context = unsafe { machine::context_init(low, high, main, arg) };
        // SAFETY: nobody else knows the thread yet.
        unsafe { *thread.header.context.get() = context };
        Some(thread)
    }

    /// The thread whose header this is.
    ///
    /// # Safety
    ///
    /// The header is the first field of a live `Thread` (not an early boot header).
    #[inline(always)]
    pub(crate) unsafe fn of_header<'a>(header: *const ThreadHeader) -> &'a Self {
        // SAFETY: promised by the caller; `repr(C)` puts the header first.
        unsafe { &*header.cast::<Self>() }
    }

    /// The thread whose entity this is.
    ///
    /// # Safety
    ///
    /// The handle was made by [`Self::handle`] of a live thread.
    #[inline(always)]
    pub(crate) unsafe fn of_entity<'a>(h: Handle<Entity>) -> &'a Self {
        let p = core::ptr::with_exposed_provenance::<u8>(h.raw() - offset_of!(Self, entity));
        // SAFETY: promised by the caller.
        unsafe { &*p.cast::<Self>() }
    }

    /// The scheduler's handle of this thread.
    #[inline(always)]
    pub(crate) fn handle(&self) -> Handle<Entity> {
        core::ptr::from_ref(self).expose_provenance();
        Handle::of(self.entity.get())
    }

    /// The name given at spawn.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A number no other thread of this kernel has had.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// State at the moment of the call.
    #[inline(always)]
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// Where it sleeps, or was preempted: writes return addresses, innermost first, and returns how many. If it wakes up
    /// meanwhile they may be those of one moment or another. None in the simulator. Any context.
    pub fn backtrace(&self, out: &mut [usize]) -> usize {
        let header = &self.header;
        // SAFETY: one word inside a live thread. Whoever switches at this moment writes a whole word, and
        // the walk trusts neither value.
        let context = unsafe { header.context.get().read_volatile() };
        machine::backtrace_of(
            context,
            header.stack_low.get()..header.stack_high.get(),
            out,
        )
    }

    /// CPU time used up to the thread's last switch, in nanoseconds.
    pub fn cpu_time_ns(&self) -> u64 {
        self.cpu_ns.load(Ordering::Relaxed)
    }

    /// Sets the nice level; takes effect at once, unless who waits for the thread lends it a lower one.
    pub fn set_nice(&self, nice: Nice) {
        lend::set_nice(self, nice);
    }

    /// Its own nice level.
    pub fn nice(&self) -> Nice {
        self.nices().0
    }

    /// The nice level that counts: its own, or a lower one that is lent by who waits for it (see
    /// [`crate::lend`]). Any context; stale at once.
    pub fn effective_nice(&self) -> Nice {
        self.nices().1
    }

    /// Its own nice level and the one that counts, as of one moment.
    pub(crate) fn nices(&self) -> (Nice, Nice) {
        let [own, effective] = self.nices.load(Ordering::Relaxed).to_le_bytes();
        let nice = |n: u8| Nice::new(n as i8).unwrap_or(Nice::ZERO);
        (nice(own), nice(effective))
    }

    /// Publishes what [`Self::nices`] tells; under the lock of the runqueue that owns the thread.
    pub(crate) fn publish_nices(&self, own: Nice, effective: Nice) {
        self.nices.store(both(own, effective), Ordering::Relaxed);
    }

    /// Waits until the thread has ended.
    pub fn join(&self, cx: &ThreadCx<'_>) {
        let _said = waits::sleeps_in(SleepsIn::Join);
        self.exited.wait(cx);
    }

    /// True once the thread has ended.
    pub fn has_exited(&self) -> bool {
        self.state() == State::Dead
    }

    /// Lets a parked thread go on, or its next [`park`] return at once. Any context.
    pub fn unpark(&self) {
        self.park_token.give();
        schedule::wake(self);
    }

    /// The stack is kept out of circulation for ever: the thread died in a panic, or holding a
    /// mutex, and something may still point into it.
    ///
    /// So is the thread itself: a wait node on that stack, or the mutex, may still name it.
    pub(crate) fn quarantine(&self) {
        kernel()
            .threads
            .count_quarantined(self.header.stack_high.get() - self.header.stack_low.get());
        // SAFETY: the running thread is referenced by the scheduler, as an `Arc`.
        unsafe { Arc::increment_strong_count(core::ptr::from_ref(self)) };
    }
}

/// Two nice levels in a word.
const fn both(own: Nice, effective: Nice) -> u16 {
    u16::from_le_bytes([own.get() as u8, effective.get() as u8])
}

impl Drop for Thread {
    fn drop(&mut self) {
        let context = *self.header.context.get_mut();
        // One that found no memory for itself never got a context.
        if context != machine::Context::NONE {
            // SAFETY: the last reference is gone, so the thread does not run and is in no container.
            unsafe { machine::context_drop(context) };
        }
    }
}

/// First function of every thread but the idle ones; runs with interrupts masked and the runqueue
/// lock held, like every thread right after a switch.
extern "C" fn thread_main(arg: usize) -> ! {
    // SAFETY: `make` passed the address of the thread, which is alive while it runs.
    let thread = unsafe { &*core::ptr::with_exposed_provenance::<Thread>(arg) };
    schedule::finish_first_switch();
    machine::irq_enable();
    // SAFETY: `[P]`: this is the thread, and it takes its entry once.
    let entry = unsafe { (*thread.entry.get()).take() };
    if let Some(entry) = entry {
        entry(&ThreadCx::mint());
    }
    exit()
}
