//! A panic in a connection's handler, in every mode: the client hears of it at once, nobody else does, and
//! the server can be stopped.

use alloc::sync::Arc;

use kernel::net::{self, Conn, IoError};
use kernel::thread::ThreadCx;
use machine::{Duration, Instant};
use services::server::{Next, Protocol};
use services::{Mode, QueueKind, Server, ServerConfig};

use super::service_within::{PORT, wait_for};
use crate::ktest;
use crate::registry::Needs;

ktest!(
    "95_services_handler_panics",
    handler_panics,
    Needs::new().net().timeout(60)
);

/// Panics a mode sees.
const PANICS: usize = 3;

/// Echoes bytes; an `x` is one too many.
#[derive(Debug)]
struct Fragile;

impl Protocol for Fragile {
    type Settings = ();
    type Common = ();

    fn new((): &(), _common: &Arc<()>) -> Option<Self> {
        Some(Self)
    }

    fn reset(&mut self, _conn: &Conn) {}

    fn run(&mut self, _cx: &ThreadCx<'_>, conn: &Conn) -> Next {
        let mut byte = [0];
        match conn.recv_now(&mut byte) {
            Ok(1) => {
                assert!(byte != *b"x", "on purpose");
                assert_eq!(conn.send_now(&byte), Ok(1));
                Next::Again
            }
            Err(IoError::WouldBlock) => {
                conn.flush();
                Next::Wait
            }
            _ => Next::Close,
        }
    }
}

/// In each mode some clients make their handlers panic while another one is served.
fn handler_panics(cx: &ThreadCx<'_>) {
    for mode in [Mode::Event, Mode::Blocking, Mode::Thread] {
        let config = ServerConfig {
            name: "fragile",
            port: PORT,
            mode,
            queue: QueueKind::Bound,
        };
        let before = net::stats().stack.tcp_established;
        let server = Server::<Fragile>::start(cx, config, ()).expect("a free port");
        kernel::println!("SERVING {mode}");
        wait_for(cx, "clients missing", || {
            net::stats().stack.tcp_established > before + PANICS as u64
        });
        wait_for(cx, "a panicked handler's seat is still counted", || {
            server.connections() == 0
        });
        // A connection without a seat may still wait for the client's last acknowledgement.
        wait_for(cx, "connections without a seat", || {
            net::stats().connections == 0
        });
        let begin: Instant = machine::now();
        server.stop(cx).expect("called from outside");
        let took = machine::now().since(begin);
        assert!(took < Duration::from_secs(1), "stopping took {took:?}");
    }
}
