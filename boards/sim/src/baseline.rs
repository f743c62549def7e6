//! The base line: what the kernel holds when a scenario begins, and again when all is quiet after it.
//!
//! Whatever a scenario makes must be gone at its end: heap blocks, pages and stacks, threads, armed
//! timers, queues. It is looked at after a rest longer than any pool keeps a superfluous worker, a
//! connection lingers, or a neighbour is remembered; faults have ended with the scenario. Two things
//! may be left: workers, of which each pool keeps a few (7.8), with what belongs to each, and the
//! stacks of threads that died in a panic, which are put away on purpose. Of the host's heap the
//! blocks are counted and not the bytes, since tables keep the room they have once grown to.
//!
//! References: docs/rules.md 7.8 (idle workers).

use kernel::mem::PAGE;
use kernel::thread::{ThreadCx, quarantined_stack_bytes, sleep, thread_count};
use kernel::{mem, timer, wq};
use machine::Duration;

use crate::oracle::{Verdict, ensure};
use crate::reclaim::live_blocks;

/// How long the world rests before the second look.
pub(crate) const REST: Duration = Duration::from_secs(700);

/// Heap blocks that belong to a worker: the kernel's and the engine's.
const WORKER_BLOCKS: usize = 4;

/// Most idle workers a pool keeps beside `busy` ones, its manager counting as idle (7.8).
const fn kept(busy: u32) -> u32 {
    let some = 1 + busy.div_ceil(4);
    if some > 2 { some } else { 2 }
}

/// The empty chunk that the shared heap keeps.
const SPARE: usize = 64 << 10;

/// What a kernel holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Holdings {
    pub(crate) blocks: usize,
    /// In pages and stacks, without free stacks kept for reuse and those put away.
    pub(crate) bytes: usize,
    /// In the kernel's own heap, which in a simulated world only tests use.
    pub(crate) heap_bytes: usize,
    /// Those that serve no pool.
    pub(crate) threads: usize,
    pub(crate) workers: usize,
    pub(crate) timers: usize,
    pub(crate) queues: usize,
    /// Workers that are idle beyond what pools keep.
    pub(crate) superfluous: usize,
    /// Stack bytes of threads that died in a panic.
    pub(crate) away: usize,
    /// Bytes of a worker's stack.
    pub(crate) stack: usize,
}

/// What may be left of a scenario that says why ([`crate::Scenario::leaves`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// Threads that serve no pool.
    Threads,
    /// Queues.
    Queues,
    /// Bytes of the kernel's own heap.
    Heap,
    /// Armed timers.
    Timers,
    /// Bytes of pages and stacks.
    Pages,
    /// Blocks of the host's heap.
    Blocks,
}

impl Held {
    /// All of it: such a scenario is not followed by a rest.
    pub const ALL: &'static [Self] = &[
        Self::Threads,
        Self::Queues,
        Self::Heap,
        Self::Timers,
        Self::Pages,
        Self::Blocks,
    ];
}

/// Between two looks: what is in the middle of something at the first is not at the second.
const MOMENT: Duration = Duration::from_millis(100);

/// Rests until nothing happens any more but what repeats itself for ever, then judges what is held
/// beside what was held before, but for what is `excused`.
pub(crate) fn rest(cx: &ThreadCx<'_>, before: &Holdings, excused: &[Held]) -> Verdict {
    // Before the rest, since it wakes workers.
    mem::trim();
    sleep(cx, REST);
    // The words of a first verdict are a block of the world's heap: they must be gone at the second look.
    if Holdings::take().compare(before, excused).is_ok() {
        return Ok(());
    }
    // A periodic timer, for one, may have fired and not be armed again yet.
    sleep(cx, MOMENT);
    Holdings::take().compare(before, excused)
}

impl Holdings {
    /// What the running kernel holds now.
    pub(crate) fn take() -> Self {
        let (mut workers, mut superfluous) = (0, 0);
        wq::for_each_pool(|p| {
            let w = p.workers;
            workers += w.total as usize;
            superfluous += w.idle.saturating_sub(kept(w.total - w.idle)) as usize;
        });
        let stack = kernel::kernel().info().stack_bytes;
        let away = quarantined_stack_bytes() as usize;
        // With the guard page of each.
        let away = away + away / stack * PAGE;
        let memory = mem::stats();
        let spare = memory.shared.chunk_bytes.min(SPARE);
        Self {
            blocks: live_blocks(),
            bytes: memory.used_bytes() - away - spare,
            heap_bytes: memory.heap_live_bytes,
            threads: thread_count().saturating_sub(workers),
            workers,
            superfluous,
            away,
            timers: timer::armed(),
            queues: wq::queues_alive(),
            stack: stack + PAGE,
        }
    }

    /// Whether these are the holdings of `before`, but for what pools may keep and what is `excused`.
    pub(crate) fn compare(&self, before: &Self, excused: &[Held]) -> Verdict {
        ensure!(
            self.superfluous == 0,
            "7.8",
            "{} workers beyond what pools keep are still idle after the idle timeout",
            self.superfluous
        );
        let more = self.workers.saturating_sub(before.workers);
        let fewer = before.workers.saturating_sub(self.workers);
        let due = |was: usize, each: usize| (was + more * each).saturating_sub(fewer * each);
        let rows = [
            (Held::Threads, "threads", self.threads, before.threads),
            (Held::Queues, "queues", self.queues, before.queues),
            (
                Held::Heap,
                "bytes of the kernel's heap",
                self.heap_bytes,
                before.heap_bytes,
            ),
            (Held::Timers, "armed timers", self.timers, before.timers),
            (
                Held::Pages,
                "bytes of pages and stacks",
                self.bytes,
                due(before.bytes, self.stack),
            ),
            (
                Held::Blocks,
                "heap blocks",
                self.blocks,
                due(before.blocks, WORKER_BLOCKS),
            ),
        ];
        for (held, what, is, was) in rows {
            // What a dead thread's frames own is never dropped.
            let dead = held == Held::Blocks && self.away > before.away;
            ensure!(
                is == was || dead || excused.contains(&held),
                "base line",
                "{what}: {was} expected when all is over, {is} found ({} workers, {} before)",
                self.workers,
                before.workers
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Holdings = Holdings {
        blocks: 100,
        bytes: 10_000,
        heap_bytes: 0,
        threads: 3,
        workers: 4,
        superfluous: 0,
        away: 0,
        timers: 0,
        queues: 5,
        stack: 1_000,
    };

    #[track_caller]
    fn breaks(after: Holdings, what: &str) {
        let v = after.compare(&BEFORE, &[]).expect_err(what);
        assert_eq!(v.rule, "base line");
        assert!(v.text.starts_with(what), "{}", v.text);
    }

    #[test]
    fn whatever_is_left_is_named() {
        assert_eq!(BEFORE.compare(&BEFORE, &[]), Ok(()));
        let b = BEFORE;
        breaks(Holdings { blocks: 101, ..b }, "heap blocks: 100");
        breaks(Holdings { bytes: 14_096, ..b }, "bytes of pages");
        breaks(Holdings { threads: 4, ..b }, "threads: 3");
        breaks(Holdings { timers: 1, ..b }, "armed timers: 0");
        breaks(Holdings { queues: 6, ..b }, "queues: 5");
    }

    #[test]
    fn what_is_excused_may_stay_and_nothing_else() {
        let after = Holdings {
            blocks: 101,
            timers: 1,
            ..BEFORE
        };
        let excused = [Held::Blocks, Held::Timers];
        assert_eq!(after.compare(&BEFORE, &excused), Ok(()));
        assert!(after.compare(&BEFORE, &excused[..1]).is_err());
        let lazy = Holdings {
            superfluous: 1,
            ..after
        };
        let rule = lazy.compare(&BEFORE, &excused).map_err(|v| v.rule);
        assert_eq!(rule, Err("7.8"));
    }

    #[test]
    fn workers_may_stay_with_what_is_theirs() {
        let after = Holdings {
            workers: 6,
            blocks: 100 + 2 * WORKER_BLOCKS,
            bytes: 12_000,
            ..BEFORE
        };
        assert_eq!(after.compare(&BEFORE, &[]), Ok(()));
        assert_eq!(BEFORE.compare(&after, &[]), Ok(()), "and may go");
        breaks(
            Holdings {
                workers: 6,
                ..BEFORE
            },
            "bytes of pages",
        );
    }

    #[test]
    fn dead_threads_keep_what_they_own_but_no_queue() {
        let after = Holdings {
            away: 1_000,
            blocks: 110,
            ..BEFORE
        };
        assert_eq!(after.compare(&BEFORE, &[]), Ok(()));
        breaks(Holdings { queues: 6, ..after }, "queues: 5");
    }

    #[test]
    fn superfluous_workers_go() {
        assert_eq!([0, 1, 4, 5, 8, 9].map(kept), [2, 2, 2, 3, 3, 4]);
        let after = Holdings {
            superfluous: 1,
            ..BEFORE
        };
        assert_eq!(after.compare(&BEFORE, &[]).map_err(|v| v.rule), Err("7.8"));
    }
}
