//! What the executive tells the runqueue, and what it has to do after each operation.
//!
//! Closed enums instead of flags: a combination that makes no sense cannot be written, and every
//! answer must be looked at.

/// Why an entity enters the runqueue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enqueue {
    /// It has never run.
    New,
    /// It was blocked.
    Wakeup,
    /// It comes from another runqueue, which it left with [`Dequeue::Migrate`].
    Migrate,
}

/// Why an entity leaves the runqueue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dequeue {
    /// It blocks.
    Sleep,
    /// It goes to another runqueue.
    Migrate,
    /// It ends.
    Exit,
}

/// What the current entity does when another one may get the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It wants to go on.
    Keep,
    /// It gives the rest of its request up: the next one starts a whole slice later. Of no effect
    /// when nobody else is runnable or it already owes time.
    Yield,
    /// It blocks, as with [`Dequeue::Sleep`].
    Sleep,
}

/// Whether a dequeued entity has really left.
#[must_use = "a delayed entity must be woken on this runqueue"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dequeued {
    /// It is off the runqueue.
    Gone,
    /// It owes time and stays queued, not runnable, until it is woken here or picked.
    Delayed,
}

/// What the executive must do after an operation.
#[must_use = "dropping a decision loses a reschedule"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Nothing: what runs keeps running.
    Keep,
    /// Call [`RunQueue::pick_next`](crate::RunQueue::pick_next) on this runqueue's core soon.
    Resched,
}
