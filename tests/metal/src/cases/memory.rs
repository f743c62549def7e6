//! 40: stacks with guard pages, a heap that runs out.

use alloc::boxed::Box;
use alloc::vec::Vec;
use kernel::mem;
use kernel::thread::{Builder, SpawnError, ThreadCx};

use crate::ktest;
use crate::registry::Needs;

ktest!(
    "40_stack_overflow_names_the_thread",
    stack_overflow_names_the_thread,
    Needs::new().dies("stack overflow in thread deep")
);
ktest!(
    "41_heap_exhaustion_is_survived",
    heap_exhaustion_is_survived
);
ktest!("42_spawn_fails_without_memory", spawn_fails_without_memory);
ktest!(
    "43_code_is_not_writable",
    code_is_not_writable,
    Needs::new().dies("kernel panic: data abort, permission fault")
);

fn stack_overflow_names_the_thread(cx: &ThreadCx<'_>) {
    fn deeper(n: u64) -> u64 {
        let frame = core::hint::black_box([n; 32]);
        if n == u64::MAX {
            0
        } else {
            deeper(n + 1) + frame[(n % 32) as usize]
        }
    }
    let thread = Builder::new("deep").spawn(|_| {
        core::hint::black_box(deeper(core::hint::black_box(0)));
    });
    thread.expect("a thread").join(cx);
}

/// Takes memory in pieces of `bytes` until there is none.
fn take_all(bytes: usize) -> Vec<Vec<u8>> {
    let mut pieces = mem::try_vec_with_capacity::<Vec<u8>>(8 * 1024).unwrap_or_default();
    while pieces.len() < pieces.capacity() {
        match mem::try_vec_with_capacity::<u8>(bytes) {
            Ok(piece) => pieces.push(piece),
            Err(_) => break,
        }
    }
    pieces
}

fn heap_exhaustion_is_survived(_: &ThreadCx<'_>) {
    let before = mem::stats();
    let (mut large, mut small) = (take_all(1 << 20), take_all(8 << 10));
    assert!(!large.is_empty() && !small.is_empty());
    assert!(mem::try_vec_with_capacity::<u8>(1 << 20).is_err());
    small.clear();
    large.clear();
    let again = mem::try_box([0_u8; 4096]).map(Box::into_pin);
    assert!(again.is_ok(), "freed memory is not found again");
    drop((large, small));
    let after = mem::stats();
    assert!(
        after.heap_live_bytes <= before.heap_live_bytes + (64 << 10),
        "{before:?} {after:?}"
    );
}

fn spawn_fails_without_memory(cx: &ThreadCx<'_>) {
    let pieces = [take_all(1 << 20), take_all(16 << 10), take_all(1 << 10)];
    let mut threads = Vec::new();
    let outcome = loop {
        match Builder::new("one more").stack(256 << 10).spawn(|_| ()) {
            Ok(_) if threads.len() == threads.capacity() && threads.try_reserve(1).is_err() => {
                break SpawnError::NoMemory;
            }
            Ok(thread) => threads.push(thread),
            Err(why) => break why,
        }
        assert!(threads.len() < 10_000, "memory never ran out");
    };
    assert_eq!(outcome, SpawnError::NoMemory);
    drop(pieces);
    threads.iter().for_each(|t| t.join(cx));
    Builder::new("after")
        .spawn(|_| ())
        .expect("memory is back")
        .join(cx);
}

#[expect(unsafe_code, reason = "the test is about what a stray write does")]
fn code_is_not_writable(_: &ThreadCx<'_>) {
    let body: fn(&ThreadCx<'_>) = code_is_not_writable;
    let code = (body as *const ()).cast_mut().cast::<u32>();
    // SAFETY: not sound, on purpose: code is mapped read-only, so this faults.
    unsafe { code.write_volatile(0) };
}
