//! Locks that a report would rather do without than wait for: their holder may be a core that never goes on.

use core::cell::Cell;

use machine::Duration;

/// For one report. Longer than most locks are kept: not those of who writes to the console meanwhile, which is then
/// left out as well.
const PATIENCE: Duration = Duration::from_micros(100);

/// What a report may still wait, for all its locks together. So a lock that is kept for ever costs it once so much, however
/// many things are behind that lock.
#[derive(Debug)]
pub(crate) struct Patience(Cell<Duration>);

impl Patience {
    /// For a report that begins.
    pub(crate) const fn new() -> Self {
        Self(Cell::new(PATIENCE))
    }

    /// What `take` gets: tried at least once, and again and again while there is patience left.
    pub(crate) fn lock<G>(&self, mut take: impl FnMut() -> Option<G>) -> Option<G> {
        if let Some(guard) = take() {
            return Some(guard);
        }
        let (begin, most) = (machine::now(), self.0.get());
        loop {
            let guard = take();
            let waited = machine::now().since(begin);
            if guard.is_some() || waited >= most {
                let left = most.as_nanos().saturating_sub(waited.as_nanos());
                self.0.set(Duration::from_nanos(left));
                return guard;
            }
            machine::relax();
        }
    }
}
