//! Is the service up? Asked by a real request, because no timer knows.
//!
//! QEMU's user network accepts a connection before the guest exists, so a successful `connect`
//! proves nothing: only a 200 to `GET /hello` does. A connection opened too early may hang until
//! its SYN is repeated (seconds), hence short attempts that each use a fresh one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(25);

/// Asks once; `true` on an answer with status 200.
pub fn answers(address: SocketAddr, patience: Duration) -> bool {
    ask(address, patience).unwrap_or(false)
}

fn ask(address: SocketAddr, patience: Duration) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: roundtable\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 512];
    let give_up = Instant::now() + patience;
    while !answer.contains(&b'\n') && answer.len() < 512 && Instant::now() < give_up {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..n]);
    }
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}

/// Asks until there is an answer; `false` when `stop` said to give up.
///
/// The patience grows, because a guest under a debugger or on a loaded host may need long for one
/// answer, while short attempts find a normal one sooner.
pub fn poll(address: SocketAddr, mut stop: impl FnMut() -> bool) -> bool {
    let mut patience = Duration::from_millis(200);
    while !stop() {
        if answers(address, patience) {
            return true;
        }
        patience = (patience * 5 / 4).min(Duration::from_secs(5));
        std::thread::sleep(PAUSE);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; 512];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(answer);
            }
        });
        address
    }

    #[test]
    fn only_a_200_counts() {
        let patience = Duration::from_secs(2);
        assert!(answers(server(b"HTTP/1.1 200 OK\r\n\r\n"), patience));
        assert!(!answers(server(b"HTTP/1.1 503 Busy\r\n\r\n"), patience));
        assert!(!answers(server(b""), patience));
    }

    #[test]
    fn an_accepted_but_silent_connection_does_not_count() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!answers(address, Duration::from_millis(50)));
    }

    #[test]
    fn poll_obeys_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut left = 3;
        assert!(!poll(address, || {
            left -= 1;
            left == 0
        }));
    }
}
