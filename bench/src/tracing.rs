//! Group `trace`: what it costs to record an event, by category.
//!
//! An operation is done with the category off and on, equally often; the difference, divided by the events it
//! recorded, is what one costs more than the test that finds it unwanted. The operations are such as always take the
//! same way, and are over when they return. The anatomy is on meanwhile: items that nobody looks at take a shorter way,
//! which is no part of what recording costs.

use alloc::sync::Arc;

use kernel::mutex::Mutex;
use kernel::softirq::BhCx;
use kernel::thread::{self, ThreadCx};
use kernel::trace::{self, Categories};
use kernel::wq::{self, DelayedWork, Run, Softirq, Work};
use machine::{CpuId, Duration};
use sync::bh_disable;

use crate::kit::{Kit, count, sample_over, samples_begin, samples_over};

const GROUP: &str = "trace";
/// Operations, half of them with the category on: a power of two, because of their order.
const OPERATIONS: u32 = 1 << 14;
/// Operations before those that count.
const WARM_UP: usize = 200;

/// Runs all rows of the group.
pub(crate) fn run(cx: &ThreadCx<'_>, kit: &Kit) {
    let anatomy = wq::anatomy();
    wq::set_anatomy(true);
    let nap = || thread::sleep(cx, Duration::from_micros(10));
    let bh = Arc::new(Work::<_, Softirq>::new(
        (),
        |_: &BhCx<'_>, _: &Run<'_, (), Softirq>| {},
    ));
    let item = || {
        let off = bh_disable();
        let _queued = wq::bh().queue(&bh);
        drop(off);
    };
    let late: Arc<DelayedWork<()>> = Arc::new(DelayedWork::new((), |_, _| {}));
    let mutex = Mutex::new(());
    cost(kit, "trace-sched", Categories::SCHED, nap);
    cost(kit, "trace-irq", Categories::IRQ, nap);
    cost(kit, "trace-workqueue", Categories::WORKQUEUE, item);
    cost(kit, "trace-softirq", Categories::SOFTIRQ, item);
    cost(kit, "trace-timer", Categories::TIMER, || {
        let _queued = wq::percpu().queue_delayed(&late, Duration::from_secs(1_000));
        let _was = late.cancel_sync(cx);
    });
    cost(kit, "trace-lock", Categories::LOCK, || {
        drop(mutex.lock(cx).expect("nobody panics with it"));
    });
    wq::set_anatomy(anatomy);
}

fn cost(kit: &Kit, row: &'static str, category: Categories, mut op: impl FnMut()) {
    if !kit.wants(GROUP, row) {
        return;
    }
    let before = trace::wanted();
    (0..WARM_UP).for_each(|_| op());
    let (mut events, mut total) = (0, 0_i64);
    samples_begin();
    for i in 0..kit.operations(OPERATIONS) {
        // The sequence of Thue and Morse: whatever takes turns of its own meets both alike.
        let on = i.count_ones() % 2 == 1;
        trace::want(if on { category } else { Categories::NONE });
        let written = trace::written(CpuId::BOOT).0;
        let begin = count();
        op();
        let n = i64::from(count().wrapping_sub(begin));
        total += if on { n } else { -n };
        events += trace::written(CpuId::BOOT).0 - written;
        // A profile is of operations that are recorded.
        if on {
            sample_over();
        }
    }
    samples_over();
    trace::want(before);
    kit.ratio(row, events, total);
}
