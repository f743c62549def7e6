//! Network devices and connections.

/// System-wide network state.
#[derive(Debug)]
pub struct System {}
impl System {
    pub(crate) const fn new() -> Self {
        Self {}
    }
}
