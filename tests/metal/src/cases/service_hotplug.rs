//! The service while cores go and come: nobody who asks is to notice (M1-M5, K5).

use kernel::cpu::online;
use kernel::hotplug::{self, HotplugError};
use kernel::net;
use kernel::thread::{ThreadCx, sleep};
use machine::{CpuId, Duration};

use crate::ktest;
use crate::registry::Needs;

ktest!(
    "95_services_while_cores_come_and_go",
    services_while_cores_come_and_go,
    Needs::new().net().timeout(120)
);

/// Times that a core goes and comes.
const CYCLES: usize = 1_000;

fn services_while_cores_come_and_go(cx: &ThreadCx<'_>) {
    let all = online();
    let args = services::boot_args();
    let running = services::start(cx, &args).expect("memory for the services");
    kernel::println!("SERVING");
    let before = net::stats().stack.tcp_established;
    for _ in 0..CYCLES {
        let id = CpuId::new((machine::entropy() % all.count() as u64) as usize);
        match hotplug::offline(cx, id) {
            Ok(()) => sleep(cx, Duration::from_micros(machine::entropy() % 2_000)),
            Err(HotplugError::Already | HotplugError::LastCore) => {}
            Err(e) => panic!("{id} does not go: {e}"),
        }
        // Every other time it stays away, until its turn comes again.
        if machine::entropy().is_multiple_of(2) || online().count() < all.count() / 2 {
            all.iter().for_each(|id| bring(cx, id));
        }
    }
    all.iter().for_each(|id| bring(cx, id));
    let served = net::stats().stack.tcp_established - before;
    kernel::println!("HOTPLUG {CYCLES} cycles, {served} connections");
    assert!(served > 0, "no clients came");
    kernel::println!("CYCLED");
    // The clients finish what they began.
    sleep(cx, Duration::from_secs(3));
    running.http.stop(cx).expect("not called from an item");
    running.echo.stop(cx).expect("not called from an item");
    assert_eq!(online(), all);
    sleep(cx, Duration::from_millis(50));
    kernel::audit::check().expect("all counters are right");
    kernel::wq::for_each_pool(|p| assert_eq!(p.nr_running, 0, "pool {} counts somebody", p.id));
}

fn bring(cx: &ThreadCx<'_>, id: CpuId) {
    match hotplug::online(cx, id) {
        Ok(()) | Err(HotplugError::Already) => {}
        Err(e) => panic!("{id} does not come: {e}"),
    }
}
