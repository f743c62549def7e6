//! QEMU, found or installed through the system's package manager.
//!
//! The tool never downloads binaries itself: what it installs comes from the system's own signed
//! package lists, after saying so. Root rights are taken through `sudo` only when needed and there.

use std::path::PathBuf;
use std::process::Command;

use crate::{Failure, Outcome, machine, tell, tree};

/// A debugger for every architecture: its program and its package.
const GDB: &str = "gdb-multiarch";
/// An HTTP client that loads a server; its program and its package.
const WRK: &str = "wrk";

/// A package manager, its packages for QEMU, and how it installs.
struct Manager {
    program: &'static str,
    install: &'static [&'static str],
    packages: &'static [&'static str],
    as_root: bool,
}

/// First match wins. `ipxe-qemu-` (with the minus) leaves out boot ROMs the machine never uses.
const MANAGERS: [Manager; 4] = [
    Manager {
        program: "apt-get",
        install: &["install", "-y", "--no-install-recommends"],
        packages: &["qemu-system-arm", "ipxe-qemu-"],
        as_root: true,
    },
    Manager {
        program: "dnf",
        install: &["install", "-y"],
        packages: &["qemu-system-aarch64-core"],
        as_root: true,
    },
    Manager {
        program: "pacman",
        install: &["-S", "--noconfirm", "--needed"],
        packages: &["qemu-system-aarch64"],
        as_root: true,
    },
    Manager {
        program: "brew",
        install: &["install"],
        packages: &["qemu"],
        as_root: false,
    },
];

/// The emulator, installed first when it is missing and that is allowed.
pub fn qemu(no_install: bool, assume_yes: bool) -> Outcome<PathBuf> {
    if let Some(found) = tree::which(machine::QEMU) {
        return Ok(found);
    }
    let manager = MANAGERS.iter().find(|m| tree::which(m.program).is_some());
    let Some(manager) = manager else {
        return Err(Failure::missing(format!(
            "{} is missing and no known package manager is here; install QEMU for Arm by hand",
            machine::QEMU
        )));
    };
    let by_hand = format!(
        "{}{} install {}",
        if manager.as_root { "sudo " } else { "" },
        manager.program,
        manager.packages[0]
    );
    let missing = format!("{} is missing; install it with `{by_hand}`", machine::QEMU);
    if no_install {
        return Err(Failure::missing(format!(
            "{missing}, or leave out --no-install"
        )));
    }
    if !tell::may_install("QEMU", &by_hand, assume_yes) {
        return Err(Failure::missing(missing));
    }
    let installed = if manager.program == "apt-get" {
        apt_update();
        // Where the ROMs are a hard dependency, leaving them out makes the request impossible.
        apt_install(manager.packages) || apt_install(&manager.packages[..1])
    } else {
        let mut command = privileged(manager.program, manager.as_root);
        tree::succeeds(command.args(manager.install).args(manager.packages))
    };
    match tree::which(machine::QEMU) {
        Some(found) if installed => Ok(found),
        _ => Err(Failure::missing(format!(
            "installing QEMU failed; try `{by_hand}` by hand"
        ))),
    }
}

/// Names under which Chromium is installed.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Chromium, for the tests of the live page and its pictures. It is installed only through apt, by root
/// or on a build machine (`CI` set), since nothing else needs it; elsewhere a missing one is an error
/// that a test may turn into a skip.
pub fn chromium() -> Outcome<PathBuf> {
    let find = || CHROMIUM.iter().find_map(|name| tree::which(name));
    if let Some(found) = find() {
        return Ok(found);
    }
    let by_hand = "apt-get install chromium";
    if tell::is_ci()
        && tree::which("apt-get").is_some()
        && tell::may_install("Chromium", by_hand, true)
    {
        apt_update();
        apt_install(&["chromium"]);
    }
    find().ok_or_else(|| {
        Failure::missing(format!(
            "Chromium is missing; install the system's package, such as with `{by_hand}`"
        ))
    })
}

/// The debugger that the tests of `tools/gdb` use. With `install` a missing one is installed where apt is;
/// `None` where it is not.
pub fn gdb_multiarch(install: bool) -> Option<PathBuf> {
    if tree::which(GDB).is_none() && install && tree::which("apt-get").is_some() {
        apt_update();
        apt_install(&[GDB]);
    }
    tree::which(GDB)
}

/// The HTTP client that `bench net` loads the service with; installed through apt where that is.
pub fn wrk(no_install: bool) -> Outcome<PathBuf> {
    let by_hand = "apt-get install wrk iproute2";
    if tree::which(WRK).is_none()
        && !no_install
        && tree::which("apt-get").is_some()
        && tell::may_install(WRK, by_hand, false)
    {
        apt_update();
        apt_install(&[WRK, "iproute2"]);
    }
    tree::which(WRK).ok_or_else(|| {
        Failure::missing(format!(
            "{WRK} is missing; install the system's package, such as with `{by_hand}`"
        ))
    })
}

/// Refreshes apt's lists; a failure shows later, when a package is not found.
pub fn apt_update() {
    let mut command = privileged("apt-get", true);
    let _ = tree::succeeds(command.args(["update", "-q"]));
}

/// Installs packages with apt, without questions.
pub fn apt_install(packages: &[&str]) -> bool {
    let mut command = privileged("apt-get", true);
    tree::succeeds(command.args(MANAGERS[0].install).args(packages))
}

fn privileged(program: &str, as_root: bool) -> Command {
    let mut command = if as_root && !is_root() && tree::which("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        // sudo drops the environment; apt must not ask questions there either.
        sudo.args(["env", "DEBIAN_FRONTEND=noninteractive", program]);
        sudo
    } else {
        Command::new(program)
    };
    // stdout belongs to the guest's console and READY.
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(std::io::stderr());
    command
}

#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
pub(crate) fn is_root() -> bool {
    false
}
