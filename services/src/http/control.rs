//! `POST /api/v1/set?NAME=VALUE` changes a parameter of the workqueues, and
//! `POST /api/v1/set?queue=QUEUE&NAME=VALUE` an attribute of an exported queue (N1, N2, F8).
//! `POST /api/v1/set?trace=CATEGORIES` changes what is traced, `POST /api/v1/demo/…` queues work for show.
//!
//! Whoever can reach the port can do this, so it can be turned off (`control=off`), and a page of
//! another origin cannot make a browser do it: a request that names an origin must name the host it
//! goes to, and one whose browser says which site is behind it must come from this one.

use alloc::sync::Arc;
use core::fmt;

use kernel::thread::ThreadCx;
use kernel::wq::{self, AttrsError, SetError};
use netsvc::http::{Head, Status};

use super::demos::{self, Short};
use super::json::Json;
use super::order::{Order, Show, Wrong};
use super::shared::Shared;

/// Longest name or value, after decoding.
const LONGEST: usize = 64;

type Text = heapless::String<LONGEST>;

/// A change that a query asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Change {
    queue: Option<Text>,
    name: Text,
    value: Text,
}

/// Why nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    Off,
    OtherOrigin,
    Query,
    Categories,
    Set(SetError),
    Order(Wrong),
    Short(Short),
}

impl Refused {
    pub(super) const fn status(self) -> Status {
        match self {
            Self::Off | Self::OtherOrigin | Self::Set(SetError::ReadOnly) => Status::Forbidden,
            Self::Set(SetError::UnknownName | SetError::UnknownQueue) => Status::NotFound,
            Self::Set(SetError::Attrs(AttrsError::NoMemory)) => Status::Unavailable,
            Self::Short(_) => Status::Unavailable,
            Self::Query | Self::Categories | Self::Set(_) | Self::Order(_) => Status::BadRequest,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("changes are turned off (boot argument control=off)"),
            Self::OtherOrigin => f.write_str("a page of another origin may change nothing"),
            Self::Query => f.write_str("expected ?NAME=VALUE or ?queue=QUEUE&NAME=VALUE"),
            Self::Categories => write!(f, "expected trace={}", super::trace::EXPECTS),
            Self::Set(e) => e.fmt(f),
            Self::Order(e) => e.fmt(f),
            Self::Short(e) => e.fmt(f),
        }
    }
}

/// Whether a request may change anything.
fn permit(on: bool, head: &Head) -> Result<(), Refused> {
    if !on {
        return Err(Refused::Off);
    }
    if !head.same_origin {
        return Err(Refused::OtherOrigin);
    }
    Ok(())
}

/// Queues the items of a demonstration: what was asked for, and how many that were. May sleep.
pub(super) fn show(
    cx: &ThreadCx<'_>,
    on: bool,
    head: &Head,
    (shared, show, query): (&Arc<Shared>, Show, &str),
) -> Result<(Order, usize), Refused> {
    permit(on, head)?;
    let order = Order::parse(show, query).map_err(Refused::Order)?;
    let items = demos::queue(cx, shared, &order).map_err(Refused::Short)?;
    kernel::log!("control: {order}");
    Ok((order, items))
}

/// Does what the query asks for. May sleep.
pub(super) fn set(cx: &ThreadCx<'_>, on: bool, head: &Head, query: &str) -> Result<(), Refused> {
    permit(on, head)?;
    let c = parse(query).ok_or(Refused::Query)?;
    let done = match &c.queue {
        None if c.name == "trace" => return super::trace::want(&c.value),
        Some(queue) => wq::set_attribute(cx, queue, &c.name, &c.value),
        None => wq::set_param(cx, &c.name, &c.value),
    };
    done.map_err(Refused::Set)?;
    let queue = c.queue.as_deref().unwrap_or("workqueue");
    kernel::log!("control: {queue}.{}={}", c.name, c.value);
    Ok(())
}

fn parse(query: &str) -> Option<Change> {
    let (mut queue, mut change) = (None, None);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (decode(name)?, decode(value)?);
        if name == "queue" && queue.is_none() {
            queue = Some(value);
        } else if change.replace((name, value)).is_some() {
            return None;
        }
    }
    let (name, value) = change?;
    Some(Change { queue, name, value })
}

/// Undoes the percent-encoding (RFC 3986 2.1); `None` for what is too long or no text.
fn decode(text: &str) -> Option<Text> {
    let mut bytes = heapless::Vec::<u8, LONGEST>::new();
    let mut rest = text.bytes();
    while let Some(b) = rest.next() {
        let byte = if b == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            (digit(rest.next())? * 16 + digit(rest.next())?) as u8
        } else {
            b
        };
        bytes.push(byte).ok()?;
    }
    let text = core::str::from_utf8(&bytes).ok()?;
    // One that would write lines of its own on the console.
    if text.chars().any(char::is_control) {
        return None;
    }
    Text::try_from(text).ok()
}

/// The answer to [`set`].
pub(super) fn answer(j: &mut Json<'_>, done: Result<(), Refused>) {
    j.object("", |j| match done {
        Ok(()) => j.string("result", "set"),
        Err(e) => j.display("error", e),
    });
}

/// The answer to [`show`].
pub(super) fn shown(j: &mut Json<'_>, done: Result<(Order, usize), Refused>) {
    j.object("", |j| match done {
        Ok((order, items)) => order.answer(j, items),
        Err(e) => j.display("error", e),
    });
}

/// `GET /api/v1/params`
pub(super) fn params(j: &mut Json<'_>) {
    j.array("", |j| {
        for p in wq::params() {
            j.object("", |j| {
                j.string("name", p.name);
                j.display("value", p);
                j.string("expects", p.expects);
            });
        }
        super::trace::param(j);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(queue: Option<&str>, name: &str, value: &str) -> Option<Change> {
        let text = |s: &str| Text::try_from(s).expect("short");
        Some(Change {
            queue: queue.map(text),
            name: text(name),
            value: text(value),
        })
    }

    #[test]
    fn one_change_at_a_time() {
        assert_eq!(
            parse("nice=-3&queue=a%20b"),
            change(Some("a b"), "nice", "-3")
        );
        assert_eq!(
            parse("unbound_cpus=0-3%2C6"),
            change(None, "unbound_cpus", "0-3,6")
        );
        assert_eq!(parse("a="), change(None, "a", ""));
        for bad in [
            "",
            "a",
            "queue=x",
            "a=1&b=2",
            "queue=x&queue=y&a=1",
            "a=%",
            "a=%4",
            "a=%zz",
            "a=%ff",
            "a=%0a",
            "a=1&",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(decode(&long), None);
    }
}
