//! `GET /metrics`: everything that is counted, as Prometheus reads it (text format 0.0.4).
//!
//! Names are those of Linux and its `node_exporter` where there is such a thing, behind `roundtable_`.
//! Units are seconds and bytes; durations are written from whole nanoseconds without a float between.
//! A family stands in one piece, so what has many families is copied first. Queues of one name, which
//! nobody can tell apart by it, are one series.

mod machine;
mod text;
mod workqueues;

use core::fmt::{self, Write};

use self::text::Page;
use super::shared::Shared;

/// Writes the page.
pub(super) fn write(out: &mut dyn Write, shared: &Shared) -> fmt::Result {
    let mut page = Page { out };
    machine::system(&mut page)?;
    machine::cores(&mut page)?;
    machine::memory(&mut page)?;
    machine::network(&mut page)?;
    machine::http(&mut page, shared)?;
    workqueues::pools(&mut page)?;
    workqueues::queues(&mut page)?;
    workqueues::latency(&mut page)
}
