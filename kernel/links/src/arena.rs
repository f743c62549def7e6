//! Handles and the two arenas that resolve them.

use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::num::NonZeroUsize;

/// Names one `T` of an arena. `Option<Handle<T>>` is one word.
pub struct Handle<T> {
    raw: NonZeroUsize,
    of: PhantomData<fn() -> T>,
}

impl<T> Handle<T> {
    /// The handle with this number.
    ///
    /// # Panics
    ///
    /// If `raw` is zero.
    #[must_use]
    pub const fn from_raw(raw: usize) -> Self {
        match NonZeroUsize::new(raw) {
            Some(raw) => Self {
                raw,
                of: PhantomData,
            },
            None => panic!("a handle is never zero"),
        }
    }

    /// The handle of the object at this address, for a [`Direct`] arena.
    #[inline(always)]
    #[must_use]
    pub fn of(object: *const T) -> Self {
        Self::from_raw(object.expose_provenance())
    }

    /// The number.
    #[inline(always)]
    #[must_use]
    pub const fn raw(self) -> usize {
        self.raw.get()
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Handle<T> {}
impl<T> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}
impl<T> Eq for Handle<T> {}
impl<T> Hash for Handle<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
    }
}
impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:x}", self.raw)
    }
}

/// Resolves handles.
pub trait Arena<T> {
    /// The object behind `h`.
    fn get(&self, h: Handle<T>) -> &T;
    /// The object behind `h`, to change.
    fn get_mut(&mut self, h: Handle<T>) -> &mut T;
}

/// An arena that owns its objects: for tests and models.
#[derive(Debug)]
pub struct Slab<T>(Vec<T>);

impl<T> Slab<T> {
    /// An empty arena.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an object.
    pub fn insert(&mut self, value: T) -> Handle<T> {
        self.0.push(value);
        Handle::from_raw(self.0.len())
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Arena<T> for Slab<T> {
    fn get(&self, h: Handle<T>) -> &T {
        &self.0[h.raw() - 1]
    }
    fn get_mut(&mut self, h: Handle<T>) -> &mut T {
        &mut self.0[h.raw() - 1]
    }
}

/// The arena in which a handle is an address: intrusive containers without a look-up.
pub struct Direct<T>(PhantomData<fn() -> T>);

impl<T> fmt::Debug for Direct<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Direct")
    }
}

#[expect(unsafe_code, reason = "a handle is an address here")]
impl<T> Direct<T> {
    /// The arena of all `T`s that are only ever reached through it.
    ///
    /// # Safety
    ///
    /// Every handle passed to this arena names a live `T` inside an `UnsafeCell` (made with
    /// [`Handle::of`] from a pointer that may write), and while this arena is borrowed nobody else
    /// touches the objects whose handles it is given: typically the arena sits inside a lock and
    /// an object belongs to at most one such lock at a time.
    #[must_use]
    pub const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

#[expect(unsafe_code, reason = "a handle is an address here")]
impl<T> Arena<T> for Direct<T> {
    #[inline(always)]
    fn get(&self, h: Handle<T>) -> &T {
        // SAFETY: promised in `new`; provenance was exposed by `Handle::of`'s caller's cell.
        unsafe { &*core::ptr::with_exposed_provenance::<T>(h.raw()) }
    }
    #[inline(always)]
    fn get_mut(&mut self, h: Handle<T>) -> &mut T {
        // SAFETY: promised in `new`.
        unsafe { &mut *core::ptr::with_exposed_provenance_mut::<T>(h.raw()) }
    }
}
