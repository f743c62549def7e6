//! A browser of forty lines: reads replies off a stream, exactly as long as they say they are.

use sim::net::{Client, Gone, Stream};

/// A reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// Why there is no reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NoReply {
    /// The stream ended in order, before a reply or (with what came) in the middle of one.
    Ended(Vec<u8>),
    /// The connection went without an orderly end.
    Gone(Vec<u8>),
}

/// One connection's reader.
pub(super) struct Browser<'s, 'c, 'y> {
    stream: &'s Stream<'c, 'y>,
    /// Came, but not read.
    buffer: Vec<u8>,
}

impl<'s, 'c, 'y> Browser<'s, 'c, 'y> {
    pub(super) const fn new(stream: &'s Stream<'c, 'y>) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The next reply; one to a HEAD request has no body.
    pub(super) fn reply(&mut self, to_head: bool) -> Result<Reply, NoReply> {
        let end = loop {
            let found = self.buffer.windows(4).position(|w| w == b"\r\n\r\n");
            match found {
                Some(at) => break at + 4,
                None => self.more()?,
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        let length = header(&head, "content-length").and_then(|s| s.parse().ok());
        let length: usize = if to_head { 0 } else { length.unwrap_or(0) };
        while self.buffer.len() < end + length {
            self.more()?;
        }
        let body = self.buffer[end..end + length].to_vec();
        self.buffer.drain(..end + length);
        let status = status.unwrap_or_else(|| panic!("no status in {head:?}"));
        Ok(Reply { status, head, body })
    }

    /// Sends a GET for `path` and reads the reply.
    pub(super) fn get(&mut self, path: &str) -> Result<Reply, NoReply> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: roundtable\r\n\r\n");
        match self.stream.send(request.as_bytes()) {
            Ok(()) => self.reply(false),
            Err(Gone) => Err(NoReply::Gone(self.buffer.clone())),
        }
    }

    /// Checks that the service closes the connection without another byte.
    pub(super) fn expect_end(&mut self) {
        assert_eq!(self.reply(false), Err(NoReply::Ended(Vec::new())));
    }

    fn more(&mut self) -> Result<(), NoReply> {
        match self.stream.recv(4096) {
            Ok(bytes) if bytes.is_empty() => Err(NoReply::Ended(self.buffer.clone())),
            Ok(bytes) => {
                self.buffer.extend(bytes);
                Ok(())
            }
            Err(Gone) => Err(NoReply::Gone(self.buffer.clone())),
        }
    }
}

impl Reply {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// Checks that this is the greeting.
    pub(super) fn expect_hello(&self) {
        assert_eq!((self.status, &self.body[..]), (200, &b"Hello World!"[..]));
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(found.1.trim())
}

/// `n` greetings on one connection.
pub(super) fn greet(client: &Client<'_>, n: usize) {
    let stream = client.connect(80);
    let mut browser = Browser::new(&stream);
    for _ in 0..n {
        let reply = browser.get("/hello");
        let Ok(reply) = reply else {
            panic!("no greeting but {reply:?}");
        };
        reply.expect_hello();
    }
    stream.finish();
    browser.expect_end();
}
