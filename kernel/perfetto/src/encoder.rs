//! The trace as a whole: what comes first, each event, counters, what comes last.

use alloc::vec::Vec;
use core::fmt;

use trace::{Event, Kind, Name};

use crate::NoMemory;
use crate::ftrace::{self, Context};
use crate::names::{Known, Label, Names};
use crate::schema::{clock, event, ftrace as bundle, interned, packet, stats, system, track, tree};
use crate::tracks::{self, PROCESS_TRACK, SEQUENCE, Tracks, counter_uuid, describe, packet_at};
use crate::wire::Wire;

/// Number of the one process that all threads belong to.
pub const PROCESS: u32 = 1;
/// Bytes of a bundle that are not kept back any longer.
const BUNDLE: usize = 2048;
/// Counters that are told; more are left out.
const COUNTERS: usize = 1024;

/// What machine a trace is of.
#[derive(Clone, Copy, Debug)]
pub struct System<'a> {
    /// The board's name.
    pub board: &'a str,
    /// Version of the software.
    pub version: &'a str,
    /// Cores.
    pub cores: usize,
}

/// A value at a time.
#[derive(Clone, Copy, Debug)]
pub struct Counter<'a> {
    /// Its number: the same for the same counter, and no other's.
    pub id: u32,
    /// Its name.
    pub name: fmt::Arguments<'a>,
    /// The value.
    pub value: u64,
}

/// One core's bundle, as far as it is written.
#[derive(Debug, Default)]
struct Core {
    events: Wire,
    lost: bool,
    read: u64,
    overrun: u64,
}

/// Makes a trace of events.
#[derive(Debug)]
pub struct Encoder<N> {
    out: Wire,
    cores: Vec<Core>,
    known: Known<N>,
    tracks: Tracks,
    /// Values told last, in order of their counters' numbers.
    counters: Vec<(u32, u64)>,
}

impl<N: Names> Encoder<N> {
    /// An encoder for a machine of `cores`.
    ///
    /// # Errors
    ///
    /// [`NoMemory`].
    pub fn new(cores: usize, names: N) -> Result<Self, NoMemory> {
        let mut all = Vec::new();
        all.try_reserve_exact(cores).map_err(|_| NoMemory)?;
        all.resize_with(cores, Core::default);
        Ok(Self {
            out: Wire::default(),
            cores: all,
            known: Known::new(names)?,
            tracks: Tracks::new()?,
            counters: Vec::new(),
        })
    }

    /// What the trace begins with.
    pub fn begin(&mut self, at_ns: u64, machine: &System<'_>) {
        packet_at(&mut self.out, at_ns, |w| {
            w.number(packet::SEQUENCE_FLAGS, packet::CLEARED);
            w.message(packet::CLOCK_SNAPSHOT, |w| {
                for id in [clock::BOOTTIME, clock::MONOTONIC] {
                    w.message(clock::CLOCKS, |w| {
                        w.number(clock::ID, id);
                        w.number(clock::TIMESTAMP, at_ns);
                    });
                }
                w.number(clock::PRIMARY, clock::BOOTTIME);
            });
        });
        packet_at(&mut self.out, at_ns, |w| {
            w.message(packet::SYSTEM_INFO, |w| {
                w.message(system::UTSNAME, |w| {
                    w.text(system::SYSNAME, "Roundtable");
                    w.text(system::VERSION, machine.board);
                    w.text(system::RELEASE, machine.version);
                    w.text(system::MACHINE, "aarch64");
                });
                w.number(system::NUM_CPUS, machine.cores as u64);
            });
        });
        packet_at(&mut self.out, at_ns, |w| {
            w.message(packet::PROCESS_TREE, |w| {
                w.message(tree::PROCESSES, |w| {
                    w.number(tree::PROCESS_PID, u64::from(PROCESS));
                    w.text(tree::PROCESS_CMDLINE, "roundtable");
                });
            });
        });
        describe(&mut self.out, at_ns, PROCESS_TRACK, "roundtable", |w| {
            w.message(track::PROCESS, tracks::process);
        });
        self.stats(at_ns, stats::START);
    }

    /// A thread that is there.
    pub fn thread(&mut self, id: u32, name: &str, priority: u8) {
        self.known.learn_thread(id, name, priority);
    }

    /// An event of core `cpu` in thread `thread`; the events that start an item, and
    /// that arm a timer or start its callback, come with the function. `lost` events of the core are missing before it.
    pub fn event(
        &mut self,
        cpu: usize,
        (at_ns, thread, lost): (u64, Option<u32>, u64),
        e: &Event,
        function: Option<u64>,
    ) {
        if lost > 0 {
            self.lost(cpu, at_ns, lost);
        }
        let function = function.unwrap_or(0);
        match e.kind {
            Kind::TaskNewtask => {
                let name = Name::unpack(e.a, e.b);
                let priority = e.head.small as u8;
                self.known.learn_thread(e.head.arg, name.as_str(), priority);
            }
            Kind::SchedPiSetprio => self.known.set_priority(e.head.arg, e.b as u8),
            Kind::AllocWorkqueue | Kind::DestroyWorkqueue => self.known.forget_queue(e.b),
            Kind::ExecuteStart if function != 0 => {
                self.known.learn_item(e.a, function);
                self.symbol(at_ns, function);
            }
            Kind::TimerStart | Kind::TimerExpireEntry if function != 0 => {
                self.symbol(at_ns, function);
            }
            _ => {}
        }
        self.tracks
            .event(&mut self.out, &mut self.known, at_ns, e, function);
        if let Some(thread) = thread {
            // So that its name is told, also if nothing but its number occurs.
            let _ = self.known.thread(thread);
        }
        let Some(core) = self.cores.get_mut(cpu) else {
            return;
        };
        core.read += 1;
        let context = Context {
            at_ns,
            thread,
            cpu: cpu as u32,
            function,
        };
        ftrace::write(&mut core.events, &mut self.known, context, e);
        if core.events.bytes().len() >= BUNDLE {
            self.bundle(cpu);
        }
    }

    /// `n` events of core `cpu` are missing at this place.
    fn lost(&mut self, cpu: usize, at_ns: u64, n: u64) {
        self.tracks.lose(&mut self.out, at_ns);
        // What was read before belongs to a bundle of its own.
        self.bundle(cpu);
        if let Some(core) = self.cores.get_mut(cpu) {
            core.lost = true;
            core.overrun += n;
        }
    }

    /// Tells a value, if it has changed. A counter begins with the first value that is not 0.
    pub fn counter(&mut self, at_ns: u64, c: Counter<'_>) {
        let place = self.counters.binary_search_by_key(&c.id, |&(id, _)| id);
        match place {
            Ok(i) => match self.counters.get_mut(i) {
                Some((_, value)) if *value != c.value => *value = c.value,
                _ => return,
            },
            Err(i) => {
                if c.value == 0 {
                    return;
                }
                if self.counters.len() >= COUNTERS || self.counters.try_reserve(1).is_err() {
                    return;
                }
                self.counters.insert(i, (c.id, c.value));
                let name = Label::of(c.name);
                describe(
                    &mut self.out,
                    at_ns,
                    counter_uuid(c.id),
                    name.as_str(),
                    |w| {
                        w.number(track::PARENT, PROCESS_TRACK);
                        w.message(track::COUNTER, |w| {
                            w.number(track::COUNTER_UNIT, track::UNIT_COUNT);
                        });
                    },
                );
            }
        }
        packet_at(&mut self.out, at_ns, |w| {
            w.message(packet::TRACK_EVENT, |w| {
                w.number(event::TYPE, event::COUNTER);
                w.number(event::TRACK, counter_uuid(c.id));
                w.number(event::COUNTER_VALUE, c.value);
            });
        });
    }

    /// Writes what was kept back.
    pub fn flush(&mut self, at_ns: u64) {
        for cpu in 0..self.cores.len() {
            self.bundle(cpu);
        }
        while let Some(t) = self.known.news() {
            packet_at(&mut self.out, at_ns, |w| {
                w.message(packet::PROCESS_TREE, |w| {
                    w.message(tree::THREADS, |w| {
                        w.number(tree::THREAD_TID, u64::from(t.id()));
                        w.text(tree::THREAD_NAME, t.name.as_str());
                        w.number(tree::THREAD_TGID, u64::from(PROCESS));
                    });
                });
            });
        }
    }

    /// What the trace ends with.
    pub fn end(&mut self, at_ns: u64) {
        self.flush(at_ns);
        self.stats(at_ns, stats::END);
    }

    /// The bytes so far.
    ///
    /// # Errors
    ///
    /// [`NoMemory`]: something is missing.
    pub fn output(&self) -> Result<&[u8], NoMemory> {
        let whole = self.cores.iter().all(|c| c.events.is_whole());
        if self.out.is_whole() && whole {
            Ok(self.out.bytes())
        } else {
            Err(NoMemory)
        }
    }

    /// The bytes so far were taken.
    pub fn taken(&mut self) {
        self.out.clear();
    }

    /// Events that are missing.
    #[must_use]
    pub fn overrun(&self) -> u64 {
        self.cores.iter().map(|c| c.overrun).sum()
    }

    fn bundle(&mut self, cpu: usize) {
        let Some(core) = self.cores.get_mut(cpu) else {
            return;
        };
        if core.events.bytes().is_empty() {
            return;
        }
        let lost = core::mem::take(&mut core.lost);
        self.out.message(crate::schema::trace::PACKET, |w| {
            w.message(packet::FTRACE_EVENTS, |w| {
                w.number(bundle::CPU, cpu as u64);
                w.fields(core.events.bytes());
                if lost {
                    w.number(bundle::LOST, 1);
                }
            });
            w.number(packet::SEQUENCE, SEQUENCE);
            w.number(packet::SEQUENCE_FLAGS, packet::NEEDS);
        });
        core.events.clear();
    }

    /// Names a function, the first time.
    fn symbol(&mut self, at_ns: u64, function: u64) {
        let Some(name) = self.known.new_function(function) else {
            return;
        };
        packet_at(&mut self.out, at_ns, |w| {
            w.message(packet::INTERNED_DATA, |w| {
                w.message(interned::KERNEL_SYMBOLS, |w| {
                    // The address is its own number: whoever does not look it up sees the address.
                    w.number(interned::IID, function);
                    w.text(interned::STR, name);
                });
            });
            w.number(packet::SEQUENCE_FLAGS, packet::NEEDS);
        });
    }

    fn stats(&mut self, at_ns: u64, phase: u64) {
        let cores = &self.cores;
        packet_at(&mut self.out, at_ns, |w| {
            w.message(packet::FTRACE_STATS, |w| {
                w.number(stats::PHASE, phase);
                for (cpu, core) in cores.iter().enumerate() {
                    w.message(stats::CPU_STATS, |w| {
                        w.number(stats::CPU, cpu as u64);
                        w.number(stats::OVERRUN, core.overrun);
                        w.number(stats::READ_EVENTS, core.read);
                    });
                }
            });
        });
    }
}
