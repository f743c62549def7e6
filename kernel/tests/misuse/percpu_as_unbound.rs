//! A per-core queue is no unbound one.
use kernel::wq::{PerCpu, Unbound, Workqueue};

fn main() {
    let per_core = Workqueue::<PerCpu>::builder("x").build().unwrap();
    let _: Workqueue<Unbound> = per_core;
}
