//! Workqueues under the simulator: the rules that involve several cores and the scheduler.
//!
//! Each scenario runs on several numbers of cores under many seeds; row IDs are those of the
//! feature table (B4, C5, E2, ...).

mod bh;
mod budget;
mod delayed;
mod giving_up;
mod items;
mod order;
mod pools;
mod waiting;

use machine::{CpuId, Duration};

const CORES: [usize; 4] = [1, 2, 3, 8];
const SEEDS: std::ops::Range<u64> = 0..60;

fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

fn cpus() -> usize {
    kernel::cpu::online().count()
}

/// The running core; stale unless the thread cannot migrate.
fn here() -> CpuId {
    kernel::cpu::this_cpu().id()
}
