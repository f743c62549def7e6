use std::vec::Vec;

use machine::NetRx;

use super::{BUFFER, Receiver, header};
use crate::virtqueue::fake::{Device, Taken, pair};

/// A frame with its header, as the device writes it.
fn packet(flags: u8, buffers: u16, frame: &[u8]) -> Vec<u8> {
    let mut bytes = std::vec![flags, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&buffers.to_le_bytes());
    bytes.extend_from_slice(frame);
    bytes
}

fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|n| ((n * 31) ^ (n >> 8) ^ seed) as u8)
        .collect()
}

fn count(frame: &[u8]) -> usize {
    (header::BYTES + frame.len()).div_ceil(BUFFER)
}

/// Writes a frame into buffers that the device has taken, and returns them in the order of `order`.
fn fill(device: &mut Device, taken: &[Taken], flags: u8, frame: &[u8]) {
    let bytes = packet(flags, taken.len() as u16, frame);
    for (buffer, part) in taken.iter().zip(bytes.chunks(BUFFER)) {
        device.write(*buffer, part);
        device.give_back(*buffer, part.len());
    }
    device.publish();
}

fn arrive(device: &mut Device, flags: u8, frame: &[u8]) {
    let taken: Vec<_> = (0..count(frame)).filter_map(|_| device.take()).collect();
    fill(device, &taken, flags, frame);
}

fn next(receiver: &mut Receiver) -> Option<(Vec<u8>, bool)> {
    let mut seen = None;
    let taken = receiver.receive(&mut |r| seen = Some((r.bytes.to_vec(), r.vouched)));
    assert_eq!(taken, seen.is_some());
    seen
}

fn receiver(merges: bool) -> (Receiver, Device) {
    let (queue, device) = pair(0);
    (Receiver::new(queue, merges, true).expect("memory"), device)
}

#[test]
fn frames_of_every_kind_go_around_the_ring() {
    let (mut receiver, mut device) = receiver(true);
    // Lengths that end before, at and behind a buffer's end; the ring's end is met at many places.
    let lengths = [60, 1514, 4083, 4084, 4085, 8180, 8181, 9000, 30_000, 65_549];
    for n in 0..400 {
        let frame = pattern(n, lengths[n % lengths.len()]);
        assert!(!receiver.is_waiting());
        arrive(&mut device, (n % 3) as u8, &frame);
        assert!(receiver.is_waiting());
        let (bytes, vouched) = next(&mut receiver).expect("waits");
        assert!(bytes == frame, "frame {n} of {} bytes", frame.len());
        assert_eq!(vouched, n % 3 != 0);
    }
    assert_eq!(next(&mut receiver), None);
}

#[test]
fn buffers_used_out_of_order_are_put_together() {
    let (mut receiver, mut device) = receiver(true);
    for n in 0..50 {
        let frames = [
            pattern(n, 9000),
            pattern(n + 1, 700),
            pattern(n + 2, 18_000),
        ];
        let mut taken: Vec<_> = (0..9).filter_map(|_| device.take()).collect();
        // A device without VIRTIO_F_IN_ORDER may do this.
        taken.swap(0, 7);
        taken.swap(2, 4);
        let mut rest = &taken[..];
        for frame in &frames {
            let (mine, others) = rest.split_at(count(frame));
            fill(&mut device, mine, 1, frame);
            rest = others;
        }
        for frame in &frames {
            assert!(next(&mut receiver).expect("waits").0 == *frame);
        }
    }
}

#[test]
fn a_frame_whose_end_is_missing_waits() {
    let (mut receiver, mut device) = receiver(true);
    let frame = pattern(1, 9000);
    let bytes = packet(1, 3, &frame);
    let taken: Vec<_> = (0..3).filter_map(|_| device.take()).collect();
    for (n, (buffer, part)) in taken.iter().zip(bytes.chunks(BUFFER)).enumerate() {
        assert_eq!(next(&mut receiver), None, "{n} of 3 buffers");
        device.write(*buffer, part);
        device.give_back(*buffer, part.len());
        device.publish();
    }
    assert!(next(&mut receiver).expect("all there").0 == frame);
}

#[test]
fn without_merging_a_frame_is_a_buffer() {
    let (mut receiver, mut device) = receiver(false);
    for n in 0..300 {
        let frame = pattern(n, 1514);
        let taken = device.take().expect("posted again");
        // The field means nothing then.
        device.write(taken, &packet(0, 77, &frame));
        device.give_back(taken, header::BYTES + frame.len());
        device.publish();
        assert!(next(&mut receiver).expect("waits").0 == frame);
    }
}

#[test]
fn nonsense_is_dropped_and_the_next_frame_is_not() {
    let (mut receiver, mut device) = receiver(true);
    // Shorter than its header, without buffers, longer than its buffer, larger than any frame.
    let short = device.take().expect("posted");
    device.give_back(short, 3);
    let none = device.take().expect("posted");
    device.write(none, &packet(0, 0, &[7; 60]));
    device.give_back(none, header::BYTES + 60);
    let long = device.take().expect("posted");
    device.write(long, &packet(0, 1, &[8; 60]));
    device.give_back(long, 1 << 20);
    device.publish();
    let mut seen = Vec::new();
    while receiver.receive(&mut |r| seen.push(r.bytes.len())) {}
    assert_eq!(seen, [60, BUFFER - header::BYTES]);
    let taken: Vec<_> = (0..20).filter_map(|_| device.take()).collect();
    fill(
        &mut device,
        &taken,
        0,
        &pattern(0, 20 * BUFFER - header::BYTES),
    );
    while receiver.receive(&mut |_| ()) {}
    arrive(&mut device, 0, &[9; 60]);
    assert_eq!(next(&mut receiver), Some((std::vec![9; 60], false)));
}

#[test]
fn a_frame_with_a_buffer_that_the_device_had_not_is_dropped() {
    let (mut receiver, mut device) = receiver(true);
    let frame = pattern(1, 9000);
    let bytes = packet(1, 3, &frame);
    let taken: Vec<_> = (0..3).filter_map(|_| device.take()).collect();
    for (buffer, part) in taken.iter().zip(bytes.chunks(BUFFER)) {
        device.write(*buffer, part);
    }
    // The first one stands for the second as well.
    device.give_back(taken[0], BUFFER);
    device.give_back(taken[0], BUFFER);
    device.give_back(taken[2], bytes.len() - 2 * BUFFER);
    device.publish();
    assert!(receiver.receive(&mut |r| panic!("{} bytes", r.bytes.len())));
    assert!(!receiver.is_waiting());
    assert_eq!(receiver.faults(), 1);
    // Both others came back to the device; the second is lost.
    let again: Vec<_> = std::iter::from_fn(|| device.take()).collect();
    assert_eq!(again.len(), usize::from(super::BUFFERS) - 3 + 2);
    fill(&mut device, &again[..1], 0, &[9; 60]);
    assert_eq!(next(&mut receiver), Some((std::vec![9; 60], false)));
}
