//! An item that lives for ever cannot be replaced either.
use kernel::wq::{self, Threaded, Work};

static ITEM: Work<u32, Threaded> = Work::new(1, |_, _| {});

fn main() {
    let _ = wq::percpu().queue(&ITEM);
    ITEM = Work::new(2, |_, _| {});
}
