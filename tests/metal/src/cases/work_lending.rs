//! 99: who waits lends nice value and slice to whoever it waits for (Beyond Linux 6). On core 0, beside
//! two computing threads of nice 0.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use alloc::sync::Arc;
use kernel::completion::Completion;
use kernel::cpu::CpuMask;
use kernel::mutex::Mutex;
use kernel::thread::{Builder, Nice, ThreadCx, current};
use kernel::wq::{Attrs, Run, Unbound, Work, Workqueue};
use machine::{CpuId, Duration, now};

use super::compute;
use super::work_kit::{eventually, on_core};
use crate::ktest;

ktest!("99_work_flush_lends_to_the_worker", flush_lends);
ktest!("99_work_mutex_lends_to_its_holder", mutex_lends);

/// More of the core's time than a slice, whatever a fast host makes of a computation. What a computation
/// took beyond some microseconds the core was given to others.
fn labour() {
    let (slices, own) = (Duration::from_millis(12), Duration::from_micros(20));
    let mut spent = Duration::ZERO;
    while spent < slices {
        let begin = now();
        compute();
        spent += now().since(begin).min(own);
    }
}

/// Runs `f` at nice -20 on core 0, where two threads compute. How long it took.
fn beside_hogs(cx: &ThreadCx<'_>, f: impl FnOnce()) -> Duration {
    let stop = Arc::new(AtomicBool::new(false));
    let at_work = Arc::new(AtomicU32::new(0));
    let hogs = [(); 2].map(|()| {
        let (stop, at_work) = (Arc::clone(&stop), Arc::clone(&at_work));
        on_core(CpuId::BOOT, move |_| {
            at_work.fetch_add(1, Ordering::Relaxed);
            while !stop.load(Ordering::Relaxed) {
                compute();
            }
        })
    });
    eventually(cx, "the hogs", || at_work.load(Ordering::Relaxed) == 2);
    current().set_nice(Nice::MIN);
    let begin = now();
    f();
    let took = now().since(begin);
    current().set_nice(Nice::ZERO);
    stop.store(true, Ordering::Relaxed);
    hogs.iter().for_each(|t| t.join(cx));
    took
}

/// With a share of 15 in 2063 the wait without a loan takes about 100 times as long.
fn assert_shorter(with: Duration, without: Duration) {
    assert!(
        with.as_nanos() * 4 < without.as_nanos(),
        "the wait took {with:?}, and {without:?} where nobody could lend"
    );
}

#[derive(Default)]
struct Task {
    begun: Completion,
    go: Completion,
    over: Completion,
}

fn flush_lends(cx: &ThreadCx<'_>) {
    let mut attrs = Attrs::new();
    (attrs.nice, attrs.cpus) = (19, CpuMask::single(CpuId::BOOT));
    attrs.strict = true;
    let builder = Workqueue::<Unbound>::builder("lowly").attrs(attrs);
    let queue = builder.build().expect("a queue");
    let wait = |lend: bool| {
        let item = Arc::new(Work::new(
            Task::default(),
            |cx: &ThreadCx<'_>, run: &Run<'_, Task>| {
                run.begun.complete_all();
                run.go.wait(cx);
                labour();
                run.over.complete_all();
            },
        ));
        let _ = queue.queue(&item);
        item.begun.wait(cx);
        beside_hogs(cx, || {
            item.go.complete_all();
            if lend {
                item.flush(cx).expect("the item ends");
            } else {
                item.over.wait(cx);
            }
        })
    };
    let (without, with) = (wait(false), wait(true));
    assert_shorter(with, without);
    queue.destroy(cx).expect("not one of its items");
}

fn mutex_lends(cx: &ThreadCx<'_>) {
    let wait = |lend: bool| {
        let shared = Arc::new((Mutex::new(()), [const { Completion::new() }; 3]));
        let body = {
            let shared = Arc::clone(&shared);
            move |cx: &ThreadCx<'_>| {
                let guard = shared.0.lock(cx);
                shared.1[0].complete_all();
                shared.1[1].wait(cx);
                labour();
                drop(guard);
                shared.1[2].complete_all();
            }
        };
        let holder = Builder::new("holder")
            .nice(Nice::MAX)
            .affinity(CpuMask::single(CpuId::BOOT));
        let holder = holder.spawn(body).expect("a thread");
        shared.1[0].wait(cx);
        let took = beside_hogs(cx, || {
            shared.1[1].complete_all();
            if lend {
                drop(shared.0.lock(cx));
            } else {
                shared.1[2].wait(cx);
            }
        });
        holder.join(cx);
        assert_eq!(holder.effective_nice(), Nice::MAX, "it is taken back");
        took
    };
    let (without, with) = (wait(false), wait(true));
    assert_shorter(with, without);
}
