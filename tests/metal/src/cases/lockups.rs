//! 97: cores that do not schedule or take no interrupts are told, with the frames of what keeps them.
//! What stands on the console is checked on the host (`tests/qemu/tests/machine/lockup.rs`).

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::cpu::CpuMask;
use kernel::lockup::{self, Glimpse, Lockup, LockupKind, glimpse_of};
use kernel::thread::{self, Builder, ThreadCx, sleep};
use kernel::wq::{self, Run, Softirq, Submitted, Work};
use machine::{CpuId, Duration, Instant, now};

use super::work_kit::{cores, eventually, ms, on_core};
use crate::ktest;
use crate::registry::Needs;

ktest!("97_soft_lockup_tells_where", soft);
ktest!(
    "97_hard_lockup_is_told_by_another_core",
    hard,
    Needs::new().cpus(2)
);
ktest!(
    "97_hard_lockup_with_locks_is_told",
    hard_with_locks,
    Needs::new().cpus(2)
);
ktest!("97_core_shows_what_it_runs", shows, Needs::new().cpus(2));
ktest!(
    "97_busy_worker_elsewhere_is_told",
    busy_elsewhere,
    Needs::new().cpus(2)
);
ktest!("97_threads_tell_how_they_are", threads);

const LIMIT: Duration = ms(200);
/// When a core that nobody noticed goes on after all.
const LONGEST: Duration = ms(15_000);

fn last() -> CpuId {
    CpuId::new(cores() - 1)
}

/// Until somebody has noticed, for a busy host may be late with everything; for `longest` at most. Calls nothing:
/// of a function without a frame the caller is not told.
#[inline(never)]
fn compute_in_here(noticed: &AtomicBool, longest: Duration) {
    let begin = now();
    while !noticed.load(Ordering::Acquire) && now().since(begin) < longest {
        // Whoever looks finds it here, and not within `now`.
        for i in 0..200_000_u32 {
            core::hint::black_box(i);
        }
    }
}

/// An item that keeps its core until it is told.
fn computing() -> Arc<Work<AtomicBool>> {
    fn compute(_: &ThreadCx<'_>, run: &Run<'_, AtomicBool>) {
        compute_in_here(run, LONGEST);
    }
    Arc::new(<Work<_>>::new(AtomicBool::new(false), compute))
}

/// The lockup of core `core` that is told after `begin` and that `wanted` accepts. A host that is busy elsewhere
/// makes other cores late, too, and this one in other ways: of them is told as well.
fn told(
    cx: &ThreadCx<'_>,
    core: CpuId,
    begin: Instant,
    wanted: impl Fn(&Lockup) -> bool,
) -> Lockup {
    let mut found = None;
    eventually(cx, "a lockup", || {
        let last = lockup::last_lockup(core);
        found = last.filter(|l| l.glimpse.at >= begin && wanted(l));
        found.is_some()
    });
    let found = found.expect("just told");
    assert_eq!(found.glimpse.core, core);
    // A busy host may be late with everything.
    assert!(found.lasted >= LIMIT, "{found}");
    // It is counted after it can be found.
    eventually(cx, "its count", || lockup::lockup_count() > 0);
    found
}

fn names(frames: &[usize]) -> Vec<&'static str> {
    let symbolize = kernel::kernel().info().symbolize;
    let name = |&pc: &usize| symbolize(pc - 1).map_or("?", |(name, _)| name);
    frames.iter().map(name).collect()
}

/// With preemption off the scheduler is not entered; the report shows the function. A lockup is told once: when a
/// busy host stops the core on its way there, or in a softirq on top of it, that is told, and it is tried again. In the
/// function, but not innermost, is a mistake, and so are frames that do not lead to the thread's begin.
fn soft(cx: &ThreadCx<'_>) {
    const TRIES: usize = 5;
    wq::set_watchdog(LIMIT);
    let mut elsewhere = Vec::new();
    let found = (0..TRIES).any(|_| {
        let found = soft_lockup_of_a_helper(cx).glimpse;
        let names = names(&found.frames);
        let at = |words: &str| names.iter().position(|name| name.contains(words));
        let (inner, thread) = (at("compute_in_here"), at("thread_main"));
        let there = inner == Some(0) || found.in_softirq && inner.is_some();
        assert!(
            thread.is_some() && (there || inner.is_none()),
            "frames of the thread: {names:?}"
        );
        elsewhere.push(names);
        inner == Some(0)
    });
    wq::set_watchdog(Duration::ZERO);
    assert!(found, "never in the function that computes: {elsewhere:?}");
}

/// What is told of a thread that computes with preemption off.
fn soft_lockup_of_a_helper(cx: &ThreadCx<'_>) -> Lockup {
    let begin = now();
    let noticed = Arc::new(AtomicBool::new(false));
    // On a machine with one core nobody else could tell it.
    let longest = if cores() == 1 { ms(700) } else { LONGEST };
    let seen = Arc::clone(&noticed);
    let stuck = on_core(last(), move |_| {
        let section = sync::preempt_disable();
        compute_in_here(&seen, longest);
        drop(section);
    });
    let found = told(cx, last(), begin, |l| {
        l.kind == LockupKind::Soft && l.glimpse.thread == stuck.id()
    });
    noticed.store(true, Ordering::Release);
    stuck.join(cx);
    found
}

/// With interrupts masked the core answers nobody.
fn hard(cx: &ThreadCx<'_>) {
    thread::current().set_affinity(CpuMask::single(CpuId::BOOT));
    let begin = now();
    wq::set_watchdog(LIMIT);
    let masked = Arc::new(<Work<_, Softirq>>::new(AtomicBool::new(false), |_, run| {
        let irq = machine::irq_save();
        compute_in_here(run, LONGEST);
        machine::irq_restore(irq);
    }));
    assert_eq!(wq::bh().queue_on(last(), &masked), Submitted::Queued);
    let _found = told(cx, last(), begin, |l| l.kind == LockupKind::Hard);
    masked.store(true, Ordering::Release);
    masked.flush(cx).expect("no panic");
    wq::set_watchdog(Duration::ZERO);
    thread::current().set_affinity(CpuMask::ALL);
}

/// Takes what is written, and stands at the first line of a queue, within the locks under which that is written,
/// until somebody has noticed.
struct Stuck(Arc<AtomicBool>);

impl fmt::Write for Stuck {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.contains("pwq") {
            compute_in_here(&self.0, LONGEST);
        }
        Ok(())
    }
}

/// The same within the locks of the list of queues, a queue and a pool, which whoever looks wants, too.
fn hard_with_locks(cx: &ThreadCx<'_>) {
    thread::current().set_affinity(CpuMask::single(CpuId::BOOT));
    let begin = now();
    // Something to be written about.
    let item = computing();
    assert_eq!(wq::percpu().queue_on(last(), &item), Submitted::Queued);
    wq::set_watchdog(LIMIT);
    let noticed = Arc::new(AtomicBool::new(false));
    let mut out = Stuck(noticed.clone());
    let stuck = on_core(last(), move |_| {
        let _all_written = wq::show_all(&mut out);
    });
    let _found = told(cx, last(), begin, |l| l.kind == LockupKind::Hard);
    noticed.store(true, Ordering::Release);
    item.store(true, Ordering::Release);
    stuck.join(cx);
    item.flush(cx).expect("no panic");
    wq::set_watchdog(Duration::ZERO);
    thread::current().set_affinity(CpuMask::ALL);
}

/// A core tells what its running thread executes, and where: also on the way into the item, if a busy host stops it there.
fn shows(cx: &ThreadCx<'_>) {
    thread::current().set_affinity(CpuMask::single(CpuId::BOOT));
    let item = computing();
    assert_eq!(wq::percpu().queue_on(last(), &item), Submitted::Queued);
    let computes = |g: &Glimpse| {
        let frames = names(&g.frames);
        let at = |words: &str| frames.iter().position(|name| name.contains(words));
        let (inner, worker) = (at("compute_in_here"), at("worker::main"));
        inner.is_some() && inner < worker
    };
    let look = || glimpse_of(cx, last(), ms(500)).filter(|g| g.item.is_some());
    eventually(cx, "a look at the item's function, in a worker", || {
        look().is_some_and(|g| computes(&g))
    });
    // Once the item is there it stays; other threads may have the core for a while.
    let mut looks = 0;
    eventually(cx, "looks at the item", || {
        let seen = look();
        if let Some(g) = &seen {
            assert!(computes(g), "{:?}", names(&g.frames));
        }
        looks += usize::from(seen.is_some());
        looks == 10
    });
    item.store(true, Ordering::Release);
    // Asked for itself, the caller sees itself.
    let me = glimpse_of(cx, CpuId::BOOT, ms(1)).expect("it is here");
    assert_eq!(me.thread, thread::current().id());
    assert!(
        glimpse_of(cx, CpuId::new(63), ms(1)).is_none(),
        "no such core"
    );
    item.flush(cx).expect("no panic");
    thread::current().set_affinity(CpuMask::ALL);
}

/// A pool that starts nothing because its worker computes on another core: the report asks that core.
fn busy_elsewhere(cx: &ThreadCx<'_>) {
    thread::current().set_affinity(CpuMask::single(CpuId::BOOT));
    wq::set_cpu_intensive_threshold(Duration::ZERO);
    let before = wq::stall_count();
    wq::set_watchdog(LIMIT);
    let hog = computing();
    let behind = Arc::new(<Work<_>>::new((), |_: &ThreadCx<'_>, _: &Run<'_, ()>| {}));
    assert_eq!(wq::percpu().queue_on(last(), &hog), Submitted::Queued);
    assert_eq!(wq::percpu().queue_on(last(), &behind), Submitted::Queued);
    eventually(cx, "a stall", || wq::stall_count() > before);
    hog.store(true, Ordering::Release);
    wq::percpu().flush(cx).expect("not one of its items");
    sleep(cx, ms(20));
    wq::set_watchdog(Duration::ZERO);
    wq::set_cpu_intensive_threshold(ms(10));
    thread::current().set_affinity(CpuMask::ALL);
}

/// The list of threads has everybody once, in order, with what it waits for.
fn threads(cx: &ThreadCx<'_>) {
    let parked: Vec<_> = (0..40)
        .map(|_| {
            let nap = |cx: &ThreadCx<'_>| thread::park(cx);
            Builder::new("parked")
                .spawn(nap)
                .expect("memory for a thread")
        })
        .collect();
    let sleeps = |t: &thread::ThreadRef| t.state() == thread::State::Sleeping;
    eventually(cx, "sleep", || parked.iter().all(sleeps));
    let mut all = Vec::new();
    thread::for_each_thread(|t| all.push(t));
    assert!(
        all.windows(2).all(|w| w[0].id < w[1].id),
        "in order, each once"
    );
    for t in &parked {
        let info = all.iter().find(|i| i.id == t.id()).expect("it is listed");
        assert_eq!(info.sleeps_in, kernel::waits::SleepsIn::Park);
        // Who went to sleep in debt stays in line until that is paid.
        assert!(info.lag_ns <= 0, "{} ns", info.lag_ns);
        assert!(!info.is_worker);
    }
    let me = all.iter().find(|i| i.id == thread::current().id());
    assert_eq!(me.map(|i| i.state), Some(thread::State::Running));
    let first = &parked[0];
    let chain = thread::waits_for(first);
    assert!(chain.contains("is parked"), "{chain}");
    let found = thread::find(first.id()).expect("it has not ended");
    assert!(Arc::ptr_eq(&found, first));
    parked.iter().for_each(|t| t.unpark());
    parked.iter().for_each(|t| t.join(cx));
    eventually(cx, "its end", || thread::find(first.id()).is_none());
}
