//! A core's mailbox: bits posted by others, and the calls behind one of them.

use loom::thread;
use model_tests::atomic::{AtomicU32, Ordering};
use model_tests::shipped::handshake::Mail;
use model_tests::shipped::spin_lock::SpinLock;
use model_tests::{Weak, breaks, holds, made};
use std::sync::Arc;

use crate::bell::{Bell, locked};

#[derive(Debug)]
struct Mailbox {
    bits: Mail,
    ipi: Bell,
    calls: SpinLock<u32>,
    stores: [AtomicU32; 2],
}

impl Mailbox {
    fn new() -> Arc<Self> {
        made(Self {
            bits: Mail::new(),
            ipi: Bell::new(),
            calls: locked(0),
            stores: [AtomicU32::new(0), AtomicU32::new(0)],
        })
    }

    fn post(&self, bits: u32) {
        if self.bits.post(bits) {
            self.ipi.ring();
        }
    }
}

/// Two cores raise the same softirq, each after a store of its own. The receiver must see both, in
/// one interrupt or in two.
fn raised() {
    let mailbox = Mailbox::new();
    let senders = [0, 1].map(|i| {
        let mailbox = mailbox.clone();
        thread::spawn(move || {
            mailbox.stores[i].store(1, Ordering::Relaxed);
            mailbox.post(1);
        })
    });
    let mut seen = [false; 2];
    while seen != [true; 2] {
        mailbox.ipi.wait();
        if mailbox.bits.take() & 1 != 0 {
            for (seen, store) in seen.iter_mut().zip(&mailbox.stores) {
                *seen |= store.load(Ordering::Relaxed) == 1;
            }
        }
    }
    for sender in senders {
        sender.join().expect("ends");
    }
}

#[test]
fn a_posted_bit_brings_its_senders_stores() {
    holds(raised);
    breaks(Weak::Release, raised);
    breaks(Weak::Acquire, raised);
    breaks(Weak::Update, raised);
    breaks(Weak::Skip, raised);
}

/// `call_on` from two cores beside a softirq: every call runs.
fn called() {
    const CALL: u32 = 2;
    let mailbox = Mailbox::new();
    let caller = {
        let mailbox = mailbox.clone();
        thread::spawn(move || {
            *mailbox.calls.lock() += 1;
            mailbox.post(CALL);
        })
    };
    let raiser = {
        let mailbox = mailbox.clone();
        thread::spawn(move || mailbox.post(1))
    };
    let (mut ran, mut raised) = (false, false);
    while !(ran && raised) {
        mailbox.ipi.wait();
        let bits = mailbox.bits.take();
        raised |= bits & 1 != 0;
        if bits & CALL != 0 {
            ran |= std::mem::take(&mut *mailbox.calls.lock()) == 1;
        }
    }
    caller.join().expect("ends");
    raiser.join().expect("ends");
}

#[test]
fn a_call_is_not_lost_among_other_mail() {
    holds(called);
    breaks(Weak::Update, called);
}
