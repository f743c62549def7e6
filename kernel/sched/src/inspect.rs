//! Views of a runqueue for statistics, tests and models.
//!
//! None of this decides anything; it is apart so that the runqueue's file holds only what does.
//! Values are as of the last charge, since a view has no clock.

use links::{Arena, Handle};
use machine::Duration;

use crate::average::mul_div;
use crate::entity::Entity;
use crate::run_queue::RunQueue;
use crate::weight::NICE_0_WEIGHT;

impl<A: Arena<Entity>> RunQueue<A> {
    /// The weighted average of virtual runtimes as of the last charge.
    #[must_use]
    pub fn avg_vruntime(&self) -> u64 {
        self.total().average()
    }

    /// What a queued entity should have received minus what it did, in ns of CPU time, as of the
    /// last charge.
    #[must_use]
    pub fn lag_ns(&self, h: Handle<Entity>) -> i64 {
        let se = self.arena.get(h);
        let vlag = self.avg_vruntime().wrapping_sub(se.vruntime) as i64;
        mul_div(vlag, u64::from(se.weight()), u64::from(NICE_0_WEIGHT))
    }

    /// Checks every invariant in O(n): for tests and models.
    ///
    /// # Panics
    ///
    /// If an invariant is broken.
    pub fn assert_valid(&self) {
        let in_tree = self.tree.assert_valid(&self.arena);
        let current = usize::from(self.current.is_some());
        assert_eq!(
            in_tree + current,
            self.nr_queued(),
            "wrong number of entities"
        );
        let mut delayed = 0;
        let mut recount = self.average.restart();
        let mut at = self.tree.first();
        while let Some(h) = at {
            let se = self.arena.get(h);
            assert!(se.queued, "an entity in the tree is not marked as queued");
            delayed += u32::from(se.delayed);
            recount.add(se);
            at = self.tree.next(&self.arena, h);
        }
        assert_eq!(delayed, self.nr_delayed, "wrong number of delayed entities");
        assert!(self.average.is_same(&recount), "the kept sum has drifted");
        if let Some(current) = self.current {
            let se = self.arena.get(current);
            assert!(
                se.queued && !se.delayed,
                "the current entity is not runnable"
            );
            assert!(
                !self.tree.contains(&self.arena, current),
                "the current entity is in the tree"
            );
        }
    }

    /// The slice of threads that ask for none.
    #[must_use]
    pub const fn base_slice(&self) -> Duration {
        Duration::from_nanos(self.base_slice_ns as u64)
    }
}
