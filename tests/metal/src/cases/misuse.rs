//! What must not happen is caught, with names. Each of these ends the machine.

use kernel::thread::ThreadCx;
use sync::{Rank, SpinLock};

use crate::ktest;
use crate::registry::Needs;

ktest!(
    "60_rank_inversion_names_both",
    rank_inversion,
    Needs::new().dies("taking \"the outer one\" (rank 40) while holding \"the inner one\"")
);
ktest!(
    "61_data_is_not_executable",
    data_is_not_executable,
    Needs::new().dies("kernel panic: ")
);

/// Two locks in the wrong order name both.
fn rank_inversion(_: &ThreadCx<'_>) {
    let outer: SpinLock<()> = SpinLock::new(Rank::Pool, "the outer one", ());
    let inner: SpinLock<()> = SpinLock::new(Rank::Leaf, "the inner one", ());
    let _i = inner.lock();
    let _o = outer.lock();
}

/// Data is not executable.
#[expect(unsafe_code, reason = "provokes the fault it tests")]
fn data_is_not_executable(_: &ThreadCx<'_>) {
    // `ret`
    static mut CODE: u32 = 0xd65f_03c0;
    let p = &raw mut CODE;
    // SAFETY: none: the machine must stop this.
    let f: extern "C" fn() = unsafe { core::mem::transmute(p) };
    f();
}
