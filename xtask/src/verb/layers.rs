//! `layers`: checks that dependencies between the workspace's packages only point down.
//!
//! Each manifest says `[package.metadata.kernel] layer = N`. An edge must go to a strictly lower
//! layer, so packages of one layer never know each other; the executive, not `arch` or a driver,
//! joins them. Two rules are narrower than the numbers: the executive does not depend on `arch` or
//! drivers (it reaches them through the machine seam), and the policies see values only. Tests and
//! this tool stand outside the tower: nothing in it may depend on them.
//!
//! Development dependencies are free: they never reach an image.

use serde_json::Value;

use crate::{Failure, Outcome, tree};

/// Layer of tests and tools.
const OUTSIDE: u64 = 6;
const POLICIES: [&str; 4] = ["sched", "timer", "workqueue", "netsvc"];
const POLICIES_USE: [&str; 3] = ["machine", "links", "workword"];
const EXECUTIVE: &str = "kernel";
const EXECUTIVE_AVOIDS: [&str; 2] = ["arch-aarch64", "drivers"];
const NAMES: [&str; 7] = [
    "machine seam",
    "mechanisms",
    "policies, drivers, arch",
    "executive",
    "services, examples",
    "boards",
    "tests and tools",
];

struct Package {
    name: String,
    layer: Option<u64>,
    uses: Vec<String>,
}

/// Prints the diagram; fails on a wrong edge.
pub fn run() -> Outcome<u8> {
    let packages = packages(tree::metadata()?);
    let wrong = violations(&packages);
    print!("{}", diagram(&packages));
    if wrong.is_empty() {
        return Ok(0);
    }
    Err(Failure::failed(format!(
        "layers:\n  {}",
        wrong.join("\n  ")
    )))
}

fn packages(metadata: &Value) -> Vec<Package> {
    let empty = Vec::new();
    let list = |value: &Value| value.as_array().unwrap_or(&empty).clone();
    let all = list(&metadata["packages"]);
    let names: Vec<&str> = all.iter().filter_map(|p| p["name"].as_str()).collect();
    let uses = |package: &Value| {
        let own = |d: &Value| {
            let name = d["name"].as_str()?;
            let inside = names.contains(&name) && !d["path"].is_null();
            (inside && d["kind"] != "dev").then(|| name.to_owned())
        };
        list(&package["dependencies"])
            .iter()
            .filter_map(own)
            .collect()
    };
    all.iter()
        .map(|p| Package {
            name: p["name"].as_str().unwrap_or_default().to_owned(),
            layer: p["metadata"]["kernel"]["layer"].as_u64(),
            uses: uses(p),
        })
        .collect()
}

fn violations(packages: &[Package]) -> Vec<String> {
    let layer_of = |name: &str| {
        packages
            .iter()
            .find(|p| p.name == name)
            .and_then(|p| p.layer)
    };
    let mut wrong = Vec::new();
    for package in packages {
        let name = &package.name;
        let Some(layer) = package.layer.filter(|&l| l <= OUTSIDE) else {
            wrong.push(format!("{name}: its manifest names no layer 0-{OUTSIDE}"));
            continue;
        };
        for used in &package.uses {
            let Some(below) = layer_of(used) else {
                continue;
            };
            if below >= layer && !(layer == OUTSIDE && below == OUTSIDE) {
                wrong.push(format!(
                    "{name} (L{layer}) must not depend on {used} (L{below})"
                ));
            }
            if name == EXECUTIVE && EXECUTIVE_AVOIDS.contains(&used.as_str()) {
                wrong.push(format!(
                    "{name} reaches {used} through the machine seam only"
                ));
            }
            if POLICIES.contains(&name.as_str()) && !POLICIES_USE.contains(&used.as_str()) {
                wrong.push(format!("policy {name} must not depend on {used}"));
            }
        }
    }
    wrong
}

fn diagram(packages: &[Package]) -> String {
    let mut text = String::new();
    for layer in (0..=OUTSIDE).rev() {
        let mut names: Vec<&str> = packages
            .iter()
            .filter(|p| p.layer == Some(layer))
            .map(|p| p.name.as_str())
            .collect();
        names.sort_unstable();
        let title = usize::try_from(layer)
            .ok()
            .and_then(|l| NAMES.get(l))
            .unwrap_or(&"");
        text.push_str(&format!("L{layer}  {title:<24} {}\n", names.join("  ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(edges: &[(&str, u64, &[&str])]) -> Vec<String> {
        let package = |&(name, layer, uses): &(&str, u64, &[&str])| Package {
            name: name.to_owned(),
            layer: Some(layer),
            uses: uses.iter().map(|&u| u.to_owned()).collect(),
        };
        violations(&edges.iter().map(package).collect::<Vec<_>>())
    }

    #[test]
    fn down_is_allowed_up_and_sideways_are_not() {
        let machine: (&str, u64, &[&str]) = ("machine", 0, &[]);
        assert!(wrong(&[machine, ("sync", 1, &["machine"])]).is_empty());
        assert_eq!(
            wrong(&[("machine", 0, &["sync"]), ("sync", 1, &[])]).len(),
            1
        );
        assert_eq!(wrong(&[("a", 2, &["b"]), ("b", 2, &[])]).len(), 1);
    }

    #[test]
    fn tests_may_use_tools_but_the_tower_may_not() {
        let xtask: (&str, u64, &[&str]) = ("xtask", 6, &[]);
        assert!(wrong(&[xtask, ("qemu-tests", 6, &["xtask"])]).is_empty());
        assert_eq!(wrong(&[xtask, ("kernel", 3, &["xtask"])]).len(), 1);
    }

    #[test]
    fn the_narrow_rules_hold_although_the_numbers_would_allow_it() {
        assert_eq!(
            wrong(&[("kernel", 3, &["drivers"]), ("drivers", 2, &[])]).len(),
            1
        );
        assert_eq!(wrong(&[("sched", 2, &["sync"]), ("sync", 1, &[])]).len(), 1);
        assert!(wrong(&[("sched", 2, &["links"]), ("links", 1, &[])]).is_empty());
    }

    #[test]
    fn this_workspace_is_in_order() {
        let packages = packages(tree::metadata().unwrap());
        assert!(packages.len() > 10);
        assert_eq!(violations(&packages), Vec::<String>::new());
    }
}
