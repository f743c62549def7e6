//! Whether a core may give threads to others: what each wake-up and switch asks first.

use core::sync::atomic::{AtomicU8, Ordering};

/// What other cores there are, as one of them has noted it: one load where the kernel's masks would take several.
/// Changed with those, by whoever brings cores up and down, one at a time.
///
/// Relaxed: what a core that leaves must not miss is ordered by its runqueue's lock, as the masks are
/// ([`super::migrate`]).
#[derive(Debug)]
pub(crate) struct Others(AtomicU8);

impl Others {
    /// There is no other core.
    const NONE: u8 = 0;
    /// All cores are online: a pinned thread runs on its own.
    const COMPLETE: u8 = 1;
    /// Some are offline: a thread that is pinned to one of those may run anywhere.
    const LACKING: u8 = 2;

    /// Of one core of so many, of which none takes part yet.
    pub(crate) const fn new(cores: usize) -> Self {
        let lacking = if cores > 1 { Self::LACKING } else { Self::NONE };
        Self(AtomicU8::new(lacking))
    }

    /// All cores are online.
    pub(crate) fn are_complete(&self) {
        self.change(Self::COMPLETE);
    }

    /// A core goes offline.
    pub(crate) fn lack_some(&self) {
        self.change(Self::LACKING);
    }

    fn change(&self, to: u8) {
        if self.exist() {
            self.0.store(to, Ordering::Relaxed);
        }
    }

    /// The machine has other cores.
    fn exist(&self) -> bool {
        self.0.load(Ordering::Relaxed) != Self::NONE
    }

    /// One of them may take a thread of which the affinity says that it `stays` on its core (1) or not (0).
    #[inline(always)]
    pub(super) fn may_take(&self, stays: u8) -> bool {
        self.0.load(Ordering::Relaxed) > stays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_threads_go_elsewhere_while_a_core_lacks_only() {
        let others = Others::new(2);
        assert!(others.exist() && others.may_take(0) && others.may_take(1));
        others.are_complete();
        assert!(others.exist() && others.may_take(0) && !others.may_take(1));
        others.lack_some();
        assert!(others.may_take(1));
    }

    #[test]
    fn who_is_alone_stays_alone() {
        let others = Others::new(1);
        others.lack_some();
        assert!(!others.exist() && !others.may_take(0));
        others.are_complete();
        assert!(!others.exist() && !others.may_take(0));
    }
}
