//! A running QEMU: started here, ended here, by its own process handle and nothing else.
//!
//! Ends are orderly: SIGTERM first, because QEMU then restores the terminal and removes its
//! sockets, SIGKILL only after `GRACE`. Dropping a [`Guest`] ends it, so a failing test leaves
//! no process behind.

use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::console::Console;
use crate::machine::{self, Ports};
use crate::options::{Net, Options};
use crate::{Failure, Outcome, failure, packages, ready};

/// How long QEMU may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// A QEMU process and its console.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    pumps: Vec<JoinHandle<()>>,
    console: Arc<Console>,
    ports: Ports,
    status: Option<ExitStatus>,
}

/// Whether the console belongs to a person or to a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// Copied to stdout; stdin goes to the guest if it is a terminal, or with `--stdin`.
    Attached,
    /// Only collected; the guest reads nothing. QEMU's own messages are collected as well.
    Captured,
    /// As [`Self::Captured`], and the guest reads what [`Guest::type_in`] is given.
    Typed,
}

impl Guest {
    /// Starts QEMU with `kernel` on free ports.
    pub fn start(options: &Options, kernel: &Path, terminal: Terminal) -> Outcome<Self> {
        Self::start_logged(options, kernel, terminal, Console::pump)
    }

    /// As [`Self::start`]; `log` reads what QEMU itself says, which the console has otherwise.
    pub fn start_logged(
        options: &Options,
        kernel: &Path,
        terminal: Terminal,
        log: impl FnOnce(&Arc<Console>, ChildStderr) -> JoinHandle<()>,
    ) -> Outcome<Self> {
        let ports = reserve(options)?;
        let program = packages::qemu(options.no_install, options.yes)?;
        let attached = terminal == Terminal::Attached;
        let mut command = Command::new(&program);
        command
            .args(machine::arguments(options, &ports, kernel))
            .stdin(
                if attached && (options.stdin || std::io::stdin().is_terminal()) {
                    Stdio::inherit()
                } else {
                    match terminal {
                        Terminal::Typed => Stdio::piped(),
                        _ => Stdio::null(),
                    }
                },
            )
            .stdout(Stdio::piped())
            .stderr(if attached {
                Stdio::inherit()
            } else {
                Stdio::piped()
            });
        let mut child = command
            .spawn()
            .map_err(|e| Failure::failed(format!("{} does not start: {e}", program.display())))?;
        let console = Console::new(attached);
        let mut pumps = Vec::new();
        pumps.extend(child.stdout.take().map(|pipe| console.pump(pipe)));
        pumps.extend(child.stderr.take().map(|pipe| log(&console, pipe)));
        Ok(Self {
            child,
            pumps,
            console,
            ports,
            status: None,
        })
    }

    /// What the guest said.
    pub fn console(&self) -> &Arc<Console> {
        &self.console
    }

    /// The host ports that reach the guest.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Address of the forwarded HTTP service.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.http))
    }

    /// Address of the forwarded echo service.
    pub fn echo(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.echo))
    }

    /// Types `text` at the guest's console ([`Terminal::Typed`]). False when it cannot be typed.
    pub fn type_in(&mut self, text: &str) -> bool {
        let Some(pipe) = &mut self.child.stdin else {
            return false;
        };
        pipe.write_all(text.as_bytes())
            .and_then(|()| pipe.flush())
            .is_ok()
    }

    /// Address of the forwarded monitor, if there is one.
    pub fn monitor(&self) -> Option<SocketAddr> {
        let port = self.ports.monitor?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// QEMU's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, once QEMU ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Waits for QEMU's end until `deadline`.
    pub fn wait(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the HTTP service answers; `false` when the guest ended or time ran out.
    pub fn wait_ready(&mut self, deadline: Instant) -> bool {
        let address = self.http();
        ready::poll(address, || {
            self.ended().is_some() || Instant::now() >= deadline
        })
    }

    /// Ends QEMU now. Safe to repeat.
    pub fn stop(&mut self) {
        if self.ended().is_none() {
            self.terminate();
            if self.wait(Instant::now() + GRACE).is_none() {
                let _ = self.child.kill();
                self.status = self.child.wait().ok();
            }
        }
        for pump in self.pumps.drain(..) {
            let _ = pump.join();
        }
    }

    #[cfg(unix)]
    fn terminate(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    #[cfg(not(unix))]
    fn terminate(&mut self) {
        let _ = self.child.kill();
    }

    /// The tool's exit code for an ended guest: the printed marker wins, then QEMU's status.
    pub fn exit_code(&mut self) -> u8 {
        let status = self.ended();
        self.stop();
        let code = match (self.console.marker(), status.and_then(|s| s.code())) {
            (Some(marker), _) => i32::from(marker),
            (None, Some(code)) => code,
            (None, None) => return failure::FAILED,
        };
        match code {
            0 => 0,
            101 => failure::PANIC,
            _ => failure::FAILED,
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Checks that the host ports are free, and picks free ones for port 0.
pub fn reserve(options: &Options) -> Outcome<Ports> {
    if options.net != Net::User {
        return Ok(Ports::default());
    }
    let monitor = options
        .monitor_port
        .map(|port| claim(port, false, "--monitor-port"));
    let ports = Ports {
        http: claim(options.http_port, false, "--http-port")?,
        echo: claim(options.echo_port, true, "--echo-port")?,
        monitor: monitor.transpose()?,
    };
    let all = [Some(ports.http), Some(ports.echo), ports.monitor];
    for (i, port) in all.iter().enumerate() {
        if port.is_some() && all[..i].contains(port) {
            return Err(Failure::usage("two services cannot share one host port"));
        }
    }
    Ok(ports)
}

fn claim(port: u16, udp: bool, option: &str) -> Outcome<u16> {
    if port != 0 {
        return if is_free(port, udp) {
            Ok(port)
        } else {
            Err(Failure::missing(format!(
                "port {port} on 127.0.0.1 is in use; end the program that holds it or choose \
                 another one with {option} PORT"
            )))
        };
    }
    free_port(udp)
        .ok_or_else(|| Failure::missing(format!("no free port found; name one with {option} PORT")))
}

/// A port nobody holds at this moment, outside the range the host gives to its own clients.
pub fn free_port(udp: bool) -> Option<u16> {
    // Every process starts elsewhere and never offers a port twice, so parallel tests do not meet.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    let offset = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(COUNT)).ok()?;
    (0..COUNT).find_map(|_| {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (offset + step % COUNT) % COUNT;
        is_free(port, udp).then_some(port)
    })
}

fn is_free(port: u16, udp: bool) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).is_ok() && (!udp || UdpSocket::bind(address).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_is_named_with_its_option() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let options = Options {
            http_port: port,
            echo_port: 0,
            ..Options::default()
        };
        let failure = reserve(&options).unwrap_err();
        assert_eq!(failure.code, failure::MISSING);
        assert!(failure.message.contains(&port.to_string()), "{failure}");
        assert!(failure.message.contains("--http-port"), "{failure}");
    }

    #[test]
    fn a_busy_udp_port_counts_for_echo() {
        let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let options = Options {
            http_port: 0,
            echo_port: port,
            ..Options::default()
        };
        assert!(reserve(&options).is_err());
    }

    #[test]
    fn one_port_for_two_services_is_bad_usage() {
        let port = free_port(true).unwrap();
        let options = Options {
            http_port: port,
            echo_port: port,
            ..Options::default()
        };
        assert_eq!(reserve(&options).unwrap_err().code, failure::USAGE);
    }

    #[test]
    fn port_zero_gives_different_free_ports() {
        let options = Options {
            http_port: 0,
            echo_port: 0,
            ..Options::default()
        };
        let ports = reserve(&options).unwrap();
        assert!(ports.http != 0 && ports.echo != 0 && ports.http != ports.echo);
    }
}
