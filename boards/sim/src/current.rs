//! The world that runs on this host thread, and the panic hook that finds it.
#![expect(unsafe_code, reason = "a world installed for the length of a call")]

use core::cell::Cell;
use core::ptr::null;
use std::panic;
use std::sync::Once;

use crate::engine::Sim;

thread_local! {
    static CURRENT: Cell<*const Sim> = const { Cell::new(null()) };
}

/// Runs `f` with `sim` as this host thread's machine.
pub(crate) fn enter<R>(sim: &Sim, f: impl FnOnce() -> R) -> R {
    install_hook();
    let outer = CURRENT.replace(sim);
    let r = machine::with_world(sim, f);
    CURRENT.set(outer);
    r
}

/// The world the calling code runs in.
pub(crate) fn sim() -> Option<&'static Sim> {
    let sim = CURRENT.get();
    // SAFETY: installed by `enter`, whose borrow lasts as long as anything in the world runs.
    (!sim.is_null()).then(|| unsafe { &*sim })
}

/// Hands panics in a world to it; all others go where they went before.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let Some(sim) = sim().filter(|sim| sim.in_flow()) else {
                return before(info);
            };
            let (file, line) = info.location().map_or(("?", 0), |l| (l.file(), l.line()));
            let message = info.payload_as_str().unwrap_or("(no message)");
            sim.panicked(message, file, line)
        }));
    });
}
