//! The QEMU command line for a set of [`Options`].
//!
//! Kept apart from starting the process so that `--dry-run`, tests and a person with a debugger see
//! exactly what is run. What is odd here, and why:
//!
//! * `-accel tcg,thread=multi`: without it a build of QEMU may run all cores in turns on one host thread,
//!   and nothing that races on the guest's cores would race. Counted instructions need one thread.
//! * `-global virtio-mmio.force-legacy=false`: QEMU offers the pre-1.0 device interface otherwise.
//! * `-nic none` without a network: the default card wants a boot ROM that may not be installed.
//! * `-chardev stdio,signal=on`: Ctrl-C must reach QEMU as a signal, not the guest as a byte. There is no escape: ^C in the
//!   guest's monitor is for TCP sessions.
//! * no `-no-reboot`: the guest resets the machine only when somebody asks its monitor for it.
//! * `-icount … sleep=off` lets virtual time jump over idle periods; with a network that would run
//!   the guest's timeouts faster than the world answers, so there it sleeps.

use std::ffi::OsString;
use std::path::Path;

use crate::options::{Accel, Net, Options, megabytes};

/// Name of the emulator.
pub const QEMU: &str = "qemu-system-aarch64";

/// Host ports a guest ended up with; fixed before QEMU starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Forwarded to port 80 (TCP).
    pub http: u16,
    /// Forwarded to port 7 (TCP and UDP).
    pub echo: u16,
    /// Forwarded to port 23 (TCP).
    pub monitor: Option<u16>,
}

/// Arguments of QEMU, without the program's name.
pub fn arguments(options: &Options, ports: &Ports, kernel: &Path) -> Vec<OsString> {
    let mut line: Vec<OsString> = Vec::new();
    let mut add = |flag: &str, value: String| {
        line.push(flag.into());
        line.push(value.into());
    };
    let el2 = if options.el2 {
        ",virtualization=on"
    } else {
        ""
    };
    // Who counts instructions wants the same ones again, and QEMU's device tree has a random seed otherwise (QEMU
    // 7.0 and later can leave it out).
    let seed = if options.icount {
        ",dtb-randomness=off"
    } else {
        ""
    };
    add("-M", format!("virt,gic-version={}{el2}{seed}", options.gic));
    match options.accel {
        Accel::Tcg => {
            // Counting instructions needs one host thread; else every core has its own.
            let threads = if options.icount { "single" } else { "multi" };
            add("-accel", format!("tcg,thread={threads}"));
            add("-cpu", options.cpu.clone());
        }
        Accel::Kvm => {
            add("-accel", "kvm".to_owned());
            add("-cpu", "host".to_owned());
        }
        Accel::Hvf => {
            add("-accel", "hvf".to_owned());
            add("-cpu", "host".to_owned());
        }
    }
    let levels = match options.topology.as_str() {
        "" => String::new(),
        levels => format!(",{levels}"),
    };
    add("-smp", format!("{}{levels}", options.smp));
    add("-m", options.mem.clone());
    if options.numa > 1 {
        let (cores, mem) = (
            options.smp / options.numa,
            megabytes(&options.mem) / u64::from(options.numa),
        );
        for n in 0..options.numa {
            let (first, last) = (n * cores, (n + 1) * cores - 1);
            add(
                "-object",
                format!("memory-backend-ram,id=node{n},size={mem}M"),
            );
            add(
                "-numa",
                format!("node,nodeid={n},memdev=node{n},cpus={first}-{last}"),
            );
        }
    }
    add("-display", "none".to_owned());
    add("-monitor", "none".to_owned());
    add("-chardev", "stdio,id=console,signal=on".to_owned());
    add("-serial", "chardev:console".to_owned());
    if options.accel == Accel::Tcg {
        add("-semihosting-config", "enable=on,target=native".to_owned());
    }
    if options.icount {
        let sleep = if options.net == Net::None {
            "off"
        } else {
            "on"
        };
        add("-icount", format!("shift=0,sleep={sleep}"));
    }
    if let Some(netdev) = netdev(&options.net, ports) {
        add("-netdev", netdev);
        add("-device", "virtio-net-device,netdev=n0".to_owned());
    } else {
        add("-nic", "none".to_owned());
    }
    add("-device", "virtio-rng-device".to_owned());
    add("-global", "virtio-mmio.force-legacy=false".to_owned());
    if options.gdb {
        add("-gdb", "tcp:127.0.0.1:1234".to_owned());
    }
    let append = bootargs(options);
    if !append.is_empty() {
        add("-append", append);
    }
    if options.gdb {
        line.push("-S".into());
    }
    line.extend(options.extra.iter().cloned());
    line.push("-kernel".into());
    line.push(kernel.as_os_str().to_owned());
    line
}

/// The guest's boot arguments. Semihosting would be an undefined instruction on hardware, so the
/// guest uses it for its exit code only when told that it is there.
fn bootargs(options: &Options) -> String {
    let mut line = options.append.clone();
    let mut add = |key: &str, value: &str| {
        if !line.contains(key) {
            line = format!("{line} {key}{value}");
        }
    };
    // A forwarded port without somebody who listens would be a riddle.
    if options.monitor_port.is_some() {
        add("monitor.tcp=", "on");
    }
    if options.accel == Accel::Tcg {
        add("exit=", "semihosting");
    }
    line.trim().to_owned()
}

fn netdev(net: &Net, ports: &Ports) -> Option<String> {
    match net {
        Net::None => None,
        Net::Tap(name) => Some(format!("tap,id=n0,ifname={name},script=no,downscript=no")),
        Net::Dgram { local, peer } => Some(format!(
            "dgram,id=n0,local.type=inet,local.host=127.0.0.1,local.port={local},\
             remote.type=inet,remote.host=127.0.0.1,remote.port={peer}"
        )),
        Net::User => {
            let Ports {
                http,
                echo,
                monitor,
            } = ports;
            let mut text = format!(
                "user,id=n0,hostfwd=tcp:127.0.0.1:{http}-:80,\
                 hostfwd=tcp:127.0.0.1:{echo}-:7,hostfwd=udp:127.0.0.1:{echo}-:7"
            );
            if let Some(port) = monitor {
                text.push_str(&format!(",hostfwd=tcp:127.0.0.1:{port}-:23"));
            }
            Some(text)
        }
    }
}

/// The command line as a person would type it.
pub fn display(program: &Path, arguments: &[OsString]) -> String {
    let mut text = quoted(&program.to_string_lossy());
    for argument in arguments {
        text.push(' ');
        text.push_str(&quoted(&argument.to_string_lossy()));
    }
    text
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,.:/+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(options: &Options) -> String {
        let ports = Ports {
            http: 8080,
            echo: 7007,
            monitor: Some(2323),
        };
        display(
            Path::new(QEMU),
            &arguments(options, &ports, Path::new("/k.img")),
        )
    }

    #[test]
    fn default_machine_forwards_the_service_ports() {
        let text = line(&Options::default());
        assert!(
            text.contains(
                "-M virt,gic-version=3 -accel tcg,thread=multi -cpu cortex-a57 -smp 4 -m 256M"
            ),
            "{text}"
        );
        for forward in [
            "tcp:127.0.0.1:8080-:80",
            "udp:127.0.0.1:7007-:7",
            "127.0.0.1:2323-:23",
        ] {
            assert!(text.contains(forward), "{forward} in {text}");
        }
        assert!(text.ends_with("-kernel /k.img"), "{text}");
    }

    #[test]
    fn cores_and_memory_are_divided_as_asked() {
        let text = line(&Options {
            smp: 8,
            topology: "clusters=2,cores=2,threads=2".to_owned(),
            numa: 2,
            ..Options::default()
        });
        for part in [
            "-smp 8,clusters=2,cores=2,threads=2",
            "-object memory-backend-ram,id=node1,size=128M",
            "-numa node,nodeid=1,memdev=node1,cpus=4-7",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn icount_only_skips_idle_time_without_a_network() {
        let mut options = Options {
            icount: true,
            ..Options::default()
        };
        assert!(line(&options).contains("sleep=on"));
        assert!(line(&options).contains("-accel tcg,thread=single"));
        options.net = Net::None;
        let text = line(&options);
        assert!(
            text.contains("sleep=off") && text.contains("-nic none"),
            "{text}"
        );
    }

    #[test]
    fn boot_arguments_with_spaces_are_one_word() {
        let options = Options {
            append: "a=1 b='2'".to_owned(),
            ..Options::default()
        };
        assert!(
            line(&options).contains(r"-append 'a=1 b='\''2'\'' exit=semihosting'"),
            "{}",
            line(&options)
        );
    }

    #[test]
    fn a_forwarded_monitor_is_started_unless_told_otherwise() {
        let mut options = Options::default();
        assert!(!line(&options).contains("monitor.tcp"));
        options.monitor_port = Some(2323);
        assert!(
            line(&options).contains("monitor.tcp=on"),
            "{}",
            line(&options)
        );
        options.append = "monitor.tcp=off".to_owned();
        assert!(
            !line(&options).contains("monitor.tcp=on"),
            "{}",
            line(&options)
        );
    }

    #[test]
    fn hardware_acceleration_has_no_semihosting() {
        let text = line(&Options {
            accel: Accel::Kvm,
            ..Options::default()
        });
        assert!(
            text.contains("-accel kvm -cpu host") && !text.contains("semihosting"),
            "{text}"
        );
    }
}
