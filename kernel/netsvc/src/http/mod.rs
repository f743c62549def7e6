//! HTTP/1.1 without I/O: bytes in at any split, requests out; replies written into a buffer.
//!
//! [`Machine`] holds one connection's request bytes and says what they are; it never sees a socket.
//! A head is parsed when its end has arrived: the first bytes that do are tried at once, and looked through for its
//! end only if that does not make a request of them. Stricter than RFC 9112 must be:
//! bare line feeds, repeated `Host` or `Content-Length`, and `Content-Length` together with
//! `Transfer-Encoding` are refused, because two parsers that disagree about a request's end are how
//! requests are smuggled.
//!
//! References: RFC 9110, RFC 9112.

mod body;
mod machine;
mod patience;
mod request;
mod response;
mod router;
mod syntax;
mod words;

pub use machine::{Awaits, Event, Machine};
pub use patience::{Limits, Patience};
pub use request::{BODY_LIMIT, HEAD_LIMIT, Head, Method, TARGET_LIMIT};
pub use response::{CONTINUE, Reply, Status};
pub use router::{Match, MethodSet, Router};
