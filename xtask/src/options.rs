//! What a person may ask of `run`: the options, their defaults, and the checks that need no QEMU.
//!
//! Names and defaults are an interface; scripts depend on them. Wrong values are bad usage (exit
//! code 2) with the allowed range in the sentence.

use std::ffi::OsString;

use clap::{Args, ValueEnum};

use crate::{Failure, Outcome};

/// Least memory with which the service answers on 4 cores, in MiB: what `bench mem` finds. More cores need more, and
/// a guest that has too little for them says so.
const LEAST_MIB: u64 = 6;

/// Most cores the kernel is built for.
pub const MAX_CPUS: u32 = 64;

/// How QEMU executes guest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// Emulation; works everywhere.
    Tcg,
    /// Linux on Arm.
    Kvm,
    /// macOS on Arm.
    Hvf,
}

/// What the guest's network card is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Net {
    /// QEMU's user-mode network with forwarded ports.
    User,
    /// An existing tap interface of the host.
    Tap(String),
    /// No card.
    None,
    /// Raw frames over UDP on the loopback: we listen on `peer`, QEMU on `local`. Tests only.
    Dgram {
        /// The port QEMU binds.
        local: u16,
        /// The port QEMU sends to.
        peer: u16,
    },
}

impl std::str::FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "user" => Ok(Self::User),
            None if text == "none" => Ok(Self::None),
            Some(("tap", name)) if !name.is_empty() => Ok(Self::Tap(name.to_owned())),
            _ => Err("expected `user`, `tap=INTERFACE` or `none`".to_owned()),
        }
    }
}

/// Options of `cargo run -- …`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Number of cores (at most 8 with GICv2)
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CPUS)))]
    pub smp: u32,
    /// How the cores lie to each other, as in clusters=2,cores=2,threads=2; their product is --smp
    #[arg(long, value_name = "LEVELS", default_value = "", value_parser = topology)]
    pub topology: String,
    /// Memory nodes that cores and memory are divided into
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub numa: u32,
    /// Guest memory, such as 64M or 4G (at least 6M, which is enough for the release image on 4 cores)
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = memory)]
    pub mem: String,
    /// CPU model (with kvm and hvf always the host's)
    #[arg(long, value_name = "MODEL", default_value = "cortex-a57")]
    pub cpu: String,
    /// Version of the interrupt controller
    #[arg(long, value_name = "2|3", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=3))]
    pub gic: u8,
    /// Enter the guest at EL2
    #[arg(long)]
    pub el2: bool,
    /// Execution engine
    #[arg(long, value_enum, value_name = "ENGINE", default_value_t = Accel::Tcg)]
    pub accel: Accel,
    /// Host port forwarded to the HTTP service (0 picks a free one)
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub http_port: u16,
    /// Host port forwarded to the echo service, TCP and UDP (0 picks a free one)
    #[arg(long, value_name = "PORT", default_value_t = 7007)]
    pub echo_port: u16,
    /// Host port forwarded to the guest's monitor, which is then started on TCP (monitor.tcp=on)
    #[arg(long, value_name = "PORT")]
    pub monitor_port: Option<u16>,
    /// Network: user, tap=INTERFACE or none
    #[arg(long, value_name = "NET", default_value = "user")]
    pub net: Net,
    /// Boot arguments for the guest, as "k=v k=v"
    #[arg(
        long,
        value_name = "ARGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub append: String,
    /// End the guest after this many seconds
    #[arg(long, value_name = "SECS")]
    pub timeout: Option<u64>,
    /// Count instructions as time: exact and repeatable
    #[arg(long)]
    pub icount: bool,
    /// Wait for a debugger on port 1234, with the commands of tools/gdb/roundtable.py
    #[arg(long)]
    pub gdb: bool,
    /// Build without release optimisation
    #[arg(long)]
    pub debug: bool,
    /// Pass the standard input to the guest's console also when it is no terminal
    #[arg(long)]
    pub stdin: bool,
    /// Print the QEMU command line and end
    #[arg(long)]
    pub dry_run: bool,
    /// Never install anything
    #[arg(long)]
    pub no_install: bool,
    /// Install what is missing without asking
    #[arg(long)]
    pub yes: bool,
    /// Say nothing but the guest's console and READY
    #[arg(long)]
    pub quiet: bool,
    /// Further arguments of QEMU, which win over the others. Tests only.
    #[arg(skip)]
    pub extra: Vec<OsString>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            smp: 4,
            topology: String::new(),
            numa: 1,
            mem: "256M".to_owned(),
            cpu: "cortex-a57".to_owned(),
            gic: 3,
            el2: false,
            accel: Accel::Tcg,
            http_port: 8080,
            echo_port: 7007,
            monitor_port: None,
            net: Net::User,
            append: String::new(),
            timeout: None,
            icount: false,
            gdb: false,
            debug: false,
            stdin: false,
            dry_run: false,
            no_install: false,
            yes: false,
            quiet: false,
            extra: Vec::new(),
        }
    }
}

impl Options {
    /// Checks what a single option's parser cannot see.
    pub fn check(&self) -> Outcome<()> {
        if self.gic == 2 && self.smp > 8 {
            return Err(Failure::usage(format!(
                "--gic 2 supports at most 8 cores, not {}; use --gic 3 or a smaller --smp",
                self.smp
            )));
        }
        if !self.smp.is_multiple_of(self.numa)
            || !megabytes(&self.mem).is_multiple_of(u64::from(self.numa))
        {
            return Err(Failure::usage(format!(
                "--numa {} does not divide {} cores and {} evenly",
                self.numa, self.smp, self.mem
            )));
        }
        if self.accel != Accel::Tcg && self.icount {
            return Err(Failure::usage(
                "--icount needs --accel tcg: only emulation counts",
            ));
        }
        if self.el2 && self.accel != Accel::Tcg {
            return Err(Failure::usage("--el2 needs --accel tcg"));
        }
        Ok(())
    }
}

/// Accepts the levels that QEMU's `-smp` knows.
fn topology(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 4] = ["sockets", "clusters", "cores", "threads"];
    let fine = |level: &str| {
        let (name, n) = level.split_once('=').unwrap_or_default();
        LEVELS.contains(&name) && n.parse::<u32>().is_ok_and(|n| n > 0)
    };
    if text.is_empty() || text.split(',').all(fine) {
        Ok(text.to_owned())
    } else {
        Err("expected levels such as sockets=1,clusters=2,cores=2,threads=2".to_owned())
    }
}

/// A checked memory size in megabytes.
pub fn megabytes(text: &str) -> u64 {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'k', 'm', 'g']);
    let n = digits.parse().unwrap_or(0);
    match text.as_bytes().last() {
        Some(b'K' | b'k') => n / 1024,
        Some(b'G' | b'g') => n * 1024,
        _ => n,
    }
}

/// Accepts `N`, `NM`, `NG` and the like; QEMU's own message for a wrong size names neither.
fn memory(text: &str) -> Result<String, String> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'k', 'm', 'g']);
    let suffix = text.len() - digits.len();
    let size: u64 = digits
        .parse()
        .map_err(|_| "expected a size such as 256M or 1G".to_owned())?;
    let shift = match text.as_bytes().last() {
        Some(b'K' | b'k') => 10,
        Some(b'G' | b'g') => 30,
        _ => 20,
    };
    if suffix > 1 || size == 0 {
        return Err("expected a size such as 256M or 1G".to_owned());
    }
    let least = LEAST_MIB << 20;
    if u128::from(size) << shift < u128::from(least) {
        return Err(format!(
            "the guest needs at least {LEAST_MIB}M: with less the service does not come up on 4 cores"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_sizes_are_checked() {
        for good in ["6M", "6", "6144K", "64M", "256M", "1G", "4g", "128"] {
            assert!(memory(good).is_ok(), "{good}");
        }
        for bad in [
            "", "M", "12MM", "0", "5M", "6143K", "-1", "1T", "10K", "1.5G",
        ] {
            assert!(memory(bad).is_err(), "{bad}");
        }
        let why = memory("5M").unwrap_err();
        assert!(why.contains("at least 6M"), "{why}");
    }

    #[test]
    fn topologies_name_known_levels_and_nodes_divide_evenly() {
        for good in ["", "threads=2", "sockets=1,clusters=2,cores=2,threads=2"] {
            assert!(topology(good).is_ok(), "{good}");
        }
        for bad in ["cores", "cores=0", "dies=2", "cores=2,,threads=2"] {
            assert!(topology(bad).is_err(), "{bad}");
        }
        let mut options = Options {
            smp: 6,
            numa: 4,
            ..Options::default()
        };
        assert!(options.check().is_err());
        options.numa = 2;
        assert!(options.check().is_ok());
        options.mem = "4G".to_owned();
        assert_eq!(megabytes(&options.mem), 4096);
    }

    #[test]
    fn net_accepts_the_three_forms_only() {
        assert_eq!("user".parse(), Ok(Net::User));
        assert_eq!("none".parse(), Ok(Net::None));
        assert_eq!("tap=rt0".parse(), Ok(Net::Tap("rt0".to_owned())));
        for bad in ["", "tap", "tap=", "bridge=x"] {
            assert!(bad.parse::<Net>().is_err(), "{bad}");
        }
    }

    #[test]
    fn gicv2_stops_at_eight_cores() {
        let mut options = Options {
            gic: 2,
            smp: 8,
            ..Options::default()
        };
        assert!(options.check().is_ok());
        options.smp = 9;
        assert_eq!(
            options.check().map_err(|f| f.code),
            Err(crate::failure::USAGE)
        );
    }
}
