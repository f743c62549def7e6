//! Sixty-four flags between a scenario's two sides: the kernel's threads and the clients.

use core::cell::Cell;

/// Flags that are set once.
#[derive(Default)]
pub(super) struct Signals(Cell<u64>);

impl Signals {
    /// Sets flag `n`.
    pub(super) fn tell(&self, n: u32) {
        self.0.set(self.0.get() | 1 << n);
    }

    /// True once flag `n` is set.
    pub(super) fn told(&self, n: u32) -> bool {
        self.0.get() >> n & 1 != 0
    }
}
