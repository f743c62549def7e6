//! A network of its own for a guest and its clients: a namespace with nothing in it but a tap interface.
//!
//! The tool starts itself anew inside it, and QEMU and the clients inherit it; it goes when the last of them ends. Nothing
//! of the host's network is seen or changed, and no rights are needed where user namespaces are allowed.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};

use crate::packages::is_root;
use crate::{Failure, Outcome};

/// The tap interface, which exists only inside.
pub const TAP: &str = "rt0";
/// The guest's address.
pub const GUEST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
/// The boot argument that gives the guest this address.
pub const BOOT_ARGUMENT: &str = "ip=10.77.0.2/24,10.77.0.1";
/// The host's end.
const HOST: &str = "10.77.0.1/24";
/// Tells the inner process that it is inside.
const INSIDE: &str = "ROUNDTABLE_LAB";

/// Whether this process runs inside.
#[must_use]
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Whether a namespace with a tap interface can be made, or why not.
///
/// # Errors
///
/// What the attempt said.
pub fn possible() -> Result<(), String> {
    let output = unshare()
        .args(["ip", "tuntap", "add", "dev", TAP, "mode", "tap"])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot start unshare: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.trim().to_owned())
}

/// Becomes this program with `words`, inside. It is the same process, so that whoever ends it ends all.
#[cfg(unix)]
pub fn again(words: &[String]) -> Outcome<u8> {
    use std::os::unix::process::CommandExt;
    let program = std::env::current_exe()
        .map_err(|e| Failure::failed(format!("cannot find this program: {e}")))?;
    let why = unshare().arg(program).args(words).env(INSIDE, "1").exec();
    Err(Failure::missing(format!("cannot start unshare: {why}")))
}

/// There are no such namespaces here.
#[cfg(not(unix))]
pub fn again(_words: &[String]) -> Outcome<u8> {
    Err(Failure::missing("network namespaces are Linux's"))
}

/// Sets the interfaces up; called inside, where there is nothing but a loopback interface.
pub fn set_up() -> Outcome<()> {
    let there = ip("-o link show")?;
    if there.lines().any(|line| !line.contains(": lo:")) {
        return Err(Failure::usage(format!(
            "this is no empty network namespace; take {INSIDE} out of the environment"
        )));
    }
    for words in [
        "link set lo up".to_owned(),
        format!("tuntap add dev {TAP} mode tap"),
        format!("addr add {HOST} dev {TAP}"),
        format!("link set {TAP} up"),
    ] {
        ip(&words)?;
    }
    Ok(())
}

/// What `ip` with these words says.
fn ip(words: &str) -> Outcome<String> {
    let output = Command::new("ip")
        .args(words.split(' '))
        .output()
        .map_err(|e| Failure::missing(format!("cannot start ip: {e}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::failed(format!("ip {words}: {}", said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_is_told_its_own_address_and_the_hosts() {
        let (host, _) = HOST.split_once('/').expect("a prefix");
        assert_eq!(BOOT_ARGUMENT, format!("ip={GUEST}/24,{host}"));
    }
}
