//! Where a panic in a world leaves the host's panic machinery.
//!
//! The kernel does not unwind, so a panic on one of its flows must not run destructors: it has to
//! reach the kernel's own panic code on the panicking flow's stack, and that code never returns. A
//! panic hook cannot do that: the host's runtime holds a lock while the hook runs, and a hook that
//! never returns keeps the test harness from ending. So the hook only takes notes and returns, and
//! the flow is caught at the next step, where the runtime asks the unwinder to raise the exception:
//! this file defines that function for the whole program. Panics outside a world go on to the real
//! one.
#![expect(unsafe_code, reason = "stands in for a function of the unwinder")]

use core::ffi::{c_int, c_void};

use crate::current;

type Raise = unsafe extern "C-unwind" fn(*mut c_void) -> c_int;

/// The unwinder's entry point (Itanium C++ ABI, level I).
///
/// # Safety
///
/// As the ABI says: `exception` is an initialised exception object.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _Unwind_RaiseException(exception: *mut c_void) -> c_int {
    if let Some(sim) = current::sim().filter(|sim| sim.in_flow()) {
        sim.panicked()
    }
    // SAFETY: a C string; any handle the loader knows.
    let real = unsafe { libc::dlsym(libc::RTLD_NEXT, c"_Unwind_RaiseException".as_ptr()) };
    if real.is_null() {
        eprintln!("no unwinder in this process");
        std::process::abort();
    }
    // SAFETY: the unwinder's function of this name has this signature.
    let real = unsafe { core::mem::transmute::<*mut c_void, Raise>(real) };
    // SAFETY: passed on as it came.
    unsafe { real(exception) }
}
