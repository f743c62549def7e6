//! What a scenario's two sides, the kernel's threads and the clients, tell each other and the reader:
//! sixty-four flags, and lines for the console.

use core::cell::{Cell, RefCell};

/// Flags that are set once, and lines not yet printed.
#[derive(Default)]
pub(super) struct Signals {
    flags: Cell<u64>,
    lines: RefCell<String>,
}

impl Signals {
    /// Sets flag `n`.
    pub(super) fn tell(&self, n: u32) {
        self.flags.set(self.flags.get() | 1 << n);
    }

    /// True once flag `n` is set.
    pub(super) fn told(&self, n: u32) -> bool {
        self.flags.get() >> n & 1 != 0
    }

    /// Puts a line on the console.
    pub(super) fn say(&self, line: &str) {
        let mut lines = self.lines.borrow_mut();
        lines.push_str(line);
        lines.push('\n');
    }

    /// Takes the lines.
    pub(super) fn take_lines(&self) -> String {
        self.lines.take()
    }
}
