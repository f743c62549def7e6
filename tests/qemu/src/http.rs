//! A small HTTP/1.1 client for tests: it sends any bytes and checks every answer's framing.
//!
//! A library client would refuse to send what the tests must send (two hosts, a target of 3 KiB,
//! half a request) and would repair what the service must not do. So: raw bytes out, and a parser
//! that accepts exactly well-formed answers in.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take on a loaded host.
const PATIENCE: Duration = Duration::from_secs(30);

/// A parsed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, after the framing is undone.
    pub body: Vec<u8>,
}

impl Answer {
    /// Value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// Fails unless the status is `status`.
    pub fn expect(self, status: u16) -> Result<Self, String> {
        if self.status == status {
            return Ok(self);
        }
        let body = String::from_utf8_lossy(&self.body).into_owned();
        Err(format!(
            "status {} instead of {status}: {body}",
            self.status
        ))
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    /// Read but not consumed.
    rest: Vec<u8>,
}

/// A GET request that keeps the connection.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Result<Self, String> {
        Self::connect_within(address, PATIENCE)
    }

    /// Connects; neither that nor any later step may take longer than `patience`.
    pub fn connect_within(address: SocketAddr, patience: Duration) -> Result<Self, String> {
        let stream = TcpStream::connect_timeout(&address, patience).map_err(said("connect"))?;
        let timeouts = stream
            .set_read_timeout(Some(patience))
            .and_then(|()| stream.set_write_timeout(Some(patience)));
        timeouts.map_err(said("set a timeout"))?;
        stream.set_nodelay(true).map_err(said("set nodelay"))?;
        Ok(Self {
            stream,
            rest: Vec::new(),
        })
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), String> {
        self.stream.write_all(bytes.as_ref()).map_err(said("send"))
    }

    /// Ends our direction.
    pub fn finish(&mut self) -> Result<(), String> {
        self.stream
            .shutdown(Shutdown::Write)
            .map_err(said("half-close"))
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Result<Answer, String> {
        self.send(request)?;
        self.answer()
    }

    /// Reads one answer.
    pub fn answer(&mut self) -> Result<Answer, String> {
        self.answer_to(true)
    }

    /// Reads one answer; to a HEAD request (`body` false) none follows.
    pub fn answer_to(&mut self, body: bool) -> Result<Answer, String> {
        let head = self.head()?;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        let code = status.strip_prefix("HTTP/1.1 ").and_then(|s| s.get(..3));
        let status = code
            .and_then(|c| c.parse().ok())
            .ok_or(format!("status line: {status:?}"))?;
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line
                .split_once(':')
                .ok_or(format!("header line: {line:?}"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let empty = !body || (100..200).contains(&status) || status == 204 || status == 304;
        if empty {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks()?;
        } else if let Some(length) = answer.header("content-length") {
            let length = length
                .parse()
                .map_err(|_| format!("content-length: {length:?}"))?;
            answer.body = self.take(length)?;
        } else if answer.header("connection") == Some("close") {
            answer.body = self.until_end()?;
        } else {
            return Err("an answer without length on a kept connection".to_owned());
        }
        Ok(answer)
    }

    /// Sends a request and reads the head of its answer only.
    pub fn begin(&mut self, request: impl AsRef<[u8]>) -> Result<Answer, String> {
        self.send(request)?;
        self.answer_to(false)
    }

    /// The next of an answer's server-sent events: its id and its data. What is none (comments, the time
    /// to reconnect) is passed over.
    pub fn event(&mut self) -> Result<(String, String), String> {
        loop {
            let block = loop {
                if let Some(end) = find(&self.rest, b"\n\n") {
                    break self.rest.drain(..end + 2).take(end).collect::<Vec<u8>>();
                }
                if !self.fill()? {
                    return Err("the stream ended".to_owned());
                }
            };
            let block = String::from_utf8(block).map_err(|e| e.to_string())?;
            let field = |name: &str| {
                let mut values = block.lines().filter_map(|line| line.strip_prefix(name));
                values.next().map(|v| v.trim_start().to_owned())
            };
            if let Some(data) = field("data:") {
                return Ok((field("id:").unwrap_or_default(), data));
            }
        }
    }

    /// Everything up to the end of the connection.
    pub fn until_end(&mut self) -> Result<Vec<u8>, String> {
        while self.fill()? {}
        Ok(std::mem::take(&mut self.rest))
    }

    /// Whether the service closes the connection without sending more.
    pub fn is_closed(&mut self) -> bool {
        let patience = self.stream.set_read_timeout(Some(Duration::from_secs(5)));
        let closed = patience.is_ok() && self.rest.is_empty() && self.fill() != Ok(true);
        closed && !self.is_open_but_silent()
    }

    fn is_open_but_silent(&self) -> bool {
        let mut byte = [0];
        let _ = self.stream.set_nonblocking(true);
        let result = self.stream.peek(&mut byte);
        matches!(result, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
    }

    fn head(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = find(&self.rest, b"\r\n\r\n") {
                let head = self.rest.drain(..end + 4).take(end).collect();
                return String::from_utf8(head).map_err(|e| e.to_string());
            }
            if !self.fill()? {
                let got = String::from_utf8_lossy(&self.rest);
                return Err(format!(
                    "the connection ended before an answer; got {got:?}"
                ));
            }
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(end) = find(&self.rest, b"\r\n") {
                    break self.rest.drain(..end + 2).take(end).collect::<Vec<u8>>();
                }
                if !self.fill()? {
                    return Err("the connection ended inside a chunk header".to_owned());
                }
            };
            let size = std::str::from_utf8(&line)
                .ok()
                .and_then(|l| usize::from_str_radix(l, 16).ok());
            let size = size.ok_or(format!("chunk size: {line:?}"))?;
            body.extend(self.take(size)?);
            if self.take(2)? != b"\r\n" {
                return Err("a chunk without its line end".to_owned());
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.rest.len() < length {
            if !self.fill()? {
                let got = self.rest.len();
                return Err(format!(
                    "the connection ended after {got} of {length} body bytes"
                ));
            }
        }
        Ok(self.rest.drain(..length).collect())
    }

    /// Reads more; `false` at the connection's end.
    fn fill(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 4096];
        let n = self.stream.read(&mut buffer).map_err(said("read"))?;
        self.rest.extend_from_slice(&buffer[..n]);
        Ok(n > 0)
    }
}

/// What became of a visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visit {
    /// It was answered.
    Answered(Answer),
    /// The service ended it without an answer, for this reason.
    Refused(String),
}

/// Connects and asks once. A service that lets the visitor wait for `patience`, or answers what is no
/// HTTP, is neither: that is an error.
pub fn visit(address: SocketAddr, patience: Duration, request: &str) -> Result<Visit, String> {
    let begin = Instant::now();
    let connected = Client::connect_within(address, patience).map_err(|why| (why, true));
    let outcome = connected.and_then(|mut client| {
        let answer = client.ask(request);
        answer.map_err(|why| (why, client.rest.is_empty()))
    });
    match outcome {
        Ok(answer) => Ok(Visit::Answered(answer)),
        Err((why, _)) if begin.elapsed() >= patience => {
            Err(format!("no refusal in {patience:?}: {why}"))
        }
        Err((why, false)) => Err(format!("half an answer: {why}")),
        Err((why, true)) => Ok(Visit::Refused(why)),
    }
}

/// Turns an I/O error into a sentence.
pub fn said(what: &'static str) -> impl Fn(std::io::Error) -> String {
    move |e| format!("{what}: {e}")
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn answers(bytes: &'static [u8]) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(bytes).unwrap();
        });
        Client::connect(address).unwrap()
    }

    #[test]
    fn two_answers_in_one_packet_are_two_answers() {
        let mut client = answers(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab\
              HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n",
        );
        let first = client.answer().unwrap();
        assert_eq!((first.status, first.body), (200, b"ab".to_vec()));
        let second = client.answer().unwrap();
        assert_eq!((second.status, second.body), (404, b"xyz".to_vec()));
        assert!(client.is_closed());
    }

    #[test]
    fn only_an_end_without_a_word_is_a_refusal() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let patience = Duration::from_millis(300);
        // Nobody accepts: the connection waits in the listener's queue.
        let waiting = visit(at, patience, "hello?");
        assert!(waiting.is_err(), "{waiting:?}");
        let server = std::thread::spawn(move || {
            for words in [&b""[..], b"", b"HTTP/1.1 2"] {
                let (mut stream, _) = listener.accept().unwrap();
                // What stays unread would turn the end into a reset, which may overtake the words.
                let _ = stream.read(&mut [0; 16]).unwrap();
                stream.write_all(words).unwrap();
            }
        });
        let patience = Duration::from_secs(20);
        let refused = visit(at, patience, "hello?");
        assert!(matches!(refused, Ok(Visit::Refused(_))), "{refused:?}");
        let half = visit(at, patience, "hello?");
        assert!(half.is_err(), "{half:?}");
        server.join().unwrap();
        let nobody = visit(at, patience, "hello?");
        assert!(matches!(nobody, Ok(Visit::Refused(_))), "{nobody:?}");
    }

    #[test]
    fn broken_framing_is_an_error() {
        assert!(
            answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
                .answer()
                .is_err()
        );
        assert!(
            answers(b"HTTP/1.1 200 OK\r\n\r\nno length")
                .answer()
                .is_err()
        );
        assert!(answers(b"HTTP/1.1 2").answer().is_err());
    }
}
