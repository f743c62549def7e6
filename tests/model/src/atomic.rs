//! Atomics under the model checker's control, with the interface the shipped files use.
//!
//! loom's own atomics cannot be made in a `const fn`; these are created on first use (see
//! [`crate::made`]).

#![expect(unsafe_code, reason = "a pointer that is only compared")]

use std::fmt;
use std::sync::OnceLock;

pub use std::sync::atomic::Ordering;

pub use crate::seam::{fence_full, relax, sync_point};
use crate::weak::{Weak, is, weakened};

macro_rules! atomic {
    ($name:ident, $t:ty, { $($update:ident => $f:expr),* }) => {
        /// As the standard library's.
        pub struct $name {
            first: $t,
            inner: OnceLock<loom::sync::atomic::$name>,
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.inner().load(Ordering::Relaxed).fmt(f)
            }
        }

        #[expect(missing_docs, reason = "as the standard library's")]
        impl $name {
            pub const fn new(first: $t) -> Self {
                Self { first, inner: OnceLock::new() }
            }

            fn inner(&self) -> &loom::sync::atomic::$name {
                self.inner.get_or_init(|| loom::sync::atomic::$name::new(self.first))
            }

            pub fn load(&self, order: Ordering) -> $t {
                self.inner().load(weakened(order))
            }

            pub fn store(&self, value: $t, order: Ordering) {
                self.inner().store(value, weakened(order));
            }

            pub fn compare_exchange(
                &self,
                old: $t,
                new: $t,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$t, $t> {
                if is(Weak::Update) {
                    let seen = self.load(failure);
                    if seen != old {
                        return Err(seen);
                    }
                    self.store(new, Ordering::Release);
                    return Ok(seen);
                }
                self.inner().compare_exchange(old, new, weakened(success), weakened(failure))
            }

            /// Loads and stores instead of updating, if that is what the model is to suffer from.
            fn torn(&self, f: impl Fn($t) -> $t) -> Option<$t> {
                if is(Weak::Update) {
                    let old = self.inner().load(Ordering::Acquire);
                    self.inner().store(f(old), Ordering::Release);
                    return Some(old);
                }
                if is(Weak::Skip) {
                    let old = self.inner().load(Ordering::Acquire);
                    return (f(old) == old).then_some(old);
                }
                None
            }

            $(
                pub fn $update(&self, value: $t, order: Ordering) -> $t {
                    let f: fn($t, $t) -> $t = $f;
                    self.torn(|old| f(old, value))
                        .unwrap_or_else(|| self.inner().$update(value, weakened(order)))
                }
            )*
        }
    };
}

macro_rules! integer {
    ($name:ident, $t:ty) => {
        atomic!($name, $t, {
            swap => |_, new| new,
            fetch_add => |old, n| old.wrapping_add(n),
            fetch_sub => |old, n| old.wrapping_sub(n),
            fetch_or => |old, bits| old | bits,
            fetch_and => |old, bits| old & bits
        });
    };
}

atomic!(AtomicBool, bool, { swap => |_, new| new });
integer!(AtomicU8, u8);
integer!(AtomicU32, u32);
integer!(AtomicU64, u64);
integer!(AtomicUsize, usize);

/// As the standard library's, as far as the handshakes need it.
pub struct AtomicPtr<T> {
    first: *mut T,
    inner: OnceLock<loom::sync::atomic::AtomicPtr<T>>,
}

// SAFETY: the pointer is a number here; nothing follows it.
unsafe impl<T> Send for AtomicPtr<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for AtomicPtr<T> {}

impl<T> fmt::Debug for AtomicPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner().load(Ordering::Relaxed).fmt(f)
    }
}

#[expect(missing_docs, reason = "as the standard library's")]
impl<T> AtomicPtr<T> {
    pub const fn new(first: *mut T) -> Self {
        let inner = OnceLock::new();
        Self { first, inner }
    }

    fn inner(&self) -> &loom::sync::atomic::AtomicPtr<T> {
        self.inner
            .get_or_init(|| loom::sync::atomic::AtomicPtr::new(self.first))
    }

    pub fn load(&self, order: Ordering) -> *mut T {
        self.inner().load(weakened(order))
    }

    pub fn store(&self, value: *mut T, order: Ordering) {
        self.inner().store(value, weakened(order));
    }

    pub fn compare_exchange(
        &self,
        old: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        if is(Weak::Update) {
            let seen = self.load(failure);
            if seen != old {
                return Err(seen);
            }
            self.store(new, Ordering::Release);
            return Ok(seen);
        }
        let (success, failure) = (weakened(success), weakened(failure));
        self.inner().compare_exchange(old, new, success, failure)
    }

    pub fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
        self.inner().swap(value, weakened(order))
    }
}

/// The shipped file has a second kind for what is no interleaving point of the simulator.
pub type PlainBool = AtomicBool;
