//! Events of the trace as a trace that Perfetto opens: values in, bytes out.
//!
//! A trace is a protobuf message of packets. This crate writes four kinds of them, with the field numbers of
//! Perfetto's published schema (module `schema`):
//!
//! * bundles of ftrace events of one core, from which Perfetto draws what it draws for Linux: who runs
//!   where, in which state a thread is, interrupts and softirqs, and what each worker executes;
//! * the names of threads, functions and cores;
//! * tracks of its own: each work item's way through its queue, each HTTP request;
//! * counters.
//!
//! Numbers of threads, addresses of queues and functions get names through [`Names`]. What is written
//! is in memory of bounded size, taken from the encoder again and again ([`Encoder::output`]).
//!
//! Written by hand and not with a protobuf library: messages are written once, forwards, into a buffer
//! that may run out of memory, which takes less code than generated types would. The host reads with
//! a real one, and tests hold every byte against the schema.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod encoder;
mod ftrace;
mod names;
mod schema;
mod tracks;
mod wire;

pub use encoder::{Counter, Encoder, PROCESS, System};
pub use names::Names;

/// Memory ran out: the trace ends here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMemory;
