//! The scenario with a network that `docs/testing.md` shows, word for word: a test compares the two.

use sim::Scenario;
use sim::net::STATIC;

use super::{serve, sound};

/// The one scenario.
pub(super) const HELLO: Scenario = sound(
    "net-hello",
    |cx| {
        serve(cx);
    },
    |peer| {
        peer.clients(3, "greeter", |client| {
            let stream = client.connect(7);
            stream.send(b"hello").expect("a live connection");
            stream.finish();
            assert_eq!(stream.recv_to_end(), Ok(b"hello".to_vec()));
        });
    },
)
.about("three clients say hello to the echo service and hear it")
.bootargs(STATIC);
