//! Machines this image does not support: each is told in one sentence what is missing, and ends with a
//! failure code.
//!
//! QEMU writes down the device tree of a machine it would make; the test changes it into that of a
//! machine QEMU would not make, and hands it to a guest.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use qemu_tests::service;
use xtask::guest::{Guest, Terminal};
use xtask::options::{Net, Options};
use xtask::packages;

use crate::{Body, check, fdt};

pub(crate) const TESTS: &[(&str, Body)] = &[
    ("unsupported::no_psci", no_psci),
    ("unsupported::no_interrupt_controller", no_controller),
    (
        "unsupported::unknown_interrupt_controller",
        unknown_controller,
    ),
    ("unsupported::nine_cores_with_gicv2", nine_cores_with_gicv2),
    ("unsupported::no_core", no_core),
    ("unsupported::too_little_memory", too_little_memory),
    ("an_unchanged_tree_boots", unchanged),
];

const LIMIT: Duration = Duration::from_secs(40);

fn machine(smp: u32, mem: &str) -> Options {
    Options {
        smp,
        mem: mem.to_owned(),
        net: Net::None,
        yes: true,
        ..Options::default()
    }
}

/// A file that goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(what: &str) -> Self {
        let name = format!("roundtable-{}-{what}.dtb", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The tree of the machine with `smp` cores that QEMU would make.
fn tree(smp: u32, what: &str) -> Result<Vec<u8>, String> {
    let file = Scratch::new(&format!("{what}-from-qemu"));
    let dump = format!("virt,gic-version=3,dumpdtb={}", file.0.display());
    let program = packages::qemu(false, true).map_err(|f| f.message)?;
    let status = Command::new(program)
        .args(["-M", &dump, "-cpu", "cortex-a57", "-m", "256M"])
        .args(["-smp", &smp.to_string(), "-nic", "none", "-display", "none"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.map_err(|e| e.to_string())?;
    std::fs::read(&file.0).map_err(|e| format!("QEMU wrote no device tree: {e}"))
}

/// Boots on a changed tree; what was said, and the exit code (`None`: it runs on).
fn boot_on(
    smp: u32,
    what: &str,
    change: impl FnMut(&str, &str, &[u8]) -> Option<Vec<u8>>,
) -> Result<(String, Option<i32>), String> {
    let (blob, changes) = fdt::edit(&tree(smp, what)?, change)?;
    check(changes > 0, "nothing was changed")?;
    let file = Scratch::new(what);
    std::fs::write(&file.0, blob).map_err(|e| e.to_string())?;
    let mut options = machine(smp, "256M");
    options.extra = vec![OsString::from("-dtb"), file.0.clone().into_os_string()];
    boot(&options)
}

fn boot(options: &Options) -> Result<(String, Option<i32>), String> {
    let image = service::image()?;
    let mut guest = Guest::start(options, &image, Terminal::Captured).map_err(|f| f.message)?;
    let deadline = Instant::now() + LIMIT;
    // The second line of the banner, or QEMU's end.
    let up = guest.console().wait_for("after entry", &mut 0, deadline);
    let code = match up {
        true => None,
        false => guest.wait(deadline).and_then(|status| status.code()),
    };
    guest.stop();
    Ok((guest.console().since(0), code))
}

fn refused((said, code): (String, Option<i32>), sentence: &str) -> Result<(), String> {
    let expected = format!("roundtable: unsupported machine: {sentence}");
    check(
        said.lines().any(|l| l == expected) && code == Some(3),
        format!("{expected:?} and exit code 3 expected, {code:?} came and\n{said}"),
    )
}

fn replaced(value: &[u8], old: &str, new: &str) -> Option<Vec<u8>> {
    let list = [value, b""].concat();
    let text = String::from_utf8(list).ok()?;
    let mut words = text.split_terminator('\0');
    words
        .any(|w| w == old)
        .then(|| [new.as_bytes(), &[0]].concat())
}

/// QEMU adds its own PSCI node to any tree; a second one that does not say how to call it makes the
/// firmware unusable.
fn no_psci() -> Result<(), String> {
    let boot = boot_on(2, "no-psci", |_, name, value| {
        let clock = name == "compatible";
        clock.then(|| replaced(value, "arm,pl031", "arm,psci-1.0"))?
    })?;
    refused(boot, "no PSCI firmware interface")
}

const NO_GIC: &str = "no interrupt controller this image knows (GICv2 or GICv3)";

fn no_controller() -> Result<(), String> {
    let boot = boot_on(2, "no-gic", |_, name, value| {
        let gic = name == "compatible" && replaced(value, "arm,gic-v3", "").is_some();
        gic.then(|| b"none\0".to_vec())
    })?;
    refused(boot, NO_GIC)
}

fn unknown_controller() -> Result<(), String> {
    let boot = boot_on(2, "unknown-gic", |_, name, value| {
        let compatible = name == "compatible";
        compatible.then(|| replaced(value, "arm,gic-v3", "arm,gic-v5"))?
    })?;
    refused(boot, NO_GIC)
}

fn nine_cores_with_gicv2() -> Result<(), String> {
    let boot = boot_on(9, "nine", |_, name, value| {
        let compatible = name == "compatible";
        compatible.then(|| replaced(value, "arm,gic-v3", "arm,cortex-a15-gic"))?
    })?;
    refused(boot, "more cores than its interrupt controller serves")
}

fn no_core() -> Result<(), String> {
    let boot = boot_on(2, "no-core", |_, name, value| {
        let kind = name == "device_type";
        kind.then(|| replaced(value, "cpu", "cpx"))?
    })?;
    refused(boot, "the device tree names no core")
}

/// Eight megabytes do for a few cores and not for 64.
fn too_little_memory() -> Result<(), String> {
    refused(boot(&machine(64, "8M"))?, "too little memory for its cores")?;
    let (said, code) = boot(&machine(2, "8M"))?;
    check(
        code.is_none() && said.contains("2 of 2 cores"),
        format!("8 MiB should do for two cores; {code:?}:\n{said}"),
    )
}

/// The changes above do what they are meant to: with one that means nothing the machine boots.
fn unchanged() -> Result<(), String> {
    let (said, code) = boot_on(2, "unchanged", |_, name, value| {
        (name == "compatible").then(|| value.to_vec())
    })?;
    check(
        code.is_none() && said.contains("2 of 2 cores"),
        format!("the tree was spoilt; {code:?}:\n{said}"),
    )
}
