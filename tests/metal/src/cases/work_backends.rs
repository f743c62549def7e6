//! 98: queues as they were before concurrency management (X2-X4, E8).

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use kernel::completion::Completion;
use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, Backend, PerCpu, Run, StallKind, Submitted, Work, Workqueue};
use machine::{CpuId, Duration, now};

use super::work_kit::{cores, eventually, ms};
use crate::ktest;
use crate::registry::Needs;

ktest!("98_x4_an_old_queue_hangs_and_is_told", hangs);
ktest!("98_e8_x3_old_timelines", timelines, Needs::new().icount());
ktest!(
    "98_x2_sleepers_go_through",
    sleepers,
    Needs::new().cpus(4).icount()
);

const OLD: [Backend; 2] = [Backend::SingleThreaded, Backend::MultiThreaded];

fn queue(backend: Backend) -> Workqueue<PerCpu> {
    let b = Workqueue::builder("old").backend(backend);
    b.build().expect("memory for a queue")
}

/// X4: an item waits for one that it queues on its own queue. A managed queue starts that at once; an old
/// one never does, and the watchdog names its pool.
fn hangs(cx: &ThreadCx<'_>) {
    struct Pair {
        wq: Workqueue<PerCpu>,
        second: Arc<Work<Arc<Completion>>>,
        done: Arc<Completion>,
        gave_up: AtomicUsize,
    }
    fn first(cx: &ThreadCx<'_>, run: &Run<'_, Pair>) {
        let queued = run.wq.queue_on(CpuId::BOOT, &run.second);
        assert_eq!(queued, Submitted::Queued);
        let late = run.done.wait_timeout(cx, ms(1_500)).is_err();
        run.gave_up.fetch_add(usize::from(late), Ordering::Relaxed);
    }
    for backend in OLD.into_iter().chain([Backend::ConcurrencyManaged]) {
        let done = Arc::new(Completion::new());
        let release = |_: &ThreadCx<'_>, run: &Run<'_, Arc<Completion>>| run.complete();
        let pair = Arc::new(<Work<_>>::new(
            Pair {
                wq: queue(backend),
                second: Arc::new(<Work<_>>::new(Arc::clone(&done), release)),
                done,
                gave_up: AtomicUsize::new(0),
            },
            first,
        ));
        wq::set_watchdog(ms(200));
        let before = wq::stall_count();
        assert_eq!(pair.wq.queue_on(CpuId::BOOT, &pair), Submitted::Queued);
        if backend != Backend::ConcurrencyManaged {
            eventually(cx, "a report of the watchdog", || {
                let pool = |s: &wq::Stall| {
                    s.kind == StallKind::Pool && s.waiting == 1 && s.number > before
                };
                wq::last_stalls().iter().any(pool)
            });
        }
        pair.flush(cx).expect("no panic");
        wq::set_watchdog(Duration::ZERO);
        let gave_up = pair.gave_up.load(Ordering::Relaxed);
        let expected = usize::from(backend != Backend::ConcurrencyManaged);
        assert_eq!(gave_up, expected, "{backend}");
        // Its turn comes when the first one is over, which then has left the completion to nobody.
        pair.second.flush(cx).expect("no panic");
        assert_eq!(pair.done.is_done(), gave_up == 1, "{backend}");
        pair.wq.clone().destroy(cx).expect("not one of its items");
    }
}

/// E8, X3: the classic three items take 50 ms where nobody else is woken.
fn timelines(cx: &ThreadCx<'_>) {
    fn burn(d: Duration) {
        let end = now() + d;
        while now() < end {}
    }
    fn play(cx: &ThreadCx<'_>, run: &Run<'_, bool>) {
        burn(ms(5));
        sleep(cx, ms(10));
        if **run {
            burn(ms(5));
        }
    }
    for backend in OLD {
        let wq = queue(backend);
        let begin = now();
        for again in [true, false, false] {
            let item = Arc::new(<Work<_>>::new(again, play));
            assert_eq!(wq.queue(&item), Submitted::Queued);
        }
        wq.flush(cx).expect("not one of its items");
        let took = now().since(begin).as_micros();
        assert!(took.abs_diff(50_000) <= 1_000, "{backend}: {took} us");
        wq.destroy(cx).expect("not one of its items");
    }
}

/// X2: eight items that sleep for 100 ms, spread over the cores.
fn sleepers(cx: &ThreadCx<'_>) {
    let cores = cores() as u64;
    for (backend, wanted) in [
        (Backend::SingleThreaded, 800),
        (Backend::MultiThreaded, 800 / cores),
        (Backend::ConcurrencyManaged, 100),
    ] {
        let wq = queue(backend);
        let begin = now();
        for n in 0..8 {
            let item = Arc::new(<Work<_>>::new((), |cx: &ThreadCx<'_>, _| {
                sleep(cx, ms(100))
            }));
            let queued = wq.queue_on(CpuId::new(n % cores as usize), &item);
            assert_eq!(queued, Submitted::Queued);
        }
        wq.flush(cx).expect("not one of its items");
        let took = now().since(begin).as_micros();
        assert!(
            took.abs_diff(wanted * 1_000) <= 5_000,
            "{backend}: {took} us"
        );
        wq.destroy(cx).expect("not one of its items");
    }
}
