//! Going to sleep against being woken: the thread's state, and the token of `park`.

use crate::atomic::{AtomicBool, AtomicU8, Ordering, fence_full};

/// Where a thread is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// On a core or waiting for one.
    Running = 0,
    /// Waiting for a wake-up, or about to.
    Sleeping = 1,
    /// Ended.
    Dead = 2,
}

/// A thread's [`State`]. It changes to `Sleeping` and `Dead` by the thread itself, and from
/// `Sleeping` to `Running` by the thread, or by a waker under the thread's runqueue lock.
///
/// The sleeper calls [`Self::announce`] and then checks its condition; a waker makes the condition
/// true and then asks [`Self::may_sleep`]. The loads and stores are relaxed: the fences order them
/// against the condition, and what a wake-up decides is checked again under the runqueue lock.
#[derive(Debug)]
pub struct SleepState(AtomicU8);

impl Default for SleepState {
    fn default() -> Self {
        Self::new()
    }
}

impl SleepState {
    /// Running.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU8::new(State::Running as u8))
    }

    /// The state; a hint unless the runqueue lock is held or the caller is the thread.
    #[inline(always)]
    pub fn get(&self) -> State {
        match self.0.load(Ordering::Relaxed) {
            0 => State::Running,
            1 => State::Sleeping,
            _ => State::Dead,
        }
    }

    /// The thread runs on, or has ended.
    #[inline(always)]
    pub fn set(&self, state: State) {
        self.0.store(state as u8, Ordering::Relaxed);
    }

    /// The sleeper's half: says that the thread is going to sleep. Its condition is looked at after
    /// this.
    #[inline(always)]
    pub fn announce(&self) {
        self.set(State::Sleeping);
        fence_full();
    }

    /// As [`Self::announce`], under a lock that whoever makes the condition true holds when it wakes: that
    /// orders the two.
    #[inline(always)]
    pub fn announce_locked(&self) {
        self.set(State::Sleeping);
    }

    /// The waker's half: whether the thread may be asleep. The condition was made true before this.
    #[inline(always)]
    pub fn may_sleep(&self) -> bool {
        fence_full();
        self.get() == State::Sleeping
    }
}

/// What `unpark` leaves for `park`. One token stands for any number of gifts.
#[derive(Debug)]
pub struct ParkToken(AtomicBool);

impl Default for ParkToken {
    fn default() -> Self {
        Self::new()
    }
}

impl ParkToken {
    /// No token.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Leaves a token. An update, although a store would leave the same value: whoever takes the
    /// token has then seen the stores of *every* giver, not only the last one's.
    #[inline]
    pub fn give(&self) {
        self.0.swap(true, Ordering::Release);
    }

    /// Takes the token, if there is one.
    #[inline]
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}
