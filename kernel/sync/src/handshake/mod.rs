//! The executive's flag protocols: two sides that meet in a word, without a lock around it.
//!
//! | Type | The two sides | Never |
//! | --- | --- | --- |
//! | [`SleepState`] | a thread that goes to sleep, and whoever wakes it | both miss each other |
//! | [`ParkToken`] | `park` and any number of `unpark`s | a token taken without its giver's stores |
//! | [`EventCount`] | a reader that found nothing, and whoever brings news | news without a wake-up |
//! | [`IdleMask`] | a core that runs dry, and a core with a thread too many | an idle core nobody pokes |
//! | [`resched`] | a core, and whoever wants it to pick again | a request answered without a look |
//! | [`Mail`] | a core, and whoever posts it a bit | a bit without an interrupt |
//! | [`Route`] | whoever follows a pointer to an object, and whoever leads it to another one | an object seen before it was finished |
//! | [`Home`] | whoever follows an object to its lock, and whoever moves it | the wrong lock |
//! | [`Running`] | a core that runs a callback, and whoever cancels it | a cancel that returns too early |
//! | [`InRun`] | whoever executes an object's work, and whoever looks whether it is over | an end that is seen too early |
//! | [`Tally`] | whoever comes to a place and goes, and whoever looks whether all have gone | somebody overlooked |
//! | [`Countdown`] | many that finish, and one that waits for all | an end nobody, or two, announce |
//!
//! Two shapes recur. *Store, fence, load* on both sides (Dekker): each side says something and then
//! looks at what the other said, so at least one sees the other. It needs
//! [`machine::fence_full`]: with acquire and release alone, on Arm and under QEMU's multi-threaded
//! emulation, both may miss. *One chain of read-modify-writes*: both sides change the word with an
//! atomic update, so the later one has seen what the earlier one stored before. A plain store would
//! break the chain, even a releasing one.
//!
//! The model checker compiles these very files over its own atomics (`tests/model`), and over
//! weakened ones, which must fail. So they import nothing but `crate::atomic`.

mod countdown;
mod event_count;
mod idle_mask;
mod mail;
pub mod resched;
mod rest;
mod route;
mod running;
mod sleep;

pub use countdown::Countdown;
pub use event_count::EventCount;
pub use idle_mask::IdleMask;
pub use mail::Mail;
pub use rest::{InRun, Tally};
pub use route::{Home, Route};
pub use running::Running;
pub use sleep::{ParkToken, SleepState, State};
