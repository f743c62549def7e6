//! Only per-core queues have concurrency management to be left out of.
use kernel::wq::{Unbound, Workqueue};

fn main() {
    let _ = Workqueue::<Unbound>::builder("x").cpu_intensive();
}
