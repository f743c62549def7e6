//! The services against a virtual client.

use kernel::thread::ThreadCx;
use sim::Scenario;
use sim::net::{Client, Peer, wait_for_clients};

fn serve(cx: &ThreadCx<'_>) {
    let args = services::boot_args();
    let services = services::start(cx, &args).expect("services");
    wait_for_clients(cx);
    services.http.stop(cx).expect("http stops");
    services.echo.stop(cx).expect("echo stops");
    let n = kernel::net::stats();
    assert_eq!(n.connections, 0);
}

/// Echo of random data.
pub const ECHO: Scenario = Scenario::new("net-echo", 2, serve)
    .bootargs(sim::net::STATIC)
    .peer(|peer: &mut Peer| {
        peer.clients(3, "echo", |client: &Client<'_>| {
            let data = client.random_bytes(5000);
            let stream = client.connect(7);
            stream.send(&data).expect("alive");
            stream.finish();
            assert_eq!(stream.recv_to_end().map_err(|b| b.len()), Ok(data));
        });
    });
