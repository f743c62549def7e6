//! A shared item cannot be replaced by a fresh one.
use std::sync::Arc;

use kernel::wq::{self, Threaded, Work};

fn main() {
    let item = Arc::new(Work::<u32, Threaded>::new(1, |_, _| {}));
    let _ = wq::percpu().queue(&item);
    *item = Work::<u32, Threaded>::new(2, |_, _| {});
}
