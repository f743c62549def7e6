//! Clients of the on-target tests about what a server does to itself: stopping from within, panicking
//! handlers, and serving without memory.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use qemu_tests::http::{self, Client, Visit, get, said};
use qemu_tests::on_target;

use crate::protocol::check;

const LIMIT: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn stop_is_refused() -> Result<(), String> {
    let test = "95_services_stop_from_within_is_refused";
    on_target::run(test, 2, LIMIT, |guest| {
        for mode in ["event", "blocking", "thread"] {
            guest.wait_for(&format!("SERVING {mode}"))?;
            let mut client = echo_client(guest.echo())?;
            client.write_all(b"?").map_err(said("send"))?;
            let mut answer = [0; 1];
            client
                .read_exact(&mut answer)
                .map_err(said("read the answer of a server that should run on"))?;
            check(answer == *b"!", "the answer")?;
        }
        Ok(())
    })
}

/// An echo client.
fn echo_client(at: SocketAddr) -> Result<TcpStream, String> {
    let client = TcpStream::connect(at).map_err(said("connect"))?;
    let timeout = client.set_read_timeout(Some(PATIENCE));
    timeout.map_err(said("set a timeout"))?;
    Ok(client)
}

/// Whether a byte comes back.
fn echoes(mut client: &TcpStream, byte: u8) -> Result<(), String> {
    client.write_all(&[byte]).map_err(said("send"))?;
    let mut echo = [0];
    client.read_exact(&mut echo).map_err(said("hear it back"))?;
    check(echo == [byte], "the byte sent comes back")
}

/// The guest panics for each `x`.
pub(crate) fn handler_panics() -> Result<(), String> {
    let test = "95_services_handler_panics";
    on_target::run(test, 2, LIMIT, |guest| {
        for mode in ["event", "blocking", "thread"] {
            guest.wait_for(&format!("SERVING {mode}"))?;
            let steady = echo_client(guest.echo())?;
            echoes(&steady, b'a')?;
            for _ in 0..3 {
                let mut client = echo_client(guest.echo())?;
                echoes(&client, b'b')?;
                client.write_all(b"x").map_err(said("send"))?;
                match client.read(&mut [0]) {
                    Ok(0) => {}
                    Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
                    other => return Err(format!("{mode}: a dead handler's client: {other:?}")),
                }
                echoes(&steady, b'c')?;
            }
        }
        Ok(())
    })
}

/// Says something to the guest's UDP echo, which needs no memory, and waits for it to come back.
fn signal(at: SocketAddr) -> Result<(), String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(said("bind"))?;
    socket.connect(at).map_err(said("connect"))?;
    let timeout = socket.set_read_timeout(Some(PATIENCE));
    timeout.map_err(said("set a timeout"))?;
    socket.send(b"next").map_err(said("send a datagram"))?;
    let echoed = socket.recv(&mut [0; 16]);
    echoed.map(drop).map_err(said("hear a datagram come back"))
}

pub(crate) fn without_memory() -> Result<(), String> {
    let test = "95_services_without_memory_answer_503";
    // One core: another one's magazines would hold some memory back.
    on_target::run(test, 1, LIMIT, |guest| {
        guest.wait_for("SERVING")?;
        let mut inside = Client::connect_within(guest.http(), PATIENCE)?;
        let mut idle = Client::connect_within(guest.http(), PATIENCE)?;
        for client in [&mut inside, &mut idle] {
            client.ask(get("/hello"))?.expect(200)?;
        }
        signal(guest.echo())?;
        guest.wait_for("DRY")?;
        inside.ask(get("/hello"))?.expect(200)?;
        let answer = inside.ask(get("/api/v1/system"))?.expect(503)?;
        check(answer.header("connection") == Some("close"), "Connection")?;
        check(answer.header("retry-after").is_some(), "Retry-After")?;
        check(inside.is_closed(), "the connection is closed")?;
        // The connection just closed may be used again; beyond it nothing is left.
        let mut refused = 0;
        for _ in 0..4 {
            match http::visit(guest.http(), PATIENCE, &get("/api/v1/system"))? {
                Visit::Answered(answer) => answer.expect(503).map(drop)?,
                Visit::Refused(_) => refused += 1,
            }
        }
        idle.ask(get("/hello"))?
            .expect(200)
            .map_err(|e| format!("an idle client, after {refused} were refused: {e}"))?;
        signal(guest.echo())?;
        guest.wait_for("WET")?;
        for mut client in [idle, Client::connect_within(guest.http(), PATIENCE)?] {
            client.ask(get("/api/v1/system"))?.expect(200)?;
        }
        signal(guest.echo())
    })
}

/// The guest looks what its trace says of two requests; the host, what it says of a bad argument.
pub(crate) fn requests_are_traced() -> Result<(), String> {
    on_target::run("96_trace_of_requests", 2, LIMIT, |guest| {
        guest.wait_for("boot argument trace=nonsense: expected all, off, or some of sched,work")?;
        guest.wait_for("SERVING")?;
        let mut client = Client::connect_within(guest.http(), PATIENCE)?;
        client.ask(get("/hello"))?.expect(200)?;
        client.ask(get("/nowhere"))?.expect(404)?;
        signal(guest.echo())
    })
}
