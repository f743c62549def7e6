//! 40: stacks with guard pages, a heap that runs out, copies.

use core::sync::atomic::{AtomicBool, Ordering};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::mem;
use kernel::thread::{self, Builder, SpawnError, State, ThreadCx};

use super::work_kit::{cores, eventually, here, ms, on_core, on_every_core};
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
ktest!(
    "43_stack_mark_is_what_was_used",
    stack_mark_is_what_was_used,
    Needs::new().bootargs("stack_marks")
);
ktest!("44_copies_at_any_offset", copies_at_any_offset);
ktest!("45_moves_within_one_place", moves_within_one_place);
ktest!("46_fills_at_any_offset", fills_at_any_offset);

/// A thread that used so much of its stack has a mark of that and little more, also long after; one that used little
/// has a low one. So have interrupts, whose stack was in use.
fn stack_mark_is_what_was_used(cx: &ThreadCx<'_>) {
    const BYTES: usize = 12 << 10;
    #[inline(never)]
    fn much() {
        core::hint::black_box(&mut [1_u8; BYTES]);
    }
    let mark = |deep: bool| {
        let body = move |cx: &ThreadCx<'_>| {
            if deep {
                much();
            }
            thread::park(cx);
        };
        let t = Builder::new("marked").spawn(body).expect("memory");
        eventually(cx, "its sleep", || t.state() == State::Sleeping);
        let mut found = None;
        thread::for_each_thread(|info| {
            if info.id == t.id() {
                found = info.stack_mark.zip(Some(info.stack_bytes));
            }
        });
        t.unpark();
        t.join(cx);
        found.expect("it is listed, with a mark")
    };
    let (small, bytes) = mark(false);
    let (large, _) = mark(true);
    // Again, where the deep one may have been.
    let (again, _) = mark(false);
    assert!(
        small > 0 && small < BYTES && again < BYTES,
        "{small} {again}"
    );
    assert!((BYTES..bytes).contains(&large), "{large} of {bytes}");
    // An idle core answers interrupts on its own stack, so each has a thread that computes till the timer has woken another.
    on_every_core(cx, |cx, _| {
        let woken = Arc::new(AtomicBool::new(false));
        let sleeper = on_core(here(), {
            let woken = Arc::clone(&woken);
            move |cx| {
                thread::sleep(cx, ms(1));
                woken.store(true, Ordering::Relaxed);
            }
        });
        while !woken.load(Ordering::Relaxed) {
            machine::relax();
        }
        sleeper.join(cx);
    });
    let mut of_cores = 0;
    mem::for_each_core_stack(|s| {
        assert!(s.mark <= s.bytes, "{s:?}");
        assert_eq!(s.mark == 0, s.what == "overflow", "{s:?}");
        of_cores += usize::from(s.what == "interrupt");
    });
    assert_eq!(of_cores, cores());
}

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

/// Sizes that are tried: all ways that the copies have, and several turns of the longest.
const SIZES: usize = 280;
/// Offsets from a line that are tried.
const OFFSETS: usize = 16;
/// Nobody writes this.
const GUARD: u8 = 0xee;

/// Byte `i` of what is copied; no two within a turn are the same.
fn byte(i: usize) -> u8 {
    (i % 199) as u8
}

/// Byte `i`, which the compiler does not know.
fn look(bytes: &[u8], i: usize) -> u8 {
    *core::hint::black_box(&bytes[i])
}

/// As `slice::fill` and `copy_from_slice` would, without the functions under test.
fn put(bytes: &mut [u8], mut f: impl FnMut(usize) -> u8) {
    for (i, b) in bytes.iter_mut().enumerate() {
        *core::hint::black_box(b) = f(i);
    }
}

fn copies_at_any_offset(_: &ThreadCx<'_>) {
    let mut source = [0; SIZES + OFFSETS];
    put(&mut source, byte);
    let mut to = [0; SIZES + 3 * OFFSETS];
    for (from, at) in (0..OFFSETS).flat_map(|f| (0..OFFSETS).map(move |a| (f, OFFSETS + a))) {
        // Every size with some pair of offsets, and every pair with each way of copying.
        for n in (0..SIZES).filter(|n| *n < 130 || (n + from) % 3 == 0) {
            put(&mut to[at - 1..=at + n], |_| GUARD);
            let (n, from) = core::hint::black_box((n, from));
            to[at..at + n].copy_from_slice(&source[from..from + n]);
            let fine = (0..n).all(|i| look(&to, at + i) == byte(from + i));
            assert!(fine, "{n} bytes from {from} to {at}");
            let kept = look(&to, at - 1) == GUARD && look(&to, at + n) == GUARD;
            assert!(kept, "{n} bytes from {from} to {at}: beside them");
        }
    }
}

fn moves_within_one_place(_: &ThreadCx<'_>) {
    const FAR: usize = 100;
    let mut bytes = [0; SIZES + 2 * FAR + 2];
    for to in 1..=2 * FAR {
        for n in (0..SIZES).filter(|n| *n < 130 || (n + to) % 3 == 0) {
            put(&mut bytes, byte);
            let (n, to) = core::hint::black_box((n, to));
            bytes.copy_within(FAR..FAR + n, to);
            let wanted = |i: usize| match i.checked_sub(to) {
                Some(k) if k < n => byte(FAR + k),
                _ => byte(i),
            };
            let fine = (0..bytes.len()).all(|i| look(&bytes, i) == wanted(i));
            assert!(fine, "{n} bytes from {FAR} to {to}");
        }
    }
}

fn fills_at_any_offset(_: &ThreadCx<'_>) {
    let mut to = [0; SIZES + 2 * OFFSETS];
    for (at, n) in (1..=OFFSETS).flat_map(|a| (0..SIZES).map(move |n| (a, n))) {
        put(&mut to, |_| GUARD);
        let (n, value) = core::hint::black_box((n, byte(n) | 1));
        to[at..at + n].fill(value);
        let wanted = |i: usize| match i.checked_sub(at) {
            Some(k) if k < n => value,
            _ => GUARD,
        };
        let fine = (0..to.len()).all(|i| look(&to, i) == wanted(i));
        assert!(fine, "{n} bytes at {at}");
    }
}
