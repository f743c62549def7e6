//! The world that runs on this host thread, and the panic hook that finds it (see [`crate::raise`]).
#![expect(unsafe_code, reason = "a world installed for the length of a call")]

use core::cell::Cell;
use core::ptr::null;
use std::panic;
use std::sync::Once;

use crate::engine::Sim;
use crate::reclaim::outside;

thread_local! {
    static CURRENT: Cell<*const Sim> = const { Cell::new(null()) };
}

/// Runs `f` with `sim` as this host thread's machine.
pub(crate) fn enter<R>(sim: &Sim, f: impl FnOnce() -> R) -> R {
    install_hook();
    let outer = CURRENT.replace(sim);
    let r = sim.blocks.inside(|| machine::with_world(sim, f));
    CURRENT.set(outer);
    r
}

/// The world the calling code runs in.
pub(crate) fn sim() -> Option<&'static Sim> {
    let sim = CURRENT.get();
    // SAFETY: installed by `enter`, whose borrow lasts as long as anything in the world runs.
    (!sim.is_null()).then(|| unsafe { &*sim })
}

/// Lets a world note panics of its own; all others are reported as before.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let Some(sim) = sim().filter(|sim| sim.in_flow()) else {
                if !crate::net::note_panic(info) {
                    outside(|| before(info));
                }
                return;
            };
            let (file, line) = info.location().map_or(("?", 0), |l| (l.file(), l.line()));
            let message = info.payload_as_str().unwrap_or("(no message)");
            // These end the process without asking the unwinder.
            if message.starts_with("unsafe precondition") || message.starts_with("panic in a ") {
                let thread = std::thread::current();
                eprintln!(
                    "{}: {message}, at {file}:{line}",
                    thread.name().unwrap_or("a world")
                );
            }
            sim.note_panic(message, file, line);
        }));
    });
}
