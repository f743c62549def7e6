use std::collections::VecDeque;
use std::vec::Vec;

use machine::{Finish, NetTx, TxFull};

use super::{CUT, MOST, SLOT, SLOTS, Transmitter, header};
use crate::virtqueue::fake::{Device, pair};

fn transmitter(cuts: bool) -> (Transmitter, Device) {
    let (queue, device) = pair(1);
    (Transmitter::new(queue, cuts).expect("memory"), device)
}

fn send(transmitter: &mut Transmitter, seed: u8, len: usize) -> Result<(), TxFull> {
    let room = transmitter.transmit(len, &mut |frame| {
        assert_eq!(frame.len(), len);
        frame.fill(seed);
        Finish::Nothing
    })?;
    assert!(!room || transmitter.has_room(), "it said so");
    Ok(())
}

/// Frames of many sizes against a device that finishes in an order of its own: each arrives whole,
/// none is written to before the device is done with it, and all slots come back.
#[test]
fn no_frame_overwrites_another() {
    let (mut transmitter, mut device) = transmitter(true);
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut with_device: Vec<(_, u8, usize)> = Vec::new();
    let mut expected = VecDeque::new();
    for n in 0..20_000u32 {
        let len = match next(3) {
            0 => 60,
            1 => 1514,
            _ => next(CUT as u64 - 60) as usize + 60,
        };
        let had_room = transmitter.has_room();
        let sent = send(&mut transmitter, n as u8, len);
        assert!(sent.is_ok() || !had_room, "there was room for the largest");
        if sent.is_ok() {
            expected.push_back((n as u8, len));
        }
        transmitter.flush();
        if next(4) == 0 {
            while let Some(taken) = device.take() {
                let (seed, len) = expected.pop_front().expect("sent");
                with_device.push((taken, seed, len));
            }
        }
        while with_device.len() > next(12) as usize {
            let any = next(with_device.len() as u64) as usize;
            let (taken, seed, len) = with_device.swap_remove(any);
            let bytes = device.read(taken);
            assert_eq!(bytes.len(), header::BYTES + len);
            assert!(bytes[header::BYTES..].iter().all(|&b| b == seed));
            device.give_back(taken, 0);
            device.publish();
        }
    }
    while let Some(taken) = device.take() {
        device.give_back(taken, 0);
    }
    with_device
        .iter()
        .for_each(|(taken, ..)| device.give_back(*taken, 0));
    device.publish();
    transmitter.reap();
    assert_eq!(transmitter.free, SLOTS);
}

#[test]
fn a_full_ring_asks_for_an_interrupt() {
    let (mut transmitter, mut device) = transmitter(false);
    for _ in 0..SLOTS {
        assert!(transmitter.has_room());
        assert_eq!(send(&mut transmitter, 1, 1514), Ok(()));
    }
    assert!(!device.may_interrupt());
    assert_eq!(send(&mut transmitter, 1, 60), Err(TxFull));
    assert!(device.may_interrupt());
    assert_eq!(device.notified(), Some(1));
    let first = device.take().expect("sent");
    device.give_back(first, 0);
    device.publish();
    transmitter.stop_waiting();
    assert!(!device.may_interrupt());
    assert!(transmitter.has_room());
    assert_eq!(send(&mut transmitter, 1, 60), Ok(()));
    assert!(!transmitter.has_room());
}

#[test]
fn room_for_the_largest_is_in_one_piece() {
    let (mut transmitter, mut device) = transmitter(true);
    // All but a few slots at the memory's end are sent and done.
    for _ in 0..SLOTS - 3 {
        assert_eq!(send(&mut transmitter, 0, 60), Ok(()));
        let taken = device.take().expect("sent");
        device.give_back(taken, 0);
        device.publish();
    }
    assert_eq!(send(&mut transmitter, 7, CUT), Ok(()));
    let taken = device.take().expect("sent");
    assert_eq!(taken.descriptor, 0, "it begins where it fits");
    assert_eq!(taken.len, MOST * SLOT);
    device.give_back(taken, 0);
    device.publish();
    transmitter.reap();
    assert_eq!(transmitter.free, SLOTS);
}

#[test]
#[should_panic(expected = "virtio-net: frame of 1515 bytes")]
fn nothing_larger_than_the_wire_goes_uncut() {
    let (mut transmitter, _device) = transmitter(false);
    let _ = send(&mut transmitter, 0, 1515);
}
