//! The second source of a bare-metal compiler: Debian's own Rust packages.
//!
//! Where rustup's server cannot be reached but a Debian mirror can, `rustc-web` (a current
//! compiler) and `rust-web-src` (the library's source) build `core` and `alloc` for the target with
//! cargo's `-Zbuild-std`. That option is not stable, hence `RUSTC_BOOTSTRAP=1`; it is set here and
//! only here, and the kernel's own code uses nothing unstable.
//!
//! The compiler is Debian's, cargo and the linker `rust-lld` are the ones at hand: Debian's
//! `rustc-web` brings no `rust-lld`, so the rustup toolchain's is used, or the package `lld`'s.
//! This route compiles the library once per target directory, about 40 s.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::toolchain::Toolchain;
use crate::{Failure, Outcome, packages, tell, toolchain, tree};

const PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// The toolchain, when its packages are installed and complete.
pub fn find() -> Option<Toolchain> {
    let (rustc, _) = compiler_with_source()?;
    let linker = linker()?;
    let pairs = [
        ("RUSTC", rustc.as_os_str()),
        ("RUSTC_BOOTSTRAP", "1".as_ref()),
        (
            "CARGO_TARGET_AARCH64_UNKNOWN_NONE_LINKER",
            linker.as_os_str(),
        ),
    ];
    Some(Toolchain {
        variables: pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect(),
        arguments: [
            "-Zbuild-std=core,alloc,compiler_builtins",
            "-Zbuild-std-features=compiler-builtins-mem",
        ]
        .iter()
        .map(Into::into)
        .collect(),
    })
}

/// Installs the packages; `None` when this system is no Debian or has no such packages.
pub fn install(assume_yes: bool) -> Option<Outcome<Toolchain>> {
    tree::which("apt-get")?;
    let known = |package: &str| {
        let mut show = Command::new("apt-cache");
        show.args(["show", package])
            .output()
            .is_ok_and(|o| o.status.success())
    };
    if !PACKAGES.iter().all(|package| known(package)) {
        packages::apt_update();
        if !PACKAGES.iter().all(|package| known(package)) {
            return None;
        }
    }
    let mut wanted: Vec<&str> = PACKAGES.to_vec();
    if linker().is_none() {
        wanted.push("lld");
    }
    let what = "a Rust compiler for the bare-metal target";
    if !tell::may_install(
        what,
        &format!("apt-get install {}", wanted.join(" ")),
        assume_yes,
    ) {
        return Some(Err(Failure::missing(format!(
            "{what} is missing; install the packages {wanted:?}"
        ))));
    }
    if !packages::apt_install(&wanted) {
        return Some(Err(Failure::missing(format!(
            "apt-get could not install {}; install them by hand or check the network",
            wanted.join(" ")
        ))));
    }
    Some(find().ok_or_else(|| {
        Failure::missing(format!(
            "{} are installed but hold no compiler with its library source",
            wanted.join(" ")
        ))
    }))
}

/// Debian's compiler and the library source that belongs to it.
fn compiler_with_source() -> Option<(PathBuf, PathBuf)> {
    let files = Command::new("dpkg-query")
        .args(["--listfiles", PACKAGES[0]])
        .output()
        .ok()?;
    let listing = String::from_utf8(files.stdout).ok()?;
    let rustc = listing
        .lines()
        .map(Path::new)
        .find(|file| file.file_name().is_some_and(|n| n == "rustc") && file.is_file())?;
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let source = sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs");
    source.is_file().then(|| (rustc.to_owned(), source))
}

/// A linker for bare-metal ELF files.
fn linker() -> Option<PathBuf> {
    let bundled = toolchain::sysroot()
        .zip(toolchain::host_triple())
        .map(|(sysroot, host)| {
            sysroot
                .join("lib/rustlib")
                .join(host)
                .join("bin")
                .join("rust-lld")
        });
    bundled
        .filter(|file| file.is_file())
        .or_else(|| tree::which("ld.lld"))
}
