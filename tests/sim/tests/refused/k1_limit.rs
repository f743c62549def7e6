//! BH queues have no max_active.
use kernel::wq::{Bh, Workqueue};

fn main() {
    let _ = Workqueue::<Bh>::builder("x").max_active(3);
}
