//! What sections and handshakes are made of. The model checker puts its own atomics in this place.

pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence,
};
pub(crate) use machine::{fence_full, relax};
