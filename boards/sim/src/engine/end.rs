//! Ends of a world: in order, by a failure, by a panic; and the kernel looked at afterwards.
//!
//! A flow that ends its world never goes on, and nothing it owns is dropped.
#![expect(unsafe_code, reason = "headers by address")]

use core::sync::atomic::Ordering;

use machine::PreemptWord;

use super::Sim;
use crate::options::Failure;
use crate::trace::What;

impl Sim {
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
        *self.last_panic.borrow_mut() = Some((message.clone(), format!("{file}:{line}")));
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

    /// Looks at the kernel by `f` from an idle core's flow: its seam calls are no points. `None`
    /// while there is no kernel.
    pub(crate) fn at_rest<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        if self.init.get().is_none() || self.is_early() {
            return None;
        }
        // SAFETY: the running thread's header outlives its running.
        let thread = unsafe { &*self.core().current.get() };
        let preempt = thread.preempt.load(Ordering::Relaxed);
        // Locks that are released must not lead into the scheduler.
        thread
            .preempt
            .store(preempt + PreemptWord::PREEMPT, Ordering::Relaxed);
        let still = self.still.replace(true);
        let r = f();
        self.still.set(still);
        thread.preempt.store(preempt, Ordering::Relaxed);
        Some(r)
    }

    /// Stops the running core where it is, so that the kernel can be looked at without going on:
    /// seam calls are no points any more. False when there is no whole kernel yet, or no failure.
    pub(crate) fn stand_still(&self) -> bool {
        let result = self.result.take();
        let failed = matches!(result, Some(Err(_)));
        self.result.set(result);
        if !failed || !self.booted.get() || self.is_early() {
            return false;
        }
        self.still.set(true);
        self.core().masked.set(true);
        // SAFETY: the running thread's header outlives its running.
        let thread = unsafe { &*self.core().current.get() };
        // Locks that are released must not lead into the scheduler.
        thread
            .preempt
            .fetch_add(PreemptWord::PREEMPT, Ordering::Relaxed);
        true
    }

    /// The world ended by a limit, not by something that was seen.
    pub(crate) fn took_too_long(&self) -> bool {
        let result = self.result.take();
        let long = matches!(
            result,
            Some(Err(Failure::StepLimit
                | Failure::TimeLimit
                | Failure::Livelock))
        );
        self.result.set(result);
        long
    }

    /// The kernel is only looked at.
    #[inline]
    pub(crate) fn is_still(&self) -> bool {
        self.still.get()
    }

    fn is_early(&self) -> bool {
        let header = self.core().percpu.get();
        self.early_cpus.iter().any(|h| core::ptr::eq(h, header))
    }
}
