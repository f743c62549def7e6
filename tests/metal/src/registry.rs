//! Test descriptors: what the image and the host harness agree on.
//!
//! Each [`ktest!`](crate::ktest) puts one [`Descriptor`] into the section `.ktests`; the linker
//! script gathers them between two symbols. Texts are stored in place, so that the host reads them
//! from the ELF without following pointers; the layout is documented and parsed in
//! `tests/qemu/src/catalogue.rs`, and fixed by the assertions here.
#![expect(unsafe_code, reason = "the linker gathers the descriptors")]

use core::mem::offset_of;

use kernel::thread::ThreadCx;

/// A test's body; it fails by panicking.
pub(crate) type Body = fn(&ThreadCx<'_>);

/// Wants exact virtual time (QEMU counts instructions).
const ICOUNT: u32 = 1;
/// Wants a network device and clients on the host; run by the network tests.
const NET: u32 = 2;
/// Wants eight cores in two clusters of two cores of two threads, each cluster a memory node.
const PARTED: u32 = 4;
/// Wants events and the latency anatomy, which some machines run without.
const SEEN: u32 = 8;

/// What a test needs from the machine and the harness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    cpus: u32,
    timeout_s: u32,
    flags: u32,
    bootargs: &'static str,
    dies: &'static str,
}

impl Needs {
    /// One core, thirty seconds, nothing special.
    pub(crate) const fn new() -> Self {
        Self {
            cpus: 1,
            timeout_s: 30,
            flags: 0,
            bootargs: "",
            dies: "",
        }
    }

    /// At least `n` cores.
    pub(crate) const fn cpus(mut self, n: u32) -> Self {
        self.cpus = n;
        self
    }

    /// At most `n` seconds of the host's time.
    pub(crate) const fn timeout(mut self, n: u32) -> Self {
        self.timeout_s = n;
        self
    }

    /// Virtual time that counts instructions.
    pub(crate) const fn icount(mut self) -> Self {
        self.flags |= ICOUNT;
        self
    }

    /// A network device and clients.
    pub(crate) const fn net(mut self) -> Self {
        self.flags |= NET;
        self
    }

    /// Eight cores that share caches and memory nodes unevenly.
    pub(crate) const fn parted(mut self) -> Self {
        self.flags |= PARTED;
        self.cpus(8)
    }

    /// Events and the latency anatomy, as they are by default.
    pub(crate) const fn seen(mut self) -> Self {
        self.flags |= SEEN;
        self
    }

    /// Boot arguments.
    pub(crate) const fn bootargs(mut self, text: &'static str) -> Self {
        self.bootargs = text;
        self
    }

    /// The test must end in a panic that says `text`.
    pub(crate) const fn dies(mut self, text: &'static str) -> Self {
        self.dies = text;
        self
    }
}

/// One test, as it stands in the image.
#[repr(C)]
pub(crate) struct Descriptor {
    run: Body,
    cpus: u32,
    timeout_s: u32,
    flags: u32,
    zero: u32,
    name: [u8; 56],
    bootargs: [u8; 64],
    dies: [u8; 64],
}

const _: () = {
    assert!(size_of::<Descriptor>() == 208);
    assert!(offset_of!(Descriptor, name) == 24);
    assert!(offset_of!(Descriptor, dies) == 144);
};

impl Descriptor {
    /// A descriptor; too long a text fails to compile.
    pub(crate) const fn new(name: &str, run: Body, needs: Needs) -> Self {
        Self {
            run,
            cpus: needs.cpus,
            timeout_s: needs.timeout_s,
            flags: needs.flags,
            zero: 0,
            name: filled(name),
            bootargs: filled(needs.bootargs),
            dies: filled(needs.dies),
        }
    }

    /// The test's name.
    pub(crate) fn name(&self) -> &str {
        text(&self.name)
    }

    /// The test's body.
    pub(crate) const fn body(&self) -> Body {
        self.run
    }

    /// Whether the test runs on any machine and comes back: it neither must end in a panic nor
    /// needs exact time.
    pub(crate) const fn is_ordinary(&self) -> bool {
        self.dies[0] == 0 && self.flags & (ICOUNT | NET | PARTED) == 0
    }
}

const fn filled<const N: usize>(text: &str) -> [u8; N] {
    let (from, mut to, mut i) = (text.as_bytes(), [0; N], 0);
    assert!(from.len() <= N, "too long for its field in the descriptor");
    while i < from.len() {
        to[i] = from[i];
        i += 1;
    }
    to
}

fn text(field: &[u8]) -> &str {
    let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
    core::str::from_utf8(&field[..end]).unwrap_or("?")
}

/// All tests of the image, in the order the host counts them.
pub(crate) fn all() -> &'static [Descriptor] {
    unsafe extern "C" {
        #[link_name = "__ktests_start"]
        static START: [u8; 0];
        #[link_name = "__ktests_end"]
        static END: [u8; 0];
    }
    let (start, end) = (&raw const START, &raw const END);
    let count = (end.addr() - start.addr()) / size_of::<Descriptor>();
    // SAFETY: the linker script puts exactly the `.ktests` sections, which hold descriptors only,
    // between the two symbols; nothing writes them.
    unsafe { core::slice::from_raw_parts(start.cast::<Descriptor>(), count) }
}

/// Registers a test: `ktest!("20_name", function)` or `ktest!("20_name", function, needs)`.
#[macro_export]
macro_rules! ktest {
    ($name:literal, $run:path) => {
        $crate::ktest!($name, $run, $crate::registry::Needs::new());
    };
    ($name:literal, $run:path, $needs:expr) => {
        const _: () = {
            use $crate::registry::Descriptor;
            #[expect(
                unsafe_code,
                reason = "the descriptor goes to the section of descriptors"
            )]
            #[used]
            #[unsafe(link_section = ".ktests")]
            static TEST: Descriptor = Descriptor::new($name, $run, $needs);
        };
    };
}
