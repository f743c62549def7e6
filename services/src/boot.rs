//! Everything a board starts once its kernel runs.

use core::fmt;

use kernel::net::NetConfig;
use kernel::thread::ThreadCx;
use kernel::{PanicPolicy, kernel, wq};
use machine::Duration;

use crate::args::BootArgs;
use crate::echo::{self, Echo};
use crate::http::{self, Http};
use crate::monitor::{self, Monitor};
use crate::server::{Mode, QueueKind, Server, ServerConfig, StartError};

/// The services of a machine.
#[derive(Debug)]
pub struct Services {
    /// TCP echo.
    pub echo: Server<Echo>,
    /// HTTP.
    pub http: Server<Http>,
    /// The monitor, if `monitor.tcp=on`.
    pub monitor: Option<Server<Monitor>>,
}

/// Reads the boot arguments, with a warning on the console for each that is not understood.
#[must_use]
pub fn boot_args() -> BootArgs {
    BootArgs::parse(kernel().info().bootargs, |warning| {
        kernel::log!("warning: {warning}")
    })
}

/// What the boot arguments say about the network, for a board that attaches its device before
/// anything else; warns about nothing.
#[must_use]
pub fn network() -> NetConfig {
    let args = BootArgs::parse(kernel().info().bootargs, |_| {});
    let default = NetConfig::default();
    NetConfig {
        address: args.address,
        connections: args.connections.unwrap_or(default.connections),
    }
}

/// Applies the boot arguments that concern the whole machine.
pub fn apply(args: &BootArgs) {
    if args.halt_on_panic {
        kernel().set_panic_policy(PanicPolicy::Halt);
    }
    if let Some(categories) = args.trace {
        kernel::trace::want(categories);
    }
    if args.no_anatomy {
        wq::set_anatomy(false);
    }
}

/// Starts the watchdog that the boot arguments ask for. Apart from the rest, because a test may want
/// to know that nothing will ever happen any more.
pub fn watch(args: &BootArgs) {
    wq::set_watchdog(args.watchdog.unwrap_or(Duration::ZERO));
}

/// Applies the boot arguments and starts the services.
///
/// # Errors
///
/// What the first service that did not start said.
pub fn start(cx: &ThreadCx<'_>, args: &BootArgs) -> Result<Services, StartError> {
    apply(args);
    let (mode, queue) = (args.mode, args.queue);
    let http = ServerConfig {
        name: "http",
        port: http::PORT,
        mode,
        queue,
    };
    let echo = ServerConfig {
        name: "echo",
        port: echo::PORT,
        mode,
        queue,
    };
    let http = Server::start(cx, http, args.http)?;
    let echo = match Server::start(cx, echo, args.echo) {
        Ok(echo) => echo,
        Err(e) => {
            // Not called from one of its items.
            let _ = http.stop(cx);
            return Err(e);
        }
    };
    let monitor = match args.monitor.then(|| monitor(cx)).transpose() {
        Ok(monitor) => monitor,
        Err(e) => {
            // Neither is one of its items.
            let _ = http.stop(cx);
            let _ = echo.stop(cx);
            return Err(e);
        }
    };
    Ok(Services {
        echo,
        http,
        monitor,
    })
}

/// Starts the monitor on TCP: with a thread for each session, which needs no workqueue.
fn monitor(cx: &ThreadCx<'_>) -> Result<Server<Monitor>, StartError> {
    let config = ServerConfig {
        name: "monitor",
        port: monitor::PORT,
        mode: Mode::Thread,
        queue: QueueKind::Unbound,
    };
    kernel::log!(
        "monitor: open on TCP port {}, for whoever reaches it",
        monitor::PORT
    );
    Server::start(cx, config, ())
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "event",
            Self::Blocking => "blocking",
            Self::Thread => "thread",
        })
    }
}

impl fmt::Display for QueueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bound => "bound",
            Self::Unbound => "unbound",
        })
    }
}
