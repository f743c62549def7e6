//! Where the address comes from.

use kernel::thread::sleep;
use machine::Duration;
use sim::Scenario;
use sim::net::{ADDRESS, begin, wait_for_clients};

use super::browser::greet;
use super::{serve, serve_while, sound};

/// DHCP is answered at once; the lease is renewed many times.
pub(super) const DHCP: Scenario = sound(
    "net-dhcp",
    |cx| {
        let stats = serve(cx);
        assert_eq!(stats.address, Some((ADDRESS, 24)));
    },
    |peer| {
        peer.dhcp_from(Duration::ZERO);
        peer.client("browser", |client| {
            for _ in 0..5 {
                greet(client, 2);
                client.sleep(Duration::from_secs(100));
            }
        });
    },
)
.about("an address from DHCP serves as long as its lease is renewed");

/// The DHCP server comes up late.
pub(super) const DHCP_LATE: Scenario = sound(
    "net-dhcp-late",
    |cx| {
        serve_while(cx, |cx, services| {
            assert_eq!(kernel::net::stats().address, None);
            begin();
            wait_for_clients(cx);
            assert_eq!(kernel::net::stats().address, Some((ADDRESS, 24)));
            services
        });
    },
    |peer| {
        // The services start after 700 s.
        peer.dhcp_from(Duration::from_secs(800));
        peer.client("browser", |client| {
            greet(client, 2);
            let up = client.now();
            assert!(up.as_nanos() > 800_000_000_000, "served at {up:?}");
        });
    },
)
.about("without an address the kernel keeps asking, and serves once it has one");

/// Nobody ever answers.
pub(super) const DHCP_NEVER: Scenario = sound(
    "net-dhcp-never",
    |cx| {
        let stats = serve_while(cx, |cx, services| {
            sleep(cx, Duration::from_secs(3_600));
            services
        });
        assert_eq!(stats.address, None);
        let asked = stats.stack.tx_frames;
        assert!(
            (60..2_000).contains(&asked),
            "asked {asked} times in an hour"
        );
    },
    |_| {},
)
.about("an unanswered DHCP client asks on, neither seldom nor often, and costs nothing else");
