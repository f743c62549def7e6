//! Services: what the executive does for the world outside.
//!
//! | Room | What happens there |
//! | --- | --- |
//! | [`args`], [`boot`] | boot arguments; starting everything |
//! | [`server`] | connections to work items or threads: three modes, starting and stopping |
//! | [`echo`] | TCP echo (RFC 862); UDP echo is answered by the stack itself |
//! | [`monitor`] | a shell on the console and on TCP port 23 |
//! | [`http`] | HTTP/1.1: pages, JSON, demonstrations |
//!
//! Everything here uses the kernel's public interface only, and could be written by anybody.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod args;
pub mod boot;
pub mod echo;
mod hall;
pub mod http;
pub mod monitor;
pub mod server;

pub use args::BootArgs;
pub use boot::{Services, boot_args, start};
pub use server::{Mode, QueueKind, Server, ServerConfig, StartError, StopError};
