//! The echo service: what goes in comes out (RFC 862).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::time::Duration;

use qemu_tests::http::said;
use qemu_tests::service::Address;

use crate::Body;
use crate::Where::{self, Everywhere, Once};
use crate::protocol::check;

pub(crate) const TESTS: &[(&str, Where, Body)] = &[
    (
        "echo_a_mebibyte_with_half_close",
        Everywhere,
        a_mebibyte_with_half_close,
    ),
    ("echo_many_at_once", Once, many_at_once),
    ("echo_udp", Once, udp),
];

const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that do not repeat within a buffer (xorshift).
pub(crate) fn noise(mut seed: u64, length: usize) -> Vec<u8> {
    let next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn round_trip(at: Address, data: &[u8]) -> Result<(), String> {
    let mut writer = TcpStream::connect_timeout(&at.echo, PATIENCE).map_err(said("connect"))?;
    writer
        .set_read_timeout(Some(PATIENCE))
        .map_err(said("set a timeout"))?;
    writer
        .set_write_timeout(Some(PATIENCE))
        .map_err(said("set a timeout"))?;
    let mut reader = writer.try_clone().map_err(said("clone"))?;
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || {
            writer.write_all(data).map_err(said("send"))?;
            writer.shutdown(Shutdown::Write).map_err(said("half-close"))
        });
        let mut got = Vec::new();
        let read = reader.read_to_end(&mut got).map_err(said("read"));
        sender
            .join()
            .map_err(|_| "the sender panicked".to_owned())??;
        read?;
        let same = got.iter().zip(data).take_while(|(a, b)| a == b).count();
        let (got, sent) = (got.len(), data.len());
        check(
            got == sent && same == sent,
            &format!("{got} of {sent} bytes, {same} the same"),
        )
    })
}

fn a_mebibyte_with_half_close(at: Address) -> Result<(), String> {
    round_trip(at, &noise(0x5eed, 1 << 20))
}

/// QEMU's user network keeps about one connection waiting and resets what comes meanwhile, before the
/// guest has heard of it (its counter of opened connections tells). So clients arrive one by one; a
/// connection lives much longer than this.
const ARRIVAL: Duration = Duration::from_millis(25);

fn many_at_once(at: Address) -> Result<(), String> {
    std::thread::scope(|scope| {
        let one = |n: u64| {
            std::thread::sleep(ARRIVAL);
            scope.spawn(move || round_trip(at, &noise(n + 1, 200_000)))
        };
        let all: Vec<_> = (0..16).map(one).collect();
        all.into_iter()
            .try_for_each(|t| t.join().map_err(|_| "a client panicked".to_owned())?)
    })
}

fn udp(at: Address) -> Result<(), String> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(said("bind"))?;
    socket.connect(at.echo).map_err(said("connect"))?;
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .map_err(said("set a timeout"))?;
    for length in [1, 100, 1_400] {
        let data = noise(length as u64, length);
        let mut got = [0; 2_048];
        // A datagram may be lost on a loaded host; three in a row are not.
        let echoed = (0..3).any(|_| {
            socket.send(&data).is_ok() && socket.recv(&mut got).is_ok_and(|n| got[..n] == data)
        });
        check(echoed, &format!("a datagram of {length} bytes comes back"))?;
    }
    Ok(())
}
