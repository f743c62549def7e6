//! Random numbers no client can guess.
//!
//! A keyed pseudo-random function (SipHash-2-4) over a counter and the clock. The key is mixed from
//! whatever the board offers: the boot loader's seed, a virtio entropy device, timings. Where the
//! core has `RNDR`, its output is mixed in on every call. Reading is lock-free: two loads and a
//! counter; mixing is rare and happens at boot.
#![expect(unsafe_code, reason = "RNDR and a link-time symbol of the seam")]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::registers::{ID_AA64ISAR0_EL1, Readable};

use crate::clock;

static KEY: [AtomicU64; 2] = [
    AtomicU64::new(0x243f_6a88_85a3_08d3),
    AtomicU64::new(0x1319_8a2e_0370_7344),
];
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Mixes `bytes` into the key. Never makes the state easier to guess.
pub fn add(bytes: &[u8]) {
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(word);
        let low = siphash([word, clock::ticks()]);
        let high = siphash([low, word.rotate_left(32)]);
        KEY[0].fetch_xor(low, Ordering::Relaxed);
        KEY[1].fetch_xor(high, Ordering::Relaxed);
    }
}

/// Definition of the seam's `entropy`.
#[unsafe(no_mangle)]
pub(crate) fn rt_entropy() -> u64 {
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let fresh = hardware().unwrap_or(0);
    siphash([n, clock::ticks() ^ fresh])
}

/// One word of `RNDR` (Arm ARM C5.2.22), when the core has it and it is ready.
fn hardware() -> Option<u64> {
    if ID_AA64ISAR0_EL1.read(ID_AA64ISAR0_EL1::RNDR) == 0 {
        return None;
    }
    let (value, failed): (u64, u64);
    // SAFETY: the register exists; failure is reported in the flags, which the block declares.
    unsafe {
        asm!("mrs {}, s3_3_c2_c4_0", "cset {}, eq", out(reg) value, out(reg) failed,
            options(nomem, nostack));
    }
    (failed == 0).then_some(value)
}

/// SipHash-2-4 of two words under the current key.
fn siphash(message: [u64; 2]) -> u64 {
    let (k0, k1) = (
        KEY[0].load(Ordering::Relaxed),
        KEY[1].load(Ordering::Relaxed),
    );
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    // The last block holds the length, 16, in its top byte.
    for m in [message[0], message[1], 16 << 56] {
        v[3] ^= m;
        sip_round(&mut v);
        sip_round(&mut v);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    for _ in 0..4 {
        sip_round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn sip_round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}
