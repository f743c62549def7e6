//! A board that is a test: the real executive on virtual cores, under one seed.
//!
//! The same `kernel` that boots on the metal runs here on 1 to 64 virtual cores with a virtual
//! clock. Every call it makes through the machine seam is an *interleaving point*: the engine
//! decides, from the seed alone, which core goes on and which interrupts arrive. A run is therefore
//! a function of (build, scenario, seed, options), a failing one can be repeated for ever, and
//! thousands of different ones take seconds.
//!
//! ```
//! use sim::{Options, Scenario, run};
//!
//! let hello = Scenario::new("hello", 2, |_cx| kernel::println!("hello"));
//! let first = run(&hello, 7, Options::default()).expect_ok();
//! let again = run(&hello, 7, Options::default()).expect_ok();
//! assert_eq!(first.trace.hash, again.trace.hash);
//! assert!(first.console.contains("hello"));
//! ```
//!
//! What it can find: lost wake-ups, races between cores and with interrupts, lock-order inversions,
//! starvation, dead- and livelocks. What it cannot: a missing acquire or release, since all cores
//! share one host thread and see one order of memory (loom models do that), and mistakes in
//! registers and barriers (only the metal does).
//!
//! Worlds are independent: run as many as there are host threads.

mod arena;
mod baseline;
mod boot;
mod campaign;
mod core;
mod current;
mod decision;
mod device;
mod engine;
mod explore;
mod faults;
mod flow;
pub mod host;
mod minimise;
pub mod net;
mod options;
mod oracle;
mod raise;
mod reclaim;
mod recording;
mod report;
mod rng;
mod scenario;
mod strategy;
mod sweep;
mod trace;
mod world;

pub use baseline::Held;
pub use boot::{Machine, run};
pub use campaign::{Campaign, Totals, investigate, is_calm};
pub use decision::{Choice, Decision};
pub use engine::{PanicHandler, refuse_heap, refuse_leaving, refuse_threads};
pub use explore::{Explored, explore, explore_machine};
pub use faults::{Faults, Injected, Kinds, Packets};
pub use minimise::{minimise, minimise_machine};
pub use options::{Failure, Options, Outcome};
pub use reclaim::live_blocks;
pub use recording::{Recording, Replayed, record};
pub use report::Report;
pub use rng::Rng;
pub use scenario::Scenario;
pub use strategy::Strategy;
pub use sweep::{Sweep, sweep, try_sweep};
pub use trace::{Event, Trace, What};
