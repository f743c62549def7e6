//! Clients that load the guest's services in a closed loop, and what they saw.
//!
//! Each connection has a thread of its own, which sends, waits for the whole answer, checks it, and sends again. HTTP
//! over kept connections is [`wrk`]'s: it does that with less work of the host's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

pub mod wrk;

/// For an answer. A service that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a client's thread, of which there may be a thousand.
const STACK: usize = 256 << 10;

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// So many bytes from the echo service, over a kept connection.
    Echo(usize),
    /// `GET /hello`, a new connection for each.
    FreshHello,
}

/// When clients stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// After so many requests of all together.
    Requests(u64),
    /// After this time.
    Time(Duration),
}

/// What clients saw.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Seen {
    /// Answered requests.
    pub requests: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Microseconds to an answer: median, 99th percentile, 99.9th.
    pub latency_us: [f64; 3],
}

impl Seen {
    /// Of `latencies` in any order, taken over `seconds`.
    #[must_use]
    pub fn of(mut latencies: Vec<Duration>, seconds: f64) -> Self {
        latencies.sort_unstable();
        let at = |per_mille: usize| {
            let rank = (latencies.len() * per_mille).div_ceil(1_000).max(1) - 1;
            latencies.get(rank).map_or(0.0, |d| d.as_secs_f64() * 1e6)
        };
        Self {
            requests: latencies.len() as u64,
            seconds,
            latency_us: [at(500), at(990), at(999)],
        }
    }

    /// Requests a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds.max(1e-9)
    }
}

/// Lets `connections` clients ask at `address`.
///
/// # Errors
///
/// A connection that fails, an answer that is wrong or does not come, or no memory for that many threads.
pub fn run(
    address: SocketAddr,
    connections: usize,
    ask: Ask,
    until: Until,
) -> Result<Seen, String> {
    let begun = AtomicU64::new(0);
    let clients = (0..connections).map(|number| Client::new(address, ask, number));
    let clients = clients.collect::<Result<Vec<_>, _>>()?;
    let all = together(clients, STACK, |client| {
        let begin = Instant::now();
        let latencies = client.go_on(until, &begun)?;
        Ok((begin, Instant::now(), latencies))
    })?;
    let first = all.iter().map(|c| c.0).min();
    let last = all.iter().map(|c| c.1).max();
    let seconds = first.zip(last).map_or(0.0, |(a, b)| (b - a).as_secs_f64());
    let latencies = all.into_iter().flat_map(|c| c.2).collect();
    Ok(Seen::of(latencies, seconds))
}

/// Opens `connections` at once, each of which asks for one echo of `size` bytes: the time from before it connects to
/// the whole answer, in the order in which they began.
///
/// # Errors
///
/// As [`run`].
pub fn at_once(
    address: SocketAddr,
    connections: usize,
    size: usize,
) -> Result<Vec<Duration>, String> {
    let mut all = together((0..connections).collect(), STACK, |number| {
        let begin = Instant::now();
        Client::new(address, Ask::Echo(size), number)?.ask()?;
        Ok((begin, begin.elapsed()))
    })?;
    all.sort_by_key(|(begin, _)| *begin);
    Ok(all.into_iter().map(|(_, time)| time).collect())
}

/// Does `work` with each of `inputs` in a thread of its own, all of which begin when there are all of them, or not at all.
fn together<T: Send, R: Send>(
    inputs: Vec<T>,
    stack: usize,
    work: impl Fn(T) -> Result<R, String> + Sync,
) -> Result<Vec<R>, String> {
    // Held for writing until all are there; what it holds says whether to go on.
    let gate = RwLock::new(false);
    std::thread::scope(|scope| {
        let mut open = gate.write().map_err(|e| e.to_string())?;
        let (gate, work) = (&gate, &work);
        let mut threads = Vec::new();
        for input in inputs {
            let body = move || match gate.read() {
                Ok(open) if *open => {
                    drop(open);
                    work(input)
                }
                _ => Err("not begun".to_owned()),
            };
            let builder = Builder::new().stack_size(stack);
            let thread = builder.spawn_scoped(scope, body);
            threads.push(thread.map_err(|e| format!("the host makes no more threads: {e}"))?);
        }
        *open = true;
        drop(open);
        let results = threads.into_iter().map(|t| t.join());
        results
            .map(|r| r.unwrap_or_else(|_| Err("a client panicked".to_owned())))
            .collect()
    })
}

struct Client {
    address: SocketAddr,
    ask: Ask,
    /// The kept one.
    stream: Option<TcpStream>,
    sends: Vec<u8>,
    room: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr, ask: Ask, number: usize) -> Result<Self, String> {
        let (stream, sends) = match ask {
            Ask::Echo(size) => {
                // No two connections send the same, so an answer that belongs to another one is seen.
                let bytes = (0..size).map(|i| (i * 7 + number * 31 + 1) as u8);
                (Some(connect(address)?), bytes.collect::<Vec<u8>>())
            }
            Ask::FreshHello => {
                let head = "GET /hello HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
                (None, head.into())
            }
        };
        let room = vec![0; sends.len()];
        Ok(Self {
            address,
            ask,
            stream,
            sends,
            room,
        })
    }

    fn go_on(mut self, until: Until, begun: &AtomicU64) -> Result<Vec<Duration>, String> {
        let start = Instant::now();
        let mut latencies = Vec::new();
        loop {
            let more = match until {
                // A count that nothing else is published with.
                Until::Requests(n) => begun.fetch_add(1, Ordering::Relaxed) < n,
                Until::Time(time) => start.elapsed() < time,
            };
            if !more {
                return Ok(latencies);
            }
            let begin = Instant::now();
            self.ask()?;
            latencies.push(begin.elapsed());
        }
    }

    /// One request and its answer.
    fn ask(&mut self) -> Result<(), String> {
        let told = |e: std::io::Error| format!("{:?}: {e}", self.ask);
        match (self.ask, &mut self.stream) {
            (Ask::Echo(_), Some(stream)) => {
                stream.write_all(&self.sends).map_err(told)?;
                stream.read_exact(&mut self.room).map_err(told)?;
                if self.room != self.sends {
                    return Err("the echo is not what was sent".to_owned());
                }
            }
            _ => {
                let mut stream = connect(self.address)?;
                stream.write_all(&self.sends).map_err(told)?;
                self.room.clear();
                stream.read_to_end(&mut self.room).map_err(told)?;
                if !self.room.starts_with(b"HTTP/1.1 200 ") || !self.room.ends_with(b"Hello World!")
                {
                    return Err("not the answer to GET /hello".to_owned());
                }
            }
        }
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .map_err(|e| format!("cannot connect to {address}: {e}"))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .and_then(|()| stream.set_nodelay(true))
        .map_err(|e| e.to_string())?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that hands each connection to `serve`, in a thread of its own.
    fn server(serve: fn(TcpStream)) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || serve(stream));
            }
        });
        address
    }

    fn echo(mut stream: TcpStream) {
        let mut copy = stream.try_clone().expect("a second handle");
        let _ = std::io::copy(&mut stream, &mut copy);
    }

    /// Of two connections each gets what it did not send.
    fn liar(mut stream: TcpStream) {
        let mut bytes = [0; 8];
        while stream.read_exact(&mut bytes).is_ok() {
            bytes[3] ^= 1;
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    }

    fn hello(mut stream: TcpStream) {
        let mut request = [0; 512];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello World!");
    }

    #[test]
    fn a_number_of_requests_is_asked_by_all_together() {
        let seen = run(server(echo), 4, Ask::Echo(1_024), Until::Requests(100));
        assert_eq!(seen.expect("it answers").requests, 100);
        let seen = run(server(hello), 3, Ask::FreshHello, Until::Requests(20));
        assert_eq!(seen.expect("it answers").requests, 20);
    }

    #[test]
    fn time_ends_them_too() {
        let time = Duration::from_millis(50);
        let seen = run(server(echo), 2, Ask::Echo(8), Until::Time(time)).expect("it answers");
        assert!(seen.requests > 0 && seen.seconds >= 0.05, "{seen:?}");
        assert!(seen.latency_us[0] <= seen.latency_us[2]);
    }

    #[test]
    fn a_wrong_answer_is_no_figure() {
        let wrong = run(server(liar), 1, Ask::Echo(8), Until::Requests(1));
        assert!(wrong.expect_err("a bit is wrong").contains("echo"));
        let wrong = run(server(echo), 1, Ask::FreshHello, Until::Requests(1));
        assert!(wrong.is_err(), "an echo is no HTTP answer");
    }

    #[test]
    fn all_at_once_gives_a_time_for_each() {
        let times = at_once(server(echo), 50, 64).expect("it answers");
        assert_eq!(times.len(), 50);
        assert!(times.iter().all(|t| !t.is_zero()));
    }

    #[test]
    fn without_threads_nobody_begins() {
        // More than there are addresses for.
        let impossible = usize::MAX / 2;
        let begun = AtomicU64::new(0);
        let failed = together(vec![(); 2], impossible, |()| {
            begun.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        assert!(failed.expect_err("no thread").contains("no more threads"));
        assert_eq!(begun.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let times = (1..=1_000).rev().map(Duration::from_micros).collect();
        let seen = Seen::of(times, 2.0);
        assert_eq!(seen.latency_us.map(f64::round), [500.0, 990.0, 999.0]);
        assert!((seen.rate() - 500.0).abs() < 1e-9);
        assert_eq!(Seen::of(Vec::new(), 1.0).latency_us, [0.0; 3]);
    }
}
