//! Clients as straight-line programs: each is a coroutine beside the kernel's, so it may wait in the
//! middle of a line.
//!
//! A script that panics fails the world with its message. One that is not done when the world ends is
//! unwound, so that it gives back what it holds.

use core::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::rc::Rc;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::client::Client;
use super::host::Host;
use super::peer::Program;
use super::signals::Signals;
use crate::core::NEVER;
use crate::rng::Rng;

/// What a script is told when it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Go {
    /// Look again.
    On,
    /// The world is over.
    Home,
}

/// Thrown to unwind a script at the end of its world.
struct Over;

thread_local! {
    static IN_SCRIPT: Cell<bool> = const { Cell::new(false) };
    static NOTE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Takes note of a panic if it is a script's.
pub(crate) fn note_panic(info: &PanicHookInfo<'_>) -> bool {
    if !IN_SCRIPT.get() {
        return false;
    }
    let message = info.payload_as_str().unwrap_or("(no message)");
    let place = info
        .location()
        .map_or(String::new(), |l| format!(", at {l}"));
    NOTE.set(format!("{message}{place}"));
    true
}

/// One client's program.
pub(super) struct Script {
    name: String,
    coroutine: Coroutine<Go, u64, Result<(), String>>,
    /// When it goes on although nothing happened.
    until: u64,
    done: bool,
}

impl Script {
    pub(super) fn new(
        name: String,
        number: usize,
        rng: Rng,
        host: Rc<RefCell<Host>>,
        signals: Rc<Signals>,
        body: Program,
    ) -> Self {
        let coroutine = Coroutine::new(move |yielder: &Yielder<Go, u64>, go| {
            let run = || {
                let client = Client::new(number, rng, host, signals, yielder);
                client.check(go);
                body(&client);
            };
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(()) => Ok(()),
                Err(payload) if payload.is::<Over>() => Ok(()),
                Err(_) => Err(NOTE.take()),
            }
        });
        Self {
            name,
            coroutine,
            until: 0,
            done: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// When it goes on although nothing happened.
    pub(super) fn next_event(&self) -> u64 {
        if self.done { NEVER } else { self.until }
    }

    /// Lets it go on until it waits.
    pub(super) fn go(&mut self, go: Go) -> Result<(), String> {
        if self.done {
            return Ok(());
        }
        IN_SCRIPT.set(true);
        let result = self.coroutine.resume(go);
        IN_SCRIPT.set(false);
        match result {
            CoroutineResult::Yield(until) => self.until = until,
            CoroutineResult::Return(result) => {
                self.done = true;
                return result.map_err(|e| format!("{}: {e}", self.name));
            }
        }
        Ok(())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if self.coroutine.started() {
            // It is over in any case; what it says about that concerns nobody.
            let _ = self.go(Go::Home);
        }
    }
}

/// Unwinds the calling script.
pub(super) fn end() -> ! {
    resume_unwind(Box::new(Over))
}
