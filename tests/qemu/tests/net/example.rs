//! The example TCP service answers: run by an on-target test, asked from the host.
//!
//! The guest asserts that every client came and was let go ([`TEST`] in the image of on-target
//! tests), the host that each got its own message back in capitals.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use qemu_tests::http::said;
use qemu_tests::on_target;

/// Name of the test in the guest.
const TEST: &str = "95_services_example_answers";
/// Clients the guest waits for.
const CLIENTS: usize = 8;
/// How long the guest may take for it all.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn answers() -> Result<(), String> {
    on_target::run(TEST, 2, LIMIT, |guest| {
        guest.wait_for("SERVING")?;
        talk(guest.echo())
    })
}

/// Clients that are there together, and are answered in another order than they came.
fn talk(at: SocketAddr) -> Result<(), String> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let stream = TcpStream::connect(at).map_err(said("connect"))?;
        let timeout = stream.set_read_timeout(Some(Duration::from_secs(20)));
        timeout.map_err(said("set a timeout"))?;
        clients.push(stream);
    }
    for round in 0..3 {
        for (i, client) in clients.iter_mut().enumerate().rev() {
            let message = format!("client {i}, round {round}: Grüße\n");
            client.write_all(message.as_bytes()).map_err(said("send"))?;
            let mut answer = vec![0; message.len()];
            client.read_exact(&mut answer).map_err(said("read"))?;
            if answer != message.to_ascii_uppercase().as_bytes() {
                return Err(format!("{message:?} became {answer:?}"));
            }
        }
    }
    for mut client in clients {
        client
            .shutdown(Shutdown::Write)
            .map_err(said("half-close"))?;
        let mut rest = Vec::new();
        client
            .read_to_end(&mut rest)
            .map_err(said("read the end"))?;
        if !rest.is_empty() {
            return Err(format!("more than the answers: {rest:?}"));
        }
    }
    Ok(())
}
