//! Locks that a report would rather do without than wait for: their holder may be a core that never goes on.

use machine::Duration;

/// Far longer than anybody keeps a lock who goes on.
const PATIENCE: Duration = Duration::from_micros(100);

/// What `take` gets, tried again and again for a short time.
pub(super) fn soon<G>(mut take: impl FnMut() -> Option<G>) -> Option<G> {
    let mut end = None;
    loop {
        if let Some(guard) = take() {
            return Some(guard);
        }
        let now = machine::now();
        if now >= *end.get_or_insert(now + PATIENCE) {
            return None;
        }
        machine::relax();
    }
}
