//! Traces that the guest answers `GET /trace` with: read, summed up, and written in other forms.
//!
//! They are in Perfetto's protobuf format. [`schema`] has the messages, [`text`] writes lines as ftrace
//! does, [`json`] what Chrome's viewer reads; [`check`] says whether a trace holds together.

pub mod check;
pub mod json;
pub mod schema;
pub mod text;

use std::collections::BTreeMap;

use prost::Message;

use crate::{Failure, Outcome};
use schema::{FtraceEvent, Trace, packet};

/// The trace in `bytes`.
pub fn read(bytes: &[u8]) -> Outcome<Trace> {
    let trace = Trace::decode(bytes)
        .map_err(|e| Failure::failed(format!("this is no trace of Perfetto's format: {e}")))?;
    // What has no field here is dropped: another program wrote it, or this one is too old.
    if trace.packet.is_empty() {
        return Err(Failure::failed("the trace is empty"));
    }
    Ok(trace)
}

/// An event of a core.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The core.
    pub cpu: u32,
    /// The event.
    pub event: &'a FtraceEvent,
    /// Events of this core are missing right before it.
    pub after_loss: bool,
}

impl Trace {
    /// All events of all cores in order of time.
    #[must_use]
    pub fn lines(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        for packet in &self.packet {
            let Some(packet::Data::FtraceEvents(bundle)) = &packet.data else {
                continue;
            };
            for (i, event) in bundle.event.iter().enumerate() {
                lines.push(Line {
                    cpu: bundle.cpu(),
                    event,
                    after_loss: i == 0 && bundle.lost_events(),
                });
            }
        }
        lines.sort_by_key(|l| l.event.timestamp());
        lines
    }

    /// Names of threads by number; those that the trace tells itself.
    #[must_use]
    pub fn thread_names(&self) -> BTreeMap<i32, String> {
        let mut names = BTreeMap::from([(0, "<idle>".to_owned())]);
        for packet in &self.packet {
            if let Some(packet::Data::ProcessTree(tree)) = &packet.data {
                let threads = tree.threads.iter();
                names.extend(threads.map(|t| (t.tid(), t.name().to_owned())));
            }
        }
        names
    }

    /// Names of functions by address.
    #[must_use]
    pub fn functions(&self) -> BTreeMap<u64, String> {
        let interned = self.packet.iter().filter_map(|p| p.interned_data.as_ref());
        let symbols = interned.flat_map(|data| &data.kernel_symbols);
        let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        symbols.map(|s| (s.iid(), name(s.str()))).collect()
    }

    /// Events read and events lost, of each core.
    #[must_use]
    pub fn counts(&self) -> Vec<(u64, u64)> {
        let last = self.packet.iter().rev().find_map(|p| match &p.data {
            Some(packet::Data::FtraceStats(stats)) => Some(stats),
            _ => None,
        });
        let cores = last.map(|stats| &stats.cpu_stats[..]).unwrap_or_default();
        cores
            .iter()
            .map(|c| (c.read_events(), c.overrun()))
            .collect()
    }

    /// One line about the whole: how much, of what time, and what is missing.
    #[must_use]
    pub fn summary(&self) -> String {
        let lines = self.lines();
        let time = |l: Option<&Line<'_>>| l.map_or(0, |l| l.event.timestamp());
        let span = time(lines.last()) - time(lines.first());
        let counts = self.counts();
        let lost: u64 = counts.iter().map(|c| c.1).sum();
        let lost = match lost {
            0 => "none lost".to_owned(),
            n => format!("{n} LOST"),
        };
        format!(
            "{} events of {} cores in {:.1} ms, {lost}",
            counts.iter().map(|c| c.0).sum::<u64>(),
            counts.len(),
            span as f64 / 1e6
        )
    }
}
