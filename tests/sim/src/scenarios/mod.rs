//! The catalogue: every scenario the sweep, the soak and the tool know by name.

use sim::Scenario;

mod mixture;
pub mod net;

pub use mixture::MIXTURE;

/// Every scenario, by subsystem.
pub const ALL: &[Scenario] = &[MIXTURE];

/// The scenario of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|s| s.name() == name)
}
