//! Inter-processor interrupts: one line, a mailbox per core that says why.
//!
//! "Look at your runqueue" needs no mail: the sender set `need_resched`, and interrupt exit looks
//! at it. The other reasons are a softirq to raise, a function to call, or "stop".

use core::fmt;

use machine::CpuId;
use sync::handshake::Mail;
use sync::{HardIrqGuard, Rank, SpinLock};

use crate::cpu::{cpu, this_cpu};
use crate::softirq::{self, VECTORS, Vector};
use crate::trace::{Head, Kind, emit, emit_unmasked};

/// Most calls waiting for one core.
const CALLS: usize = 64;

/// The core should stop for good.
const STOP: u32 = 1 << 31;
/// Calls are waiting.
const CALL: u32 = 1 << 30;
/// The core should give a sign of life.
const PULSE: u32 = 1 << 29;
/// Softirqs to raise.
const SOFTIRQS: u32 = (1 << VECTORS) - 1;

#[derive(Clone, Copy)]
struct Call {
    f: fn(usize),
    arg: usize,
}

/// What other cores want of one core: [`SOFTIRQS`], [`CALL`], [`STOP`].
pub(crate) struct Mailbox {
    bits: Mail,
    calls: SpinLock<Calls>,
}

struct Calls {
    waiting: heapless::Deque<Call, CALLS>,
    /// The core is offline, or nearly so.
    closed: bool,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("bits", &self.bits)
            .finish_non_exhaustive()
    }
}

impl Mailbox {
    pub(crate) const fn new() -> Self {
        Self {
            bits: Mail::new(),
            calls: SpinLock::new(
                Rank::Mailbox,
                "mailbox",
                Calls {
                    waiting: heapless::Deque::new(),
                    closed: false,
                },
            ),
        }
    }
}

/// Why a core was not called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallError {
    /// It has too many calls waiting; try again.
    Full,
    /// It is offline.
    Offline,
}

fn post(target: CpuId, bit: u32) {
    if cpu(target).mailbox.bits.post(bit) {
        let to = Head::of(target.index() as u32);
        emit_unmasked(Kind::IpiSend, to, u64::from(bit), 0);
        machine::send_ipi(target);
    }
}

/// Raises a softirq on another core.
pub(crate) fn raise_softirq(target: CpuId, vector: Vector) {
    post(target, 1 << vector as u8);
}

/// Has core `target` answer [`crate::lockup::answer`].
pub(crate) fn ask_for_pulse(target: CpuId) {
    post(target, PULSE);
}

/// Runs `f(arg)` on core `target` in hard-interrupt context, soon; does not wait. Any context.
/// On the calling core it runs at once.
///
/// # Errors
///
/// [`CallError`]; nothing was queued. What was is called also if the core goes offline meanwhile.
pub fn call_on(target: CpuId, f: fn(usize), arg: usize) -> Result<(), CallError> {
    let irq = sync::IrqGuard::new();
    if target == this_cpu().id() {
        f(arg);
    } else {
        let mut calls = cpu(target).mailbox.calls.lock();
        if calls.closed {
            return Err(CallError::Offline);
        }
        let push = calls.waiting.push_back(Call { f, arg });
        push.map_err(|_| CallError::Full)?;
        drop(calls);
        post(target, CALL);
    }
    drop(irq);
    Ok(())
}

/// Tells every other core to stop for good.
pub(crate) fn stop_others() {
    let me = this_cpu().id();
    for id in crate::cpu::online().iter().filter(|&id| id != me) {
        post(id, STOP);
        machine::send_ipi(id);
    }
}

/// An IPI arrived; hard-interrupt context.
pub(crate) fn handle() {
    let c = this_cpu();
    let bits = c.mailbox.bits.take();
    emit(Kind::IpiEntry, Head::of(0), u64::from(bits), 0);
    if bits & STOP != 0 {
        loop {
            machine::idle();
            // A pending interrupt would end the wait at once; nobody is left to care.
            machine::relax();
        }
    }
    let mut softirqs = bits & SOFTIRQS;
    while softirqs != 0 {
        softirq::raise(Vector::ALL[softirqs.trailing_zeros() as usize]);
        softirqs &= softirqs - 1;
    }
    if bits & PULSE != 0 {
        answer_for_pulse();
    }
    if bits & CALL != 0 {
        make_calls(&c.mailbox);
    }
    emit(Kind::IpiExit, Head::of(0), 0, 0);
}

// Apart, as it wants a large frame.
#[cold]
#[inline(never)]
fn answer_for_pulse() {
    crate::lockup::answer();
}

fn make_calls(mailbox: &Mailbox) {
    loop {
        let next = mailbox.calls.lock().waiting.pop_front();
        let Some(call) = next else { break };
        (call.f)(call.arg);
    }
}

/// The running core wants to go offline, in its idle thread with interrupts masked: makes the calls that
/// wait for it and refuses others from now on.
pub(crate) fn close() {
    let c = this_cpu();
    c.mailbox.calls.lock().closed = true;
    let context = HardIrqGuard::new();
    make_calls(&c.mailbox);
    drop(context);
}

/// After [`close`]: the core stays and takes calls again. Its mail waits as before, with the interrupt
/// that tells of it, which is still masked.
pub(crate) fn stay_open() {
    this_cpu().mailbox.calls.lock().closed = false;
}

/// After [`close`]: the core goes. It forgets the softirqs that it was asked for, which concern what goes to
/// another core.
pub(crate) fn forget() {
    this_cpu().mailbox.bits.take();
}

/// The core takes calls again; on that core. Interrupts posted while it was off came to nothing.
pub(crate) fn reopen() {
    let c = this_cpu();
    c.mailbox.bits.take();
    c.pulse.begin();
    c.mailbox.calls.lock().closed = false;
}
