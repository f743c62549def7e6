//! The console the board registered.
//!
//! The board knows which device it is; the seam knows only bytes. Until a console is registered,
//! output is dropped. No lock: the executive serialises its own lines, and a panic must get through
//! whoever holds a lock.

use core::fmt;

use spin::once::Once;

use crate::Relax;

/// What a console device offers.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    /// Writes all bytes, waiting for the device.
    pub write: fn(&[u8]),
    /// Takes one received byte.
    pub read: fn() -> Option<u8>,
}

static CONSOLE: Once<Console, Relax> = Once::new();

/// Makes `console` the machine's console; the first call counts.
pub fn register(console: Console) {
    CONSOLE.call_once(|| console);
}

/// Definition of the seam's `console_write`.
#[expect(unsafe_code, reason = "link-time symbol of the seam")]
#[unsafe(no_mangle)]
pub(crate) fn rt_console_write(bytes: &[u8]) {
    if let Some(console) = CONSOLE.get() {
        (console.write)(bytes);
    }
}

/// Definition of the seam's `console_read`.
#[expect(unsafe_code, reason = "link-time symbol of the seam")]
#[unsafe(no_mangle)]
pub(crate) fn rt_console_read() -> Option<u8> {
    CONSOLE.get().and_then(|console| (console.read)())
}

/// Formats straight to the console, for code below the executive.
#[derive(Debug)]
pub struct Writer;

impl fmt::Write for Writer {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        rt_console_write(s.as_bytes());
        Ok(())
    }
}
