//! What a run costs the host.
#![expect(unsafe_code, reason = "asks the host's operating system")]

use std::time::Duration;

/// CPU time this process has used, on all host cores together.
///
/// Rates are measured against it rather than against the wall clock, so that they hold on a host
/// that does other things as well.
#[must_use]
pub fn cpu_time() -> Duration {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live value of the right type.
    let r = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut t) };
    assert!(r == 0, "the host has no clock of CPU time");
    Duration::new(t.tv_sec.unsigned_abs(), t.tv_nsec.unsigned_abs() as u32)
}

/// The most memory this process ever had, in bytes.
#[must_use]
pub fn peak_bytes() -> u64 {
    let mut usage = core::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to room for the right type.
    let r = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    assert!(r == 0, "the host keeps no books of memory");
    // SAFETY: zeroed is valid for this plain struct, and the call filled it.
    let most = unsafe { usage.assume_init() }.ru_maxrss.unsigned_abs();
    // Linux counts in KiB, macOS in bytes.
    if std::env::consts::OS == "macos" {
        most
    } else {
        most * 1024
    }
}
