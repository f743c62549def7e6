//! Memory on the metal: exhaustion is an error, not a crash; guard pages; W^X.

use alloc::boxed::Box;
use alloc::vec::Vec;
use kernel::mem::{self, Stack, try_box, try_push};
use kernel::thread::{Builder, SpawnError, ThreadCx, sleep};
use machine::Duration;

/// Taking all of the memory ends in an error; giving it back makes the system whole again.
pub(crate) fn heap_exhaustion_is_survived(cx: &ThreadCx<'_>) {
    let mut hoard: Vec<Box<[u8; 4096]>> = Vec::new();
    let before = mem::stats().heap_live_bytes;
    loop {
        match try_box([0xa5_u8; 4096]) {
            Ok(b) => {
                if try_push(&mut hoard, b).is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    assert!(hoard.len() > 1_000, "only {} pages before exhaustion", hoard.len());
    // Threads cannot be made now, and that too is an error.
    let mut stacks = Vec::new();
    while let Some(s) = Stack::alloc(64 * 1024) {
        if stacks.try_reserve(1).is_err() {
            break;
        }
        stacks.push(s);
    }
    let spawned = Builder::new("too many").stack(1 << 20).spawn(|_| {});
    assert!(matches!(spawned, Err(SpawnError::NoMemory)), "a 1 MiB stack out of nothing");
    drop(stacks);
    drop(hoard);
    assert!(mem::stats().heap_live_bytes <= before + 4096, "the hoard came back");
    Builder::new("afterwards").spawn(|_| {}).expect("memory again").join(cx);
    sleep(cx, Duration::from_millis(1));
}

#[inline(never)]
fn recurse(depth: u64, sink: &mut u64) -> u64 {
    let mut frame = [depth; 64];
    frame[(depth % 64) as usize] = *sink;
    *sink = sink.wrapping_add(core::hint::black_box(&frame)[7]);
    if depth == 0 { *sink } else { recurse(depth - 1, sink) ^ frame[3] }
}

/// Must die with "stack overflow in thread deep".
pub(crate) fn stack_overflow_is_named(cx: &ThreadCx<'_>) {
    let body = |_: &ThreadCx<'_>| {
        let mut sink = 1;
        core::hint::black_box(recurse(1_000_000, &mut sink));
    };
    Builder::new("deep").spawn(body).expect("memory").join(cx);
}

/// Must die with a permission fault: code is not writable.
#[expect(unsafe_code, reason = "provokes the fault it tests")]
pub(crate) fn text_is_not_writable(_: &ThreadCx<'_>) {
    let code = heap_exhaustion_is_survived as fn(&ThreadCx<'_>) as *mut u32;
    // SAFETY: none: the machine must stop this.
    unsafe { code.write_volatile(0) };
}

/// Must die with a permission fault: data is not executable.
#[expect(unsafe_code, reason = "provokes the fault it tests")]
pub(crate) fn data_is_not_executable(_: &ThreadCx<'_>) {
    // `ret`
    static mut CODE: u32 = 0xd65f_03c0;
    let p = &raw mut CODE;
    // SAFETY: none: the machine must stop this.
    let f: extern "C" fn() = unsafe { core::mem::transmute(p) };
    f();
}
