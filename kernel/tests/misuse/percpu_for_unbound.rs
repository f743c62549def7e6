//! Code that needs a core of its own is not given a queue without one, nor the other way round.

use kernel::wq::{PerCpu, Unbound, Workqueue};

fn _counts_per_core(_: &Workqueue<PerCpu>) {}

fn _wrong(orders: &Workqueue<Unbound>) {
    _counts_per_core(orders);
}

fn main() {}
