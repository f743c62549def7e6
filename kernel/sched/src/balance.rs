//! Where a woken thread runs, and from whom an idle core takes work.
//!
//! Per-core runqueues need two corrections: a thread whose last core is busy should not wait while
//! another core sleeps, and a core that runs dry should take over what waits elsewhere. Both are
//! decided here from snapshots that may be stale by the time they are used; a wrong guess costs
//! time, never correctness. Sets of cores are plain `u64` masks, bit n = core n.

use machine::{CpuId, MAX_CPUS};

/// Chooses the core for a thread that becomes runnable: its last one if that is idle (its data is
/// there), else an idle one it may use, else its last one unless another allowed core has at least
/// two runnable threads less.
///
/// `allowed` and `idle` are masks, `nr_runnable` counts per core (cores beyond it count as
/// offline). When `allowed` holds no online core, the thread stays on its last one.
#[must_use]
pub fn select_cpu(last: CpuId, allowed: u64, idle: u64, nr_runnable: &[u32]) -> CpuId {
    let allowed = allowed & online(nr_runnable.len());
    if allowed == 0 {
        return last;
    }
    let last_bit = 1 << last.index();
    let idle = allowed & idle;
    if idle & last_bit != 0 {
        return last;
    }
    if idle != 0 {
        return after(idle, last);
    }
    let least = least_loaded(last, allowed, nr_runnable);
    if allowed & last_bit != 0 {
        let here = nr_runnable[last.index()];
        if here < nr_runnable[least.index()].saturating_add(2) {
            return last;
        }
    }
    least
}

/// Chooses the core from which `this` idle core should take a thread: the one with most runnable
/// threads, at least two (the one that runs cannot be taken). `None` when nobody has any to give.
/// Ties go to the next core after `this`, so that idle cores do not all ask the same one.
#[must_use]
pub fn pull_from(this: CpuId, nr_runnable: &[u32]) -> Option<CpuId> {
    let mut best = None;
    let mut most = 1;
    for cpu in others(this, nr_runnable.len()) {
        if nr_runnable[cpu] > most {
            most = nr_runnable[cpu];
            best = Some(CpuId::new(cpu));
        }
    }
    best
}

fn least_loaded(last: CpuId, allowed: u64, nr_runnable: &[u32]) -> CpuId {
    let mut best = after(allowed, last);
    for cpu in others(last, nr_runnable.len()) {
        if allowed >> cpu & 1 != 0 && nr_runnable[cpu] < nr_runnable[best.index()] {
            best = CpuId::new(cpu);
        }
    }
    best
}

/// The first core of a mask that is not empty, counting upwards from behind `cpu` and around.
fn after(mask: u64, cpu: CpuId) -> CpuId {
    let turn = cpu.index() as u32 + 1;
    let distance = mask.rotate_right(turn).trailing_zeros();
    CpuId::new(((turn + distance) % u64::BITS) as usize)
}

/// All cores but `this`, upwards from behind it and around.
fn others(this: CpuId, cores: usize) -> impl Iterator<Item = usize> {
    let cores = cores.min(MAX_CPUS);
    (1..cores).map(move |i| (this.index() + i) % cores)
}

fn online(cores: usize) -> u64 {
    if cores >= MAX_CPUS {
        u64::MAX
    } else {
        (1 << cores) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    fn cpu(n: usize) -> CpuId {
        CpuId::new(n)
    }

    #[test]
    fn the_search_goes_on_behind_the_core_and_around() {
        assert_eq!(after(0b11, cpu(0)), cpu(1));
        assert_eq!(after(0b11, cpu(1)), cpu(0));
        assert_eq!(after(0b100, cpu(2)), cpu(2), "there is no other");
        assert_eq!(after(1 << 63 | 1, cpu(62)), cpu(63));
        assert_eq!(after(1 << 63 | 1, cpu(63)), cpu(0));
    }

    #[test]
    fn idle_last_core_is_kept() {
        assert_eq!(select_cpu(cpu(2), ALL, 0b1111, &[0; 4]), cpu(2));
    }

    #[test]
    fn busy_last_core_is_left_for_the_next_idle_one() {
        assert_eq!(select_cpu(cpu(2), ALL, 0b0011, &[0, 0, 1, 1]), cpu(0));
        assert_eq!(select_cpu(cpu(0), ALL, 0b1010, &[1, 0, 1, 0]), cpu(1));
        assert_eq!(select_cpu(cpu(63), ALL, 1 << 62, &[1; 64]), cpu(62));
    }

    #[test]
    fn idle_core_outside_the_mask_is_ignored() {
        assert_eq!(select_cpu(cpu(0), 0b0101, 0b1010, &[1, 0, 1, 0]), cpu(0));
    }

    #[test]
    fn offline_cores_are_never_chosen() {
        assert_eq!(select_cpu(cpu(0), ALL, !0b11, &[1, 1]), cpu(0));
        assert_eq!(select_cpu(cpu(1), 0b1000, 0b1000, &[1, 1]), cpu(1));
    }

    #[test]
    fn without_idle_cores_a_difference_of_two_moves() {
        assert_eq!(select_cpu(cpu(0), ALL, 0, &[2, 1, 1, 1]), cpu(0));
        assert_eq!(select_cpu(cpu(0), ALL, 0, &[3, 2, 1, 1]), cpu(2));
        assert_eq!(
            select_cpu(cpu(3), 0b0011, 0, &[3, 2, 0, 0]),
            cpu(1),
            "the last one and the emptiest are forbidden"
        );
    }

    #[test]
    fn idle_core_pulls_from_the_busiest_with_something_waiting() {
        assert_eq!(pull_from(cpu(0), &[0, 1, 1, 1]), None);
        assert_eq!(pull_from(cpu(0), &[0, 2, 5, 3]), Some(cpu(2)));
        assert_eq!(
            pull_from(cpu(2), &[2, 2, 0, 2]),
            Some(cpu(3)),
            "ties go to the next core"
        );
        assert_eq!(pull_from(cpu(0), &[0]), None);
    }
}
