//! Buffers whose allocation may fail.
//!
//! `vec![0; n]` aborts when memory is out; a client must not be able to cause that. The seam is
//! asked first, so that the simulator can refuse any one allocation.

use alloc::vec::Vec;

/// A vector with room for `n` values, or `None` when memory is out.
pub(crate) fn try_with_capacity<T>(n: usize) -> Option<Vec<T>> {
    if !machine::allocation_allowed(n.checked_mul(size_of::<T>())?) {
        return None;
    }
    let mut v = Vec::new();
    v.try_reserve_exact(n).ok()?;
    Some(v)
}

/// A buffer of `n` zero bytes, or `None` when memory is out.
#[must_use]
pub fn try_zeroed(n: usize) -> Option<Vec<u8>> {
    let mut v = try_with_capacity(n)?;
    v.resize(n, 0);
    Some(v)
}
