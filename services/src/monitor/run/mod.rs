//! The commands at work.
//!
//! Each writes its answer as text. What it shows was copied first: lists are walked under their locks
//! without formatting.

mod cores;
mod memory;
mod queues;
mod set;
mod stress;
mod threads;
mod top;
mod trace;
mod wqmon;

use core::fmt::{self, Write};

use kernel::thread::ThreadCx;
use kernel::{PanicPolicy, freezer, kernel};
use machine::Duration;

use super::command::{Command, SPECS};
use super::text::Text;

pub(super) use set::keys;

/// What is shown again and again.
#[derive(Debug)]
pub(super) struct Repeating {
    what: What,
    pause: Duration,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a session")]
enum What {
    Top(top::Top),
    WqMon(wqmon::Monitor),
}

impl Repeating {
    /// Shows it once more.
    pub(super) fn show(&mut self, out: &mut Text) -> fmt::Result {
        match &mut self.what {
            What::Top(top) => top.show(out),
            What::WqMon(monitor) => monitor.show(out),
        }
    }

    /// How long to wait for the next time.
    pub(super) const fn pause(&self) -> Duration {
        self.pause
    }
}

/// Runs `command`; what repeats, if it does. May sleep.
pub(super) fn run(
    cx: &ThreadCx<'_>,
    command: Command<'_>,
    out: &mut Text,
) -> Result<Option<Repeating>, fmt::Error> {
    let pause = |s| Duration::from_secs(u64::from(s));
    match command {
        Command::Help(name) => help(name, out)?,
        Command::Ps => threads::ps(out)?,
        Command::Top(s) => {
            let what = What::Top(top::Top::new());
            return Ok(Some(Repeating {
                what,
                pause: pause(s),
            }));
        }
        Command::WqMon(s) => {
            let what = What::WqMon(wqmon::Monitor::new());
            return Ok(Some(Repeating {
                what,
                pause: pause(s),
            }));
        }
        Command::Wq => queues::wq(out)?,
        Command::Lat => queues::lat(out)?,
        Command::Trace(what) => trace::trace(what, out)?,
        Command::Irq => cores::irq(out)?,
        Command::Mem => memory::mem(out)?,
        Command::Locks => cores::locks(out)?,
        Command::Cpu(None) => cores::list(out)?,
        Command::Cpu(Some((core, on))) => cores::switch(cx, core, on, out)?,
        Command::Freeze => {
            freezer::freeze();
            let busy = if freezer::busy() {
                "; some still run"
            } else {
                ""
            };
            writeln!(out, "freezable queues start nothing any more{busy}")?;
        }
        Command::Thaw => {
            freezer::thaw();
            writeln!(out, "freezable queues start what waits")?;
        }
        Command::Stress(load) => stress::stress(load, out)?,
        Command::Set(change) => set::set(cx, change, out)?,
        Command::Bt(target) => threads::bt(cx, target, out)?,
        Command::Panic => {
            // Else it might only end the session.
            kernel().set_panic_policy(PanicPolicy::Halt);
            panic!("asked for at the monitor");
        }
        Command::Reboot => {
            kernel::log!("reboot: asked for at the monitor");
            machine::reboot()
        }
        Command::Poweroff => {
            kernel::log!("power off: asked for at the monitor");
            machine::shutdown(0)
        }
        Command::Uptime => cores::uptime(out)?,
        Command::Clear => out.write_str("\x1b[H\x1b[2J")?,
        // The session's own.
        Command::Quit => {}
    }
    Ok(None)
}

fn help(name: Option<&'static str>, out: &mut Text) -> fmt::Result {
    for spec in SPECS.iter().filter(|s| name.is_none_or(|n| n == s.name)) {
        writeln!(out, "{} {}", spec.name, spec.takes)?;
        writeln!(out, "    {}", spec.does)?;
    }
    if name.is_none() {
        writeln!(
            out,
            "Tab completes, Up and Down are the lines before, ^C gives one up."
        )?;
    }
    Ok(())
}

/// What a command says when there is no memory for its answer.
fn no_memory(out: &mut Text) -> fmt::Result {
    writeln!(
        out,
        "error: no memory for the answer; mem shows what there is"
    )
}
