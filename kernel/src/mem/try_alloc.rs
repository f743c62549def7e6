//! Allocation that may fail: boxes, `Arc`s and vectors with an error instead of a panic.
//!
//! `Box::new` and `Arc::new` end the system when memory is out; whatever a client's packet can
//! trigger must answer with an error instead. The standard fallible constructors are unstable, so
//! these stand in for them. Each first asks [`machine::allocation_allowed`], which is how the
//! simulator makes allocations fail.
//!
//! `Arc` has no stable way to adopt memory. [`try_arc`] allocates a block of the same layout, frees
//! it and then calls `Arc::new`, with interrupts masked throughout: the freed block lies in this
//! core's magazine, which nobody else can reach, so `Arc::new` takes it from there and cannot fail.
//! That holds for layouts the magazines serve, which is checked at compile time. (Before the
//! magazines exist there is only the boot core, so nobody else takes the freed block either.)
#![expect(unsafe_code, reason = "adopts and reserves raw memory")]

use alloc::alloc::{alloc, dealloc};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::fmt;
use core::sync::atomic::AtomicUsize;

use super::class::{MAX_CLASS_ALIGN, MAX_CLASS_BYTES};

/// There is no memory for this; undo, refuse or try later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllocError;

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for AllocError {}

/// A box around `value`.
///
/// # Errors
///
/// Without memory; `value` is dropped.
pub fn try_box<T>(value: T) -> Result<Box<T>, AllocError> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return Ok(Box::new(value));
    }
    if !machine::allocation_allowed(layout.size()) {
        return Err(AllocError);
    }
    // SAFETY: the size is not zero.
    let p = unsafe { alloc(layout) }.cast::<T>();
    if p.is_null() {
        return Err(AllocError);
    }
    // SAFETY: fresh memory of `T`'s layout.
    unsafe { p.write(value) };
    // SAFETY: initialised, and allocated by the global allocator with `T`'s layout.
    Ok(unsafe { Box::from_raw(p) })
}

/// What an `Arc<T>` points at has this layout: two counts, then the value.
#[repr(C)]
struct ArcLayout<T> {
    _counts: [AtomicUsize; 2],
    _value: T,
}

/// An `Arc` around `value`.
///
/// # Errors
///
/// Without memory; `value` is dropped.
pub fn try_arc<T>(value: T) -> Result<Arc<T>, AllocError> {
    let layout = Layout::new::<ArcLayout<T>>();
    const {
        assert!(
            size_of::<ArcLayout<T>>() <= MAX_CLASS_BYTES,
            "too large for a magazine"
        );
        assert!(
            align_of::<ArcLayout<T>>() <= MAX_CLASS_ALIGN,
            "too strongly aligned"
        );
    }
    if !machine::allocation_allowed(layout.size()) {
        return Err(AllocError);
    }
    let irq = machine::irq_save();
    // SAFETY: the counts make the size positive.
    let p = unsafe { alloc(layout) };
    let arc = if p.is_null() {
        Err(AllocError)
    } else {
        // SAFETY: allocated just now with this layout.
        unsafe { dealloc(p, layout) };
        Ok(Arc::new(value))
    };
    machine::irq_restore(irq);
    arc
}

/// An empty vector with room for `n` elements.
///
/// # Errors
///
/// Without memory.
pub fn try_vec_with_capacity<T>(n: usize) -> Result<Vec<T>, AllocError> {
    let mut v = Vec::new();
    reserve(&mut v, n)?;
    Ok(v)
}

/// Appends `value`, growing the vector if need be.
///
/// # Errors
///
/// Without memory; `value` is dropped and the vector unchanged.
pub fn try_push<T>(v: &mut Vec<T>, value: T) -> Result<(), AllocError> {
    if v.len() == v.capacity() {
        let more = v.capacity().max(4);
        reserve(v, more)?;
    }
    v.push(value);
    Ok(())
}

fn reserve<T>(v: &mut Vec<T>, n: usize) -> Result<(), AllocError> {
    if !machine::allocation_allowed(n.saturating_mul(size_of::<T>())) {
        return Err(AllocError);
    }
    v.try_reserve_exact(n).map_err(|_| AllocError)
}
