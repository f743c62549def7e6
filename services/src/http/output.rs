//! A reply on its way out: a head, a body, and how much of them the connection took.
//!
//! A short reply is put together in one array and handed over in one call; a long body stays where
//! it is and follows its head.

use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use kernel::net::{Conn, IoError};
use netsvc::http::{Reply, Status};

use super::events;
use super::json::Json;

/// Bytes of the array for heads and short replies.
pub(super) const INLINE: usize = 512;
/// Seconds after which a client that got 503 may try again.
const RETRY_AFTER: &str = "1";
/// Bytes of a JSON buffer that a connection keeps for the next reply.
const KEEP: usize = 8 * 1024;

/// A reply's body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// Media type and text.
    Static(&'static str, &'static str),
}

/// Media type of what Prometheus reads.
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Media type of pages.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The whole answer to a connection that cannot be served: 503, and the end. Also where it ends in
/// `to`.
pub(super) fn unavailable(to: &mut [u8; INLINE]) -> usize {
    let text = Status::Unavailable.line();
    let head = unavailable_head().write_head(to).unwrap_or(0);
    let end = head + text.len();
    match to.get_mut(head..end) {
        Some(body) => {
            body.copy_from_slice(text.as_bytes());
            end
        }
        None => 0,
    }
}

const fn unavailable_head() -> Reply<'static> {
    let status = Status::Unavailable;
    Reply {
        status,
        content_type: "text/plain",
        length: status.line().len(),
        allow: "",
        retry_after: RETRY_AFTER,
        connection: "close",
    }
}

/// Which bytes follow the inline ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rest {
    Nothing,
    Static(&'static str),
    /// What is in the buffer.
    Written,
}

/// One connection's pending output.
#[derive(Debug)]
pub(super) struct Output {
    inline: [u8; INLINE],
    len: usize,
    sent: usize,
    rest: Rest,
    rest_sent: usize,
    json: Vec<u8>,
    head_only: bool,
    /// Of the last reply.
    status: Status,
}

impl Output {
    pub(super) const fn new() -> Self {
        Self {
            inline: [0; INLINE],
            len: 0,
            sent: 0,
            rest: Rest::Nothing,
            rest_sent: 0,
            json: Vec::new(),
            head_only: false,
            status: Status::Ok,
        }
    }

    pub(super) fn reset(&mut self) {
        self.done();
        self.head_only = false;
    }

    fn done(&mut self) {
        self.len = 0;
        self.sent = 0;
        self.rest = Rest::Nothing;
        self.rest_sent = 0;
        if self.json.capacity() > KEEP {
            self.json = Vec::new();
        }
    }

    /// The last reply's status.
    pub(super) const fn status(&self) -> Status {
        self.status
    }

    /// The next reply has this status; who says so sends it without this output's help.
    pub(super) fn sent_apart(&mut self, status: Status) {
        self.status = status;
    }

    /// The next reply answers a HEAD request: no body.
    pub(super) fn set_head_only(&mut self, yes: bool) {
        self.head_only = yes;
    }

    /// An interim reply.
    pub(super) fn interim(&mut self, bytes: &[u8]) {
        if let Some(to) = self.inline.get_mut(..bytes.len()) {
            to.copy_from_slice(bytes);
            self.len = bytes.len();
        }
    }

    /// A reply with a fixed body.
    pub(super) fn reply(&mut self, status: Status, connection: &str, body: Body) {
        let Body::Static(content_type, text) = body;
        self.write(status, content_type, "", connection, text);
    }

    /// A reply with a text of the caller's, as [`Self::json_of`].
    pub(super) fn say(
        &mut self,
        status: Status,
        connection: &str,
        text: fmt::Arguments<'_>,
    ) -> bool {
        self.written(status, "text/plain; charset=utf-8", connection, |j| {
            if fmt::Write::write_fmt(j, text).is_err() {
                j.give_up();
            }
        })
    }

    /// 405.
    pub(super) fn not_allowed(&mut self, allow: &str, connection: &str) {
        let status = Status::MethodNotAllowed;
        self.write(status, "text/plain", allow, connection, status.line());
    }

    fn write(
        &mut self,
        status: Status,
        content_type: &str,
        allow: &str,
        connection: &str,
        body: &'static str,
    ) {
        self.status = status;
        let length = body.len();
        let reply = Reply {
            status,
            content_type,
            length,
            allow,
            retry_after: match status {
                Status::Unavailable => RETRY_AFTER,
                _ => "",
            },
            connection,
        };
        // The array is twice the longest head.
        let n = reply.write_head(&mut self.inline).unwrap_or(0);
        self.len = n;
        if self.head_only {
            return;
        }
        match self.inline.get_mut(n..n + length) {
            Some(to) => {
                to.copy_from_slice(body.as_bytes());
                self.len += length;
            }
            None => self.rest = Rest::Static(body),
        }
    }

    /// A JSON reply whose body `f` writes. When memory runs out it is 503 instead, the connection's
    /// last reply, and the answer false.
    pub(super) fn json(&mut self, connection: &str, f: impl FnOnce(&mut Json<'_>)) -> bool {
        self.json_of(Status::Ok, connection, f)
    }

    /// As [`Self::json`], with a status of its own.
    pub(super) fn json_of(
        &mut self,
        status: Status,
        connection: &str,
        f: impl FnOnce(&mut Json<'_>),
    ) -> bool {
        self.written(status, "application/json", connection, f)
    }

    /// As [`Self::json`], plain text. An error of `f` is one of memory.
    pub(super) fn text(
        &mut self,
        connection: &str,
        f: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result,
    ) -> bool {
        self.text_of("text/plain; charset=utf-8", connection, f)
    }

    /// As [`Self::text`], of another media type.
    pub(super) fn text_of(
        &mut self,
        content_type: &str,
        connection: &str,
        f: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result,
    ) -> bool {
        self.written(Status::Ok, content_type, connection, |j| {
            if f(j).is_err() {
                j.give_up();
            }
        })
    }

    /// The begin of an event stream, which has no length: the connection's last reply.
    pub(super) fn begin_events(&mut self) {
        self.status = Status::Ok;
        self.len = 0;
        self.append(events::HEAD);
        if !self.head_only {
            self.append(events::RETRY);
        }
    }

    /// Event number `id` of a stream, whose data `f` writes; false when memory runs out, and nothing is
    /// written then.
    pub(super) fn event(&mut self, id: u64, f: impl FnOnce(&mut Json<'_>)) -> bool {
        let mut json = Json::new(&mut self.json);
        f(&mut json);
        json.trailer(b"\n\n");
        if !json.is_whole() {
            self.json = Vec::new();
            return false;
        }
        let mut head = heapless::String::<40>::new();
        // Twenty digits fit.
        let _ = write!(head, "id: {id}\ndata: ");
        self.len = 0;
        self.append(&head);
        self.rest = Rest::Written;
        true
    }

    /// Adds to the inline bytes, which are more than anybody adds.
    fn append(&mut self, text: &str) {
        if let Some(to) = self.inline.get_mut(self.len..self.len + text.len()) {
            to.copy_from_slice(text.as_bytes());
            self.len += text.len();
        }
    }

    fn written(
        &mut self,
        status: Status,
        content_type: &str,
        connection: &str,
        f: impl FnOnce(&mut Json<'_>),
    ) -> bool {
        let mut json = Json::new(&mut self.json);
        f(&mut json);
        if !json.is_whole() {
            self.json = Vec::new();
            self.status = Status::Unavailable;
            self.len = if self.head_only {
                unavailable_head().write_head(&mut self.inline).unwrap_or(0)
            } else {
                unavailable(&mut self.inline)
            };
            return false;
        }
        self.status = status;
        let reply = Reply {
            status,
            content_type,
            length: self.json.len(),
            allow: "",
            retry_after: match status {
                Status::Unavailable => RETRY_AFTER,
                _ => "",
            },
            connection,
        };
        self.len = reply.write_head(&mut self.inline).unwrap_or(0);
        if !self.head_only {
            self.rest = Rest::Written;
        }
        true
    }

    /// Hands over as much as the connection takes; `Ok` when nothing is left.
    pub(super) fn drain(&mut self, conn: &Conn) -> Result<(), IoError> {
        if self.len == 0 {
            return Ok(());
        }
        while let Some(left @ [_, ..]) = self.inline.get(self.sent..self.len) {
            self.sent += conn.send_now(left)?;
        }
        let rest = match self.rest {
            Rest::Nothing => &[][..],
            Rest::Static(text) => text.as_bytes(),
            Rest::Written => &self.json[..],
        };
        while self.rest_sent < rest.len() {
            self.rest_sent += conn.send_now(&rest[self.rest_sent..])?;
        }
        self.done();
        Ok(())
    }
}
