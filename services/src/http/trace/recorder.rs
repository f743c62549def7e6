//! Out of the rings, through the encoder, to the client, until the time is over.

use alloc::vec::Vec;
use core::fmt;

use kernel::net::IoError;
use kernel::thread::{self, Name, ThreadInfo};
use kernel::trace::{self, Busy, Recorded, Recording};
use kernel::{cpu, kernel, mem, wq};
use machine::{Duration, Instant};
use perfetto::{Counter, Encoder, Names, NoMemory, System};

use super::Stream;

/// Bytes that are worth a chunk.
const CHUNK: usize = 8 * 1024;
/// Time between two looks into the rings, at most and at least.
const LONGEST: Duration = Duration::from_millis(10);
const SHORTEST: Duration = Duration::from_millis(1);

/// One recording.
pub(super) struct Recorder<'a> {
    recording: Recording,
    encoder: Encoder<Kernel>,
    stream: Stream<'a>,
    end: Instant,
}

/// Why a recording stopped before its time. The client sees a reply that is cut off.
enum Stopped {
    Gone,
    NoMemory,
}

impl From<IoError> for Stopped {
    fn from(_: IoError) -> Self {
        Self::Gone
    }
}

impl From<NoMemory> for Stopped {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// Why a recording cannot begin.
pub(super) enum Refusal {
    Busy(Busy),
    NoMemory,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(busy) => busy.fmt(f),
            Self::NoMemory => f.write_str("no memory for a recording"),
        }
    }
}

impl<'a> Recorder<'a> {
    /// Begins with what happens from now on. The first bytes go out with [`Self::run`].
    pub(super) fn begin(stream: Stream<'a>, time: Duration) -> Result<Self, Refusal> {
        let recording = Recording::begin().map_err(Refusal::Busy)?;
        let encoder = Encoder::new(kernel().info().mpidrs.len(), Kernel);
        Ok(Self {
            recording,
            encoder: encoder.map_err(|NoMemory| Refusal::NoMemory)?,
            stream,
            end: machine::now() + time,
        })
    }

    /// Records and sends until the time is over. Sleeps.
    pub(super) fn run(mut self) -> Result<(), IoError> {
        self.all().map_err(|stopped| {
            if matches!(stopped, Stopped::NoMemory) {
                kernel::log!("trace: no memory, a recording was cut off");
            }
            IoError::Closed
        })
    }

    fn all(&mut self) -> Result<(), Stopped> {
        let now = machine::now().as_nanos();
        self.encoder.begin(
            now,
            &System {
                board: kernel().info().board,
                version: env!("CARGO_PKG_VERSION"),
                cores: kernel().info().mpidrs.len(),
            },
        );
        self.threads();
        let mut pause = SHORTEST;
        loop {
            self.counters();
            let over = self.round()?;
            self.encoder.flush(machine::now().as_nanos());
            self.send(CHUNK)?;
            if over {
                break;
            }
            if self.stream.conn.is_closed() {
                return Err(Stopped::Gone);
            }
            // Half a ring at a time, if it goes on like this.
            pause = match self.recording.pressure() {
                0..25 => pause + pause,
                25..50 => pause,
                _ => Duration::from_nanos(pause.as_nanos() / 2),
            }
            .clamp(SHORTEST, LONGEST);
            let left = self.end.since(machine::now());
            thread::sleep(self.stream.cx, pause.min(left));
        }
        self.encoder.end(machine::now().as_nanos());
        self.send(0)?;
        self.stream.end()?;
        Ok(())
    }

    /// Encodes what is in the rings now; true when the time is over.
    fn round(&mut self) -> Result<bool, Stopped> {
        let mut over = machine::now() >= self.end;
        let until = machine::stamp();
        while let Some(r) = self.recording.next(until) {
            if r.at > self.end {
                over = true;
                break;
            }
            let Recorded {
                at,
                thread,
                lost,
                event,
                ..
            } = r;
            let moment = (at.as_nanos(), thread, lost);
            let function = trace::function_of(&event);
            self.encoder.event(r.cpu.index(), moment, &event, function);
            self.send(CHUNK)?;
        }
        Ok(over)
    }

    /// Sends what is encoded, if it is more than `least` bytes.
    fn send(&mut self, least: usize) -> Result<(), Stopped> {
        let bytes = self.encoder.output()?;
        if bytes.len() > least {
            self.stream.chunk(bytes)?;
            self.encoder.taken();
        }
        Ok(())
    }

    /// Tells of the threads that there are. Without memory for the list they are named as they appear.
    fn threads(&mut self) {
        let Ok(mut list) = mem::try_vec_with_capacity::<ThreadInfo>(thread::thread_count() + 16)
        else {
            return;
        };
        thread::for_each_thread(|t| {
            if list.len() < list.capacity() {
                list.push(t);
            }
        });
        for t in &list {
            self.encoder.thread(t.id, &t.name, priority(t));
        }
    }

    /// Values of this moment: what waits on each core, and each pool's workers.
    fn counters(&mut self) {
        let at = machine::now().as_nanos();
        for id in cpu::online().iter() {
            let i = id.index();
            self.encoder.counter(
                at,
                Counter {
                    id: i as u32,
                    name: format_args!("runqueue length cpu {i}"),
                    value: cpu::cpu(id).load() as u64,
                },
            );
        }
        let Some(mut pools) = pools() else { return };
        for p in pools.drain(..) {
            let values = [
                ("nr_running", u64::from(p.nr_running)),
                ("workers", p.workers.total as u64),
                ("idle workers", p.workers.idle as u64),
                ("pending items", u64::from(p.pending)),
            ];
            for (i, (what, value)) in values.into_iter().enumerate() {
                self.encoder.counter(
                    at,
                    Counter {
                        id: 1024 + p.id as u32 * 4 + i as u32,
                        name: format_args!("pool {} {} {what}", p.id, Where(&p)),
                        value,
                    },
                );
            }
        }
    }
}

/// Where a pool's workers run, and how urgent they are.
struct Where<'a>(&'a wq::PoolInfo);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.cpu {
            Some(cpu) => write!(f, "cpu {}", cpu.index())?,
            None => f.write_str("unbound")?,
        }
        if self.0.kind == "bh" {
            f.write_str(" bh")?;
        }
        match self.0.nice {
            0 => Ok(()),
            nice => write!(f, " nice {nice}"),
        }
    }
}

/// The pools that are not locked at this moment.
fn pools() -> Option<Vec<wq::PoolInfo>> {
    let mut n = 0;
    wq::for_each_free_pool(|_| n += 1);
    let mut list = mem::try_vec_with_capacity(n + 8).ok()?;
    wq::for_each_free_pool(|p| {
        if list.len() < list.capacity() {
            list.push(p);
        }
    });
    Some(list)
}

fn priority(t: &ThreadInfo) -> u8 {
    (i16::from(t.effective_nice.get()) + 120) as u8
}

/// Names out of the kernel's tables.
#[derive(Debug)]
struct Kernel;

impl Names for Kernel {
    fn thread(&mut self, id: u32, tell: &mut dyn FnMut(&str, u8)) {
        let mut found: Option<(Name, u8)> = None;
        thread::for_each_thread(|t| {
            if t.id == id {
                found = Some((t.name.clone(), priority(&t)));
            }
        });
        if let Some((name, priority)) = found {
            tell(&name, priority);
        }
    }

    fn queue(&mut self, address: u64, tell: &mut dyn FnMut(&str)) {
        wq::for_each_queue(|q| {
            if q.event_id == address {
                tell(&q.name);
            }
        });
    }

    fn function(&mut self, address: u64) -> Option<&'static str> {
        let found = (kernel().info().symbolize)(address as usize);
        found.map(|(name, _)| name)
    }
}
