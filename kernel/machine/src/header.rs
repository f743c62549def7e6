//! The two headers the machine layer and the executive share: per core and per thread.
//!
//! On the metal the core's header is what `TPIDR_EL1` points at and the thread's header is what
//! `SP_EL0` points at. Both are the first field of a larger executive structure. Offsets of the
//! fields the assembly reads are fixed by `repr(C)` and asserted below.

use core::cell::{Cell, UnsafeCell};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering, compiler_fence};

use crate::{CpuId, Fault};

/// A suspended flow of control: on the metal the saved stack pointer, in the simulator the number
/// of a coroutine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Context(pub usize);

impl Context {
    /// No flow of control: what a thread has that was never given one.
    pub const NONE: Self = Self(usize::MAX);
}

/// Functions the machine layer calls in the executive.
#[derive(Debug)]
pub struct Hooks {
    /// An interrupt is pending. Runs on the core's interrupt stack with interrupts masked; takes
    /// interrupts with [`crate::irq_ack`] until there is none, and runs softirqs on its way out.
    pub irq: fn(),
    /// Interrupt exit found preemption due. Runs on the interrupted thread's stack with interrupts
    /// masked, and returns with them masked.
    pub preempt: fn(),
    /// A preempt-off section ended with a reschedule due. Runs with interrupts enabled.
    pub resched: fn(),
    /// The outermost BH-off section ended with softirqs pending. Runs with preemption off and interrupts masked, and
    /// returns so; it may enable interrupts meanwhile.
    pub softirq: fn(),
    /// A fault nobody can mend. Returns only if the fault killed just one thread and another was
    /// switched to, which is to say never to the faulting code.
    pub fault: fn(&Fault<'_>) -> !,
    /// First Rust function of a new secondary core, on its boot stack with interrupts masked.
    pub secondary: fn(CpuId) -> !,
}

/// Head of a core's private data.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct CpuHeader {
    /// Top of the interrupt stack (16-byte aligned, exclusive).
    pub irq_stack_top: Cell<usize>,
    /// Top of the small stack used to report a stack overflow.
    pub overflow_stack_top: Cell<usize>,
    /// Non-zero while running on the interrupt stack; written by the vector code only.
    pub on_irq_stack: Cell<u32>,
    /// Which core this is.
    pub id: CpuId,
    /// Set by anyone who wants this core to pick again; cleared by its scheduler.
    pub need_resched: AtomicBool,
    /// Softirq vectors raised on this core, one bit each; owner core only, interrupts masked or
    /// by single relaxed operations.
    pub softirq_pending: AtomicU32,
    /// Upcalls into the executive.
    pub hooks: &'static Hooks,
    /// The executive's system-wide structure, opaque here.
    pub executive: Cell<*const ()>,
    /// True when this header is the first field of the executive's full per-core structure; false
    /// for the header a core uses before boot has made that.
    pub complete: Cell<bool>,
    /// Locks held on this core, for rank checks.
    pub held: HeldLocks,
    /// Spin locks that it had to wait for.
    pub contention: crate::Contention,
}

// SAFETY: the `Cell`s are written before the core starts or by the core itself.
#[expect(unsafe_code, reason = "the fields are owner-core only")]
unsafe impl Sync for CpuHeader {}

impl CpuHeader {
    /// A header for core `id`; the stacks are filled in before the core starts.
    #[must_use]
    pub const fn new(id: CpuId, hooks: &'static Hooks) -> Self {
        Self {
            irq_stack_top: Cell::new(0),
            overflow_stack_top: Cell::new(0),
            on_irq_stack: Cell::new(0),
            id,
            need_resched: AtomicBool::new(false),
            softirq_pending: AtomicU32::new(0),
            hooks,
            executive: Cell::new(core::ptr::null()),
            complete: Cell::new(false),
            held: HeldLocks::new(),
            contention: crate::Contention::new(),
        }
    }
}

/// Head of a thread.
#[derive(Debug)]
#[repr(C)]
pub struct ThreadHeader {
    /// Preempt word, see [`crate::PreemptWord`].
    pub preempt: AtomicU32,
    /// Lowest address of the usable stack.
    pub stack_low: Cell<usize>,
    /// One past the highest address of the stack.
    pub stack_high: Cell<usize>,
    /// The saved context while the thread does not run.
    pub context: UnsafeCell<Context>,
}

// SAFETY: the stack bounds are written before the thread is shared; the context is written and
// read by the switch protocol only, under the runqueue lock of the thread's core.
#[expect(unsafe_code, reason = "the switch protocol owns the context")]
unsafe impl Sync for ThreadHeader {}

impl ThreadHeader {
    /// A header for a thread whose stack spans `low..high`, with preemption off by `preempt`.
    #[must_use]
    pub const fn new(preempt: u32, low: usize, high: usize) -> Self {
        Self {
            preempt: AtomicU32::new(preempt),
            stack_low: Cell::new(low),
            stack_high: Cell::new(high),
            context: UnsafeCell::new(Context::NONE),
        }
    }
}

const _: () = {
    assert!(core::mem::offset_of!(CpuHeader, irq_stack_top) == 0);
    assert!(core::mem::offset_of!(CpuHeader, overflow_stack_top) == 8);
    assert!(core::mem::offset_of!(CpuHeader, on_irq_stack) == 16);
    assert!(core::mem::offset_of!(CpuHeader, need_resched) == 24);
    assert!(core::mem::offset_of!(ThreadHeader, preempt) == 0);
    assert!(core::mem::offset_of!(ThreadHeader, stack_low) == 8);
    assert!(core::mem::offset_of!(ThreadHeader, stack_high) == 16);
};

/// One held lock.
#[derive(Clone, Copy, Debug)]
pub struct HeldLock {
    /// Its place in the lock order.
    pub rank: u8,
    /// Its name in reports.
    pub name: &'static str,
    /// Its address, to find it again when it is released.
    pub address: usize,
}

/// The spin locks held on one core, innermost last. Touched only by its own core, with preemption
/// or interrupts off (one holds a spin lock), so interrupts on top leave it balanced.
#[derive(Debug)]
pub struct HeldLocks {
    locks: UnsafeCell<[HeldLock; Self::CAPACITY]>,
    len: Cell<usize>,
    base: Cell<usize>,
}

#[expect(unsafe_code, reason = "owner-core array without a lock")]
impl HeldLocks {
    const CAPACITY: usize = 16;

    const fn new() -> Self {
        const EMPTY: HeldLock = HeldLock {
            rank: 0,
            name: "",
            address: 0,
        };
        Self {
            locks: UnsafeCell::new([EMPTY; Self::CAPACITY]),
            len: Cell::new(0),
            base: Cell::new(0),
        }
    }

    /// Number of spin locks this core holds.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// True when this core holds no spin lock.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// The lock of highest rank taken in the current context (thread, softirq or interrupt).
    #[inline]
    #[must_use]
    pub fn highest(&self) -> Option<HeldLock> {
        (self.base.get()..self.len.get())
            .map(|i| self.at(i))
            .max_by_key(|l| l.rank)
    }

    /// The lock taken last.
    #[inline]
    #[must_use]
    pub fn last(&self) -> Option<HeldLock> {
        self.len.get().checked_sub(1).map(|i| self.at(i))
    }

    /// Records a lock just taken.
    #[inline]
    pub fn push(&self, lock: HeldLock) {
        let n = self.len.get();
        // The slot is taken before it is filled: an interrupt in between uses the next one, and
        // does not look at this one, since its context starts behind it (`enter`).
        self.len.set(n + 1);
        compiler_fence(Ordering::SeqCst);
        if n < Self::CAPACITY {
            // SAFETY: only the owner core touches the array, and `at` hands out copies.
            unsafe { (*self.locks.get())[n] = lock };
        }
    }

    /// Forgets the lock at `address`; locks may be released in any order.
    #[inline]
    pub fn pop(&self, address: usize) {
        let n = self.len.get().min(Self::CAPACITY);
        if let Some(i) = (0..n).rev().find(|&i| self.at(i).address == address) {
            for j in i..n.saturating_sub(1) {
                let next = self.at(j + 1);
                // SAFETY: as in `push`.
                unsafe { (*self.locks.get())[j] = next };
            }
        }
        self.len.set(self.len.get().saturating_sub(1));
    }

    /// Starts a nested context (interrupt or softirq): its locks are ordered among themselves.
    /// Give the result to [`Self::leave`].
    #[inline]
    pub fn enter(&self) -> usize {
        self.base.replace(self.len.get())
    }

    /// Ends a nested context.
    #[inline]
    pub fn leave(&self, base: usize) {
        self.base.set(base);
    }

    fn at(&self, i: usize) -> HeldLock {
        // SAFETY: only the owner core touches the array.
        unsafe { (*self.locks.get())[i.min(Self::CAPACITY - 1)] }
    }
}
