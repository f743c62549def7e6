//! Which machine runs which tests, in how many boots.
//!
//! Every ordinary test runs on 1, 2, 4 and 8 cores, with GICv2, and entered at EL2; a test that
//! measures exact time runs where QEMU counts instructions instead, and one that is about how the
//! cores lie to each other on a machine with clusters, threads and memory nodes. Tests that need the
//! same boot arguments share a boot; a test that must end in a panic has one of its own. Work items that nobody looks at have
//! ways of their own: two machines run without events and anatomy what does not ask for them.

use xtask::options::{Net, Options};

use crate::catalogue::KernelTest;

/// A machine the tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Part of the test's name.
    pub name: &'static str,
    smp: u32,
    gic: u8,
    el2: bool,
    icount: bool,
    /// Two clusters of two cores of two threads, each cluster a memory node.
    parted: bool,
    /// Nobody looks at work items: neither events nor the latency anatomy, so that they take the ways they have then.
    unseen: bool,
}

/// All machines, in the order in which they run.
pub const VARIANTS: [Variant; 11] = [
    Variant {
        name: "smp4",
        smp: 4,
        gic: 3,
        el2: false,
        icount: false,
        parted: false,
        unseen: false,
    },
    Variant {
        name: "smp1",
        smp: 1,
        gic: 3,
        el2: false,
        icount: false,
        parted: false,
        unseen: false,
    },
    Variant {
        name: "smp2",
        smp: 2,
        gic: 3,
        el2: false,
        icount: false,
        parted: false,
        unseen: false,
    },
    Variant {
        name: "smp8",
        smp: 8,
        gic: 3,
        el2: false,
        icount: false,
        parted: false,
        unseen: false,
    },
    Variant {
        name: "gic2",
        smp: 4,
        gic: 2,
        el2: false,
        icount: false,
        parted: false,
        unseen: false,
    },
    Variant {
        name: "el2",
        smp: 2,
        gic: 3,
        el2: true,
        icount: false,
        parted: false,
        unseen: false,
    },
    Variant {
        name: "icount1",
        smp: 1,
        gic: 3,
        el2: false,
        icount: true,
        parted: false,
        unseen: false,
    },
    Variant {
        name: "icount4",
        smp: 4,
        gic: 3,
        el2: false,
        icount: true,
        parted: false,
        unseen: false,
    },
    Variant {
        name: "parted8",
        smp: 8,
        gic: 3,
        el2: false,
        icount: false,
        parted: true,
        unseen: false,
    },
    Variant {
        name: "unseen4",
        smp: 4,
        gic: 3,
        el2: false,
        icount: false,
        parted: false,
        unseen: true,
    },
    Variant {
        name: "unseen1",
        smp: 1,
        gic: 3,
        el2: false,
        icount: true,
        parted: false,
        unseen: true,
    },
];

impl Variant {
    /// Whether this machine can and should run a test. Exact time is measured on the smallest
    /// machine that has the cores: QEMU 7.2 runs the cores in turn when it counts instructions, and
    /// a core that spins through its turn starves one that waits for a broadcast (`tlbi …is`).
    pub fn runs(&self, test: &KernelTest) -> bool {
        let enough = self.smp >= test.cpus;
        let smallest = !self.icount || self.smp == 1 || test.cpus > 1;
        let kind = self.icount == test.icount && self.parted == test.parted;
        let sight = !self.unseen || !test.seen && test.dies.is_none();
        enough && smallest && kind && sight && !test.net
    }

    /// The QEMU options for a boot with these boot arguments.
    pub fn options(&self, append: String) -> Options {
        Options {
            smp: self.smp,
            topology: if self.parted {
                "sockets=1,clusters=2,cores=2,threads=2".to_owned()
            } else {
                String::new()
            },
            numa: if self.parted { 2 } else { 1 },
            gic: self.gic,
            el2: self.el2,
            icount: self.icount,
            net: Net::None,
            append: if self.unseen {
                format!("{append} unseen=on")
            } else {
                append
            },
            yes: true,
            ..Options::default()
        }
    }
}

/// Divides the tests of one machine into boots.
pub fn boots(tests: Vec<KernelTest>) -> Vec<Vec<KernelTest>> {
    let mut boots: Vec<Vec<KernelTest>> = Vec::new();
    for test in tests {
        let shared = |boot: &&mut Vec<KernelTest>| {
            boot[0].bootargs == test.bootargs && boot[0].dies.is_none() && test.dies.is_none()
        };
        match boots.iter_mut().find(shared) {
            Some(boot) => boot.push(test),
            None => boots.push(vec![test]),
        }
    }
    boots
}

/// The boot argument that makes the guest run these tests in this order.
pub fn selection(tests: &[KernelTest]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for test in tests {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == test.index => *last = test.index,
            _ => ranges.push((test.index, test.index)),
        }
    }
    let word = |&(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let list: Vec<String> = ranges.iter().map(word).collect();
    format!("tests={}", list.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(index: usize, bootargs: &str, dies: bool) -> KernelTest {
        KernelTest {
            index,
            name: format!("{index:02}_test"),
            cpus: 1,
            timeout_s: 10,
            icount: false,
            net: false,
            parted: false,
            seen: false,
            bootargs: bootargs.to_owned(),
            dies: dies.then(|| "dead".to_owned()),
        }
    }

    #[test]
    fn selection_uses_ranges_and_keeps_the_order() {
        let tests: Vec<_> = [4, 5, 6, 1, 8, 9].map(|i| test(i, "", false)).into();
        assert_eq!(selection(&tests), "tests=4-6,1,8-9");
    }

    #[test]
    fn boots_are_shared_by_equal_arguments_but_never_with_a_dying_test() {
        let tests = vec![
            test(0, "", false),
            test(1, "", true),
            test(2, "a", false),
            test(3, "", false),
        ];
        let boots = boots(tests);
        let indices: Vec<Vec<usize>> = boots
            .iter()
            .map(|b| b.iter().map(|t| t.index).collect())
            .collect();
        assert_eq!(indices, [vec![0, 3], vec![1], vec![2]]);
    }

    #[test]
    fn exact_tests_run_only_where_instructions_are_counted() {
        let mut exact = test(0, "", false);
        exact.icount = true;
        exact.cpus = 2;
        let names: Vec<_> = VARIANTS
            .iter()
            .filter(|v| v.runs(&exact))
            .map(|v| v.name)
            .collect();
        assert_eq!(names, ["icount4"]);
        exact.cpus = 1;
        let names: Vec<_> = VARIANTS
            .iter()
            .filter(|v| v.runs(&exact))
            .map(|v| v.name)
            .collect();
        assert_eq!(names, ["icount1", "unseen1"]);
        exact.seen = true;
        assert!(!VARIANTS[10].runs(&exact), "nobody looks there");
    }
}
