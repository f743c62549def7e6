//! Atomics of which every access is an interleaving point of the simulator.
//!
//! A protocol of two words goes wrong between two accesses, so that is where the simulator must be
//! able to hold a core up. [`machine::sync_point`] is empty on the metal and each method is inlined:
//! there, these are the core library's atomics. What only one core accesses, or only counts, uses
//! those directly; each access of a handshake, of an item's word and of the tables a submission
//! reads without a lock comes through here.
//!
//! The model checker puts its own atomics in this file's place.

use core::fmt;
use core::sync::atomic as plain;

pub use core::sync::atomic::Ordering;

pub(crate) use core::sync::atomic::{
    AtomicBool as PlainBool, AtomicU32 as PlainU32, compiler_fence,
};
pub(crate) use machine::{fence_full, relax, sync_point};

macro_rules! atomic {
    ($name:ident $(<$of:ident>)?, $t:ty, [$($update:ident),*]) => {
        #[doc = concat!("As the core library's `", stringify!($name), "`, with interleaving points.")]
        pub struct $name $(<$of>)? (plain::$name $(<$of>)?);

        impl $(<$of>)? fmt::Debug for $name $(<$of>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $(<$of>)? $name $(<$of>)? {
            /// Made from its first value.
            #[must_use]
            pub const fn new(first: $t) -> Self {
                Self(plain::$name::new(first))
            }

            /// Reads.
            #[inline(always)]
            pub fn load(&self, order: Ordering) -> $t {
                sync_point();
                self.0.load(order)
            }

            /// Writes.
            #[inline(always)]
            pub fn store(&self, value: $t, order: Ordering) {
                sync_point();
                self.0.store(value, order);
            }

            /// Replaces `old` by `new`.
            ///
            /// # Errors
            ///
            /// The value found.
            #[inline(always)]
            pub fn compare_exchange(
                &self,
                old: $t,
                new: $t,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$t, $t> {
                sync_point();
                self.0.compare_exchange(old, new, success, failure)
            }

            $(
                /// Updates with `value`; the previous value.
                #[inline(always)]
                pub fn $update(&self, value: $t, order: Ordering) -> $t {
                    sync_point();
                    self.0.$update(value, order)
                }
            )*
        }
    };
}

macro_rules! integers {
    ($($name:ident $t:ty),*) => {
        $(atomic!($name, $t, [swap, fetch_add, fetch_sub, fetch_or, fetch_and]);)*
    };
}

atomic!(AtomicBool, bool, [swap]);
atomic!(AtomicPtr<T>, *mut T, [swap]);
integers!(AtomicU8 u8, AtomicI8 i8, AtomicU32 u32, AtomicU64 u64, AtomicUsize usize);
