//! BH queues have no limit of active items (K1).

use kernel::wq::{Bh, Workqueue};

fn main() {
    let _ = Workqueue::<Bh>::builder("urgent").max_active(1).build();
}
