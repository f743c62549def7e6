//! Making workers: a pool's first one, and one more when the last has left idle (A2, E9, E10).
//!
//! The worker that leaves idle last makes the next one before it works, without the pool's lock.
//! While it fails, the pool's mayday timer calls the rescuers of those who wait.

use core::sync::atomic::Ordering;

use sync::SpinGuard;
use workqueue::Kind as PoolKind;

use super::handles::arm_reaper;
use super::pool::{Inner, Pool};
use super::worker::{Worker, WorkerKind, main, spawn};
use crate::cpu::CpuMask;
use crate::thread::{self, Builder, SpawnError, ThreadCx};
use crate::trace::{Kind, emit};

/// Makes a pool's first worker (A2).
pub(super) fn create_first(pool: &'static Pool) -> Result<(), SpawnError> {
    join(pool, create(pool)?);
    Ok(())
}

/// Makes the worker of a dedicated pool, as a thread of this name.
pub(super) fn create_named(pool: &'static Pool, name: &str) -> Result<(), SpawnError> {
    join(pool, create_dedicated(pool, name)?);
    Ok(())
}

/// `w` is the first worker of `pool`.
fn join(pool: &'static Pool, w: &'static Worker) {
    let mut g = pool.lock();
    let Inner { policy, store, .. } = &mut *g;
    w.announce();
    let (wake, _) = policy.attach(store, w.handle(), machine::now());
    pool.wake(wake);
}

/// The manager: makes one more worker, or keeps trying while one is needed (E9, E10). Returns with
/// the lock that the last look was taken under.
pub(super) fn manage<'p>(cx: &ThreadCx<'_>, pool: &'static Pool) -> SpinGuard<'p, Inner> {
    let g = create_needed(cx, pool);
    // Under the lock: a callback that waits for it will see that nobody creates.
    pool.mayday.cancel();
    g
}

fn create_needed<'p>(cx: &ThreadCx<'_>, pool: &'static Pool) -> SpinGuard<'p, Inner> {
    loop {
        let made = create(pool);
        let mut g = pool.lock();
        let Inner { policy, store, .. } = &mut *g;
        match made {
            Ok(w) => {
                w.announce();
                let (wake, reap_at) = policy.created(store, w.handle(), machine::now());
                pool.wake(wake);
                if let Some(at) = reap_at {
                    arm_reaper(pool, at);
                }
                return g;
            }
            Err(_) if !policy.keep_creating() => return g,
            Err(_) => {
                emit(Kind::WorkerCreateFail, pool.head(), 0, 0);
                let pause = policy.tuning().create_cooldown;
                drop(g);
                thread::sleep(cx, pause);
                let mut g = pool.lock();
                if !g.policy.keep_creating() {
                    return g;
                }
            }
        }
    }
}

/// Makes a worker and its thread; it joins the pool when the caller attaches it (E9).
fn create(pool: &'static Pool) -> Result<&'static Worker, SpawnError> {
    if pool.kind == PoolKind::Dedicated {
        // The successor of the running thread.
        return create_dedicated(pool, thread::current().name());
    }
    let id = pool.next_worker.fetch_add(1, Ordering::Relaxed);
    let (name, mask, kind) = match pool.cpu() {
        Some(c) => {
            let mark = if pool.highpri { "H" } else { "" };
            let name = worker_name("kworker/", c.index(), id, mark);
            (name, CpuMask::single(c), WorkerKind::Bound)
        }
        None => {
            let n = pool.place().index() - super::FIRST_UNBOUND;
            let name = worker_name("kworker/u", n, id, "");
            (name, pool.cpus(), WorkerKind::Unbound)
        }
    };
    let builder = Builder::new(&name).nice(pool.nice()).affinity(mask);
    spawn(Worker::new(kind, pool, None), builder, main)
}

/// The name of worker `id` of the pool that `kind` and `n` say (A4), with `mark` behind it. By hand: a formatter takes a
/// seventh of the time in which a worker is made.
fn worker_name(kind: &str, n: usize, id: u32, mark: &str) -> heapless::String<32> {
    let mut name = heapless::String::new();
    // There is room: two numbers have ten digits each at most.
    let _fits = name.push_str(kind);
    push_number(&mut name, n as u32);
    let _fits = name.push(':');
    push_number(&mut name, id);
    let _fits = name.push_str(mark);
    name
}

/// Appends `n` in decimal digits.
fn push_number(to: &mut heapless::String<32>, mut n: u32) {
    let (mut digits, mut first) = ([b'0'; 10], 10);
    loop {
        first -= 1;
        digits[first] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    for &digit in &digits[first..] {
        let _fits = to.push(char::from(digit));
    }
}

/// The thread of a dedicated pool has its queue's name. The scheduler's hooks pass it over.
fn create_dedicated(pool: &'static Pool, name: &str) -> Result<&'static Worker, SpawnError> {
    let mask = CpuMask(pool.cpus.load(Ordering::Relaxed));
    let builder = Builder::new(name).nice(pool.nice()).affinity(mask);
    spawn(Worker::new(WorkerKind::Unbound, pool, None), builder, main)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a4_names_of_workers() {
        assert_eq!(worker_name("kworker/", 0, 1, ""), "kworker/0:1");
        assert_eq!(worker_name("kworker/", 63, 10, "H"), "kworker/63:10H");
        let longest = worker_name("kworker/u", 1000, u32::MAX, "");
        assert_eq!(longest, "kworker/u1000:4294967295");
    }
}
