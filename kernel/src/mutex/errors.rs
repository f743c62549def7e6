//! Why a mutex was not taken, or its value may be unsound.

use core::fmt;

use super::MutexGuard;
use crate::waits::Deadlock;

/// Somebody died while holding the mutex: the value may be half changed. The guard is inside.
#[must_use = "the mutex is held while the guard inside lives"]
pub struct Poisoned<'a, T>(pub MutexGuard<'a, T>);

impl<T> fmt::Debug for Poisoned<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Poisoned")
    }
}

/// Why [`Mutex::lock`](super::Mutex::lock) gave no sound value.
#[must_use = "the mutex may be held while the guard inside lives"]
pub enum LockError<'a, T> {
    /// Somebody died while holding the mutex, which is taken all the same.
    Poisoned(Poisoned<'a, T>),
    /// The holder waits, through others or not, for the caller, or is the caller: the mutex is not
    /// taken.
    Deadlock(Deadlock),
}

impl<'a, T> LockError<'a, T> {
    /// The guard, if the mutex was taken.
    pub fn into_guard(self) -> Option<MutexGuard<'a, T>> {
        match self {
            Self::Poisoned(Poisoned(guard)) => Some(guard),
            Self::Deadlock(_) => None,
        }
    }
}

impl<T> fmt::Debug for LockError<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poisoned(_) => f.write_str("Poisoned"),
            Self::Deadlock(deadlock) => write!(f, "Deadlock: {deadlock}"),
        }
    }
}

impl<'a, T> From<Poisoned<'a, T>> for LockError<'a, T> {
    fn from(poisoned: Poisoned<'a, T>) -> Self {
        Self::Poisoned(poisoned)
    }
}
