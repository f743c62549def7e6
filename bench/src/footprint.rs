//! `footprint`: bytes that things take, each the mean of many. Only when it is asked for by name, since it
//! leaves caches behind that the other rows would find.
//!
//! One line for each: `BYTES what|bytes|heap bytes of them`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use kernel::mem;
use kernel::thread::{self, Builder, ThreadCx, ThreadRef};
use kernel::wq::{Bh, DelayedWork, Ordered, PerCpu, Run, Unbound, Work, Workqueue};

/// Things of a kind.
const N: usize = 64;

/// Bytes in use: heap blocks, and pages that are neither in the heap's chunks nor such a block.
fn used() -> (usize, usize) {
    let stats = mem::stats();
    let pages = stats.used_bytes() - stats.shared.chunk_bytes - stats.heap_page_bytes;
    (stats.heap_live_bytes, pages)
}

/// Makes [`N`] things and tells what one takes.
fn tell<T>(what: &str, mut make: impl FnMut() -> T) -> Vec<T> {
    let mut all = Vec::with_capacity(N);
    // The first one may make what all share.
    all.push(make());
    let before = used();
    all.extend((1..N).map(|_| make()));
    let after = used();
    let each = |a: usize, b: usize| a.saturating_sub(b) / (N - 1);
    let (heap, pages) = (each(after.0, before.0), each(after.1, before.1));
    kernel::println!("BYTES {what}|{}|{heap}", heap + pages);
    all
}

/// Measures all kinds.
pub(crate) fn run(cx: &ThreadCx<'_>) {
    let nap = |cx: &ThreadCx<'_>| thread::park(cx);
    let threads: Vec<ThreadRef> = tell("thread", || {
        Builder::new("nap").spawn(nap).expect("memory for a thread")
    });
    threads.iter().for_each(|t| t.unpark());
    threads.iter().for_each(|t| t.join(cx));
    let nothing = |_: &ThreadCx<'_>, _: &Run<'_, ()>| {};
    drop(tell("work item, without what it holds", || {
        Arc::new(<Work<()>>::new((), nothing))
    }));
    drop(tell("delayed work item", || {
        Arc::new(<DelayedWork<()>>::new((), nothing))
    }));
    let queues = tell("workqueue of all cores", || {
        Workqueue::<PerCpu>::builder("footprint")
            .build()
            .expect("a queue")
    });
    end(queues, |q| q.destroy(cx).is_ok());
    let queues = tell("unbound workqueue", || {
        Workqueue::<Unbound>::builder("footprint")
            .build()
            .expect("a queue")
    });
    end(queues, |q| q.destroy(cx).is_ok());
    let queues = tell("ordered workqueue", || {
        Workqueue::<Ordered>::builder("footprint")
            .build()
            .expect("a queue")
    });
    end(queues, |q| q.destroy(cx).is_ok());
    let queues = tell("BH workqueue", || {
        Workqueue::<Bh>::builder("footprint")
            .build()
            .expect("a queue")
    });
    end(queues, |q| q.destroy(cx).is_ok());
}

fn end<Q>(queues: Vec<Q>, destroy: impl Fn(Q) -> bool) {
    assert!(queues.into_iter().all(destroy), "nobody uses them");
}
