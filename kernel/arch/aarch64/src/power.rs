//! Waiting for interrupts, and the end of the machine.
//!
//! PSCI can say "off" but carries no exit code. Under TCG the semihosting call
//! `SYS_EXIT_EXTENDED` does; under KVM or on hardware it would be an undefined instruction, so it is
//! used only when the boot argument `exit=semihosting` allowed it. The exit line on the console
//! carries the code everywhere.
#![expect(
    unsafe_code,
    reason = "wait, semihosting and link-time symbols of the seam"
)]

use core::arch::asm;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::{console, psci};

static SEMIHOSTING: AtomicBool = AtomicBool::new(false);
const SYS_EXIT_EXTENDED: u64 = 0x20;
const ADP_STOPPED_APPLICATION_EXIT: u64 = 0x2_0026;

/// Allows exit codes through semihosting.
pub fn allow_semihosting() {
    SEMIHOSTING.store(true, Ordering::Relaxed);
}

/// Definition of the seam's `idle`.
#[unsafe(no_mangle)]
pub(crate) fn rt_idle() {
    // SAFETY: waits; a pending interrupt ends the wait even while masked, so none is lost.
    unsafe { asm!("dsb sy", "wfi", options(nostack, preserves_flags)) };
}

/// Definition of the seam's `shutdown`.
#[unsafe(no_mangle)]
pub(crate) fn rt_shutdown(code: u8) -> ! {
    machine::irq_disable();
    let _ = writeln!(console::Writer, "ROUNDTABLE EXIT {code}");
    off(code)
}

/// Definition of the seam's `reboot`.
#[unsafe(no_mangle)]
pub(crate) fn rt_reboot() -> ! {
    machine::irq_disable();
    psci::system_reset();
    off(1)
}

/// Ends the machine without a word.
pub(crate) fn off(code: u8) -> ! {
    if code != 0 && SEMIHOSTING.load(Ordering::Relaxed) {
        let block = [ADP_STOPPED_APPLICATION_EXIT, u64::from(code)];
        // SAFETY: the debugger interface reads two words and ends the machine.
        unsafe {
            asm!("hlt #0xf000", inlateout("x0") SYS_EXIT_EXTENDED => _, in("x1") block.as_ptr(),
                options(nostack));
        }
    }
    psci::system_off();
    loop {
        rt_idle();
    }
}
