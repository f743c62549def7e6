//! Scenarios for the simulator: the catalogue ([`scenarios`]) and what they share. Scenarios that
//! belong to one rule stand with it under `tests/`.
//!
//! A scenario is the body of a kernel's first thread. It must hold under every interleaving, so it
//! asserts what is always true and lets the sweep look for the interleaving in which it is not. A
//! failing seed is printed with its last events; keep it as a test of its own.

use std::sync::Arc;

use kernel::thread::{Builder, ThreadCx, ThreadRef};

pub mod scenarios;

/// Starts `n` threads that run `body` with their number.
///
/// # Panics
///
/// Without memory.
pub fn crowd<F>(n: usize, body: F) -> Vec<ThreadRef>
where
    F: Fn(&ThreadCx<'_>, usize) + Send + Sync + 'static,
{
    let body = Arc::new(body);
    let start = |i| {
        let body = Arc::clone(&body);
        let thread = Builder::new(&format!("t{i}")).spawn(move |cx: &ThreadCx<'_>| body(cx, i));
        thread.expect("memory for a thread")
    };
    (0..n).map(start).collect()
}

/// Waits for all of `threads`.
pub fn join(cx: &ThreadCx<'_>, threads: &[ThreadRef]) {
    threads.iter().for_each(|t| t.join(cx));
}
