//! 95: the example programs.

use crate::ktest;

ktest!("95_work_example_own_queue", examples::own_queue::main);
ktest!("95_work_example_delayed_work", examples::delayed_work::main);
ktest!("95_work_example_bh_item", examples::bh_item::main);
ktest!(
    "95_work_example_fan_out_flush",
    examples::fan_out_flush::main
);
ktest!("95_work_example_borrowing", examples::borrowing::main);
ktest!("95_work_example_tcp_service", examples::tcp_service::main);
