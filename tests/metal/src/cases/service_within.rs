//! What a server's own items may not do, and what they may: asked by clients on the host.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use kernel::mem;
use kernel::net::{self, Conn, IoError};
use kernel::thread::{ThreadCx, sleep};
use machine::{Duration, Instant};
use services::server::{Next, Protocol};
use services::{Mode, QueueKind, Server, ServerConfig, StopError};
use sync::{BhOff, Rank, SpinLock};

use crate::ktest;
use crate::registry::Needs;

ktest!(
    "95_services_stop_from_within_is_refused",
    stop_from_within_is_refused,
    Needs::new().net().timeout(60)
);
ktest!(
    "95_services_without_memory_answer_503",
    without_memory_answer_503,
    Needs::new().net().timeout(60)
);

/// How long the host's clients may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The port that the host's echo port leads to.
pub(super) const PORT: u16 = 7;

static SERVER: SpinLock<Option<Server<Quitter>>, BhOff> =
    SpinLock::new(Rank::Service, "the server under test", None);
static REFUSALS: AtomicU32 = AtomicU32::new(0);

/// Tries to stop its own server for every byte it gets, and says how that went.
#[derive(Debug)]
struct Quitter;

impl Protocol for Quitter {
    type Settings = ();
    type Common = ();

    fn new((): &(), _common: &Arc<()>) -> Option<Self> {
        Some(Self)
    }

    fn reset(&mut self, _conn: &Conn) {}

    fn run(&mut self, cx: &ThreadCx<'_>, conn: &Conn) -> Next {
        match conn.recv_now(&mut [0; 1]) {
            Ok(1) => {
                let server = SERVER.lock().take().expect("the test puts it there");
                match server.stop(cx) {
                    Err(StopError::FromWithin(server)) => {
                        *SERVER.lock() = Some(server);
                        REFUSALS.fetch_add(1, Ordering::Relaxed);
                    }
                    other => panic!("stopped from within: {other:?}"),
                }
                assert_eq!(conn.send_now(b"!"), Ok(1));
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

/// Waits until `met`.
pub(super) fn wait_for(cx: &ThreadCx<'_>, what: &str, met: impl Fn() -> bool) {
    let end: Instant = machine::now() + PATIENCE;
    while !met() {
        assert!(machine::now() < end, "{what}");
        sleep(cx, Duration::from_millis(5));
    }
}

/// In each mode one client makes the server try; from outside it then stops as always.
fn stop_from_within_is_refused(cx: &ThreadCx<'_>) {
    for mode in [Mode::Event, Mode::Blocking, Mode::Thread] {
        let config = ServerConfig {
            name: "within",
            port: PORT,
            mode,
            queue: QueueKind::Bound,
        };
        let server = Server::start(cx, config, ()).expect("a free port");
        *SERVER.lock() = Some(server);
        let before = REFUSALS.load(Ordering::Relaxed);
        kernel::println!("SERVING {mode}");
        wait_for(cx, "no refusal", || {
            REFUSALS.load(Ordering::Relaxed) > before
        });
        let server = SERVER.lock().take();
        server
            .expect("given back")
            .stop(cx)
            .expect("called from outside");
    }
}

/// While no memory is left, what needs some is answered with 503, or its connection refused, and what
/// needs none is served; afterwards all is well. A datagram from the host ends the drought.
fn without_memory_answer_503(cx: &ThreadCx<'_>) {
    let running = services::start(cx, &services::boot_args()).expect("memory for the services");
    kernel::println!("SERVING");
    wait_for(cx, "no client came", || net::stats().stack.udp_echoes >= 1);
    let mut pieces: Vec<Vec<u8>> = mem::try_vec_with_capacity(64 << 10).expect("room for a list");
    let mut bytes = 1 << 20;
    while bytes >= 16 {
        while let Ok(piece) = mem::try_vec_with_capacity(bytes) {
            assert!(pieces.len() < pieces.capacity(), "the list is full");
            pieces.push(piece);
        }
        bytes /= 2;
    }
    kernel::println!("DRY");
    wait_for(cx, "the host did not end the drought", || {
        net::stats().stack.udp_echoes >= 2
    });
    drop(pieces);
    kernel::println!("WET");
    wait_for(cx, "the host did not end the test", || {
        net::stats().stack.udp_echoes >= 3
    });
    running.http.stop(cx).expect("called from outside");
    running.echo.stop(cx).expect("called from outside");
}
