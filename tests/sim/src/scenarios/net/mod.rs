//! The services against clients on a virtual wire, one file per kind of client.
//!
//! Each scenario says what every client must see, byte for byte, and ends with [`serve`]'s promise:
//! nothing is left of what the clients did.

mod address;
mod browser;
mod cores;
mod crowd;
mod echo;
mod events;
mod hello;
mod http;
mod memory;
mod rude;
mod slow;

use kernel::mem;
use kernel::net::NetStats;
use kernel::thread::{ThreadCx, sleep, thread_count};
use machine::Duration;
use services::Services;
use sim::net::{Peer, wait_for_clients};
use sim::{Kinds, Scenario};

/// Every scenario with a network.
pub(super) const ALL: &[Scenario] = &[
    hello::HELLO,
    echo::ECHO,
    echo::BLOCKING,
    echo::THREADS,
    echo::UNBOUND,
    echo::LOSSY,
    http::PIPELINE,
    events::EVENTS,
    events::THREADS,
    slow::SLOW,
    rude::RESETS,
    rude::LIES,
    crowd::LIMIT,
    crowd::ABANDONED,
    crowd::RESTART,
    crowd::RESTART_THREADS,
    cores::CORES,
    address::DHCP,
    address::DHCP_LATE,
    address::DHCP_NEVER,
    memory::MEMORY,
    memory::MEMORY_THREADS,
];

/// A scenario whose wire is sound, with hours of virtual time.
const fn sound(name: &'static str, init: fn(&ThreadCx<'_>), peer: fn(&mut Peer)) -> Scenario {
    Scenario::new(name, 2, init)
        .cpus_range(1, 4)
        .virtual_ms(12_000_000)
        .max_steps(20_000_000)
        .endures(Kinds::DELAYS.without(Kinds::PACKETS))
        .peer(peer)
}

/// What the kernel holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Footprint {
    /// Blocks of the heap.
    blocks: usize,
    /// Bytes of pages and stacks.
    bytes: usize,
    threads: usize,
}

/// Longer than any pool keeps an idle worker, a connection lingers, a neighbour is remembered.
const QUIET: Duration = Duration::from_secs(700);

/// Most blocks an idle worker holds.
const WORKER_BLOCKS: usize = 6;

impl Footprint {
    /// Waits until nothing happens any more, then looks.
    fn take(cx: &ThreadCx<'_>) -> Self {
        sleep(cx, QUIET);
        Self {
            blocks: sim::live_blocks(),
            bytes: mem::stats().used_bytes(),
            threads: thread_count(),
        }
    }

    /// Checks that only idle workers have come since `before`, and no more than pools keep.
    fn is_as(self, before: Self) {
        let workers = self.threads.saturating_sub(before.threads);
        let pools = 2 * kernel::cpu::online().count() + 2;
        assert!(workers <= 2 * pools, "{workers} workers stayed");
        let stack = kernel::kernel().info().stack_bytes + mem::PAGE;
        assert!(
            self.bytes <= before.bytes + workers * stack,
            "{before:?} became {self:?}"
        );
        assert!(
            self.blocks <= before.blocks + workers * WORKER_BLOCKS,
            "{before:?} became {self:?}"
        );
    }
}

/// Starts the services as the boot arguments say, waits for the clients, stops the services, and
/// checks that nothing is left. Returns the stack's figures.
fn serve(cx: &ThreadCx<'_>) -> NetStats {
    serve_while(cx, |cx, services| {
        wait_for_clients(cx);
        services
    })
}

/// [`serve`], with `during` between start and stop; it gives back the services that run then.
fn serve_while(
    cx: &ThreadCx<'_>,
    during: impl FnOnce(&ThreadCx<'_>, Services) -> Services,
) -> NetStats {
    let args = services::boot_args();
    let before = Footprint::take(cx);
    let services = services::start(cx, &args).expect("memory for the services");
    let services = during(cx, services);
    stop(cx, services);
    let stats = kernel::net::stats();
    assert_eq!(stats.connections, 0, "connections of a stopped service");
    assert_eq!(stats.handshakes, 0, "handshakes of a stopped service");
    assert_eq!(stats.stack.tcp_opened, stats.stack.tcp_closed);
    Footprint::take(cx).is_as(before);
    stats
}

/// Stops both services.
fn stop(cx: &ThreadCx<'_>, services: Services) {
    services.http.stop(cx).expect("http stops");
    services.echo.stop(cx).expect("echo stops");
}
