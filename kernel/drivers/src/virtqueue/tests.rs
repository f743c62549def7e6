use super::fake::pair;
use super::{Direction, SIZE, Used};

#[test]
fn buffers_go_around_for_longer_than_the_indices_count() {
    let (mut queue, mut device) = pair(0);
    for n in 0..70_000u32 {
        let descriptor = (n % 5) as u16;
        queue.describe(descriptor, 0x1000, 64, Direction::FromDevice);
        queue.give(descriptor);
        let taken = device.take().expect("given");
        assert_eq!((taken.descriptor, taken.len), (descriptor, 64));
        assert_eq!(queue.peek(), None);
        device.give_back(taken, 7);
        assert_eq!(queue.peek(), None, "not published yet");
        device.publish();
        assert_eq!(queue.peek(), Some(Used { descriptor, len: 7 }));
        assert_eq!(queue.ready(), 1);
        queue.take(Used { descriptor, len: 7 });
    }
}

#[test]
fn a_full_ring_comes_back_in_the_devices_order() {
    let (mut queue, mut device) = pair(0);
    for n in 0..SIZE {
        queue.describe(n, 0x1000, 1, Direction::ToDevice);
        queue.give(n);
    }
    let mut all: std::vec::Vec<_> = std::iter::from_fn(|| device.take()).collect();
    assert_eq!(all.len(), usize::from(SIZE));
    all.reverse();
    all.iter().for_each(|t| device.give_back(*t, 0));
    device.publish();
    for n in 0..SIZE {
        assert_eq!(queue.ready(), SIZE - n);
        let used = queue.peek().expect("returned");
        assert_eq!(used.descriptor, SIZE - 1 - n);
        queue.take(used);
    }
    assert_eq!((queue.peek(), queue.wrong()), (None, 0));
}

#[test]
fn the_device_is_notified_once_and_only_if_it_wants() {
    let (mut queue, device) = pair(1);
    queue.kick();
    assert_eq!(device.notified(), None, "nothing was given");
    queue.give(0);
    queue.give(1);
    queue.kick();
    queue.kick();
    assert_eq!(device.notified(), Some(1));
    device.sleep(false);
    queue.give(2);
    queue.kick();
    assert_eq!(device.notified(), None);
    device.sleep(true);
    queue.kick();
    assert_eq!(device.notified(), None, "it was told, in a way");
    queue.give(3);
    queue.kick();
    assert_eq!(device.notified(), Some(1));
}

#[test]
fn interrupts_begin_suppressed() {
    let (queue, device) = pair(0);
    assert!(!device.may_interrupt());
    queue.interrupts().set(true);
    assert!(device.may_interrupt());
    queue.interrupts().set(false);
    assert!(!device.may_interrupt());
}

#[test]
fn a_device_is_not_believed_that_returns_what_it_has_not() {
    let (mut queue, mut device) = pair(0);
    for n in 0..4 {
        queue.give(n);
    }
    let all: std::vec::Vec<_> = std::iter::from_fn(|| device.take()).collect();
    // Out of range, in range if cut to 16 or 7 bits, never given, given and taken, given and returned twice.
    for number in [SIZE.into(), u32::MAX, 0x1_0001, 128 + 1, 77] {
        device.return_number(number);
        device.publish();
        assert_eq!(queue.peek(), None, "{number}");
    }
    assert_eq!(queue.wrong(), 5);
    device.give_back(all[2], 9);
    device.give_back(all[2], 9);
    device.give_back(all[1], 9);
    device.publish();
    let first = queue.peek().expect("it had this");
    assert_eq!(first.descriptor, 2);
    queue.take(first);
    let next = queue.peek().expect("and this");
    assert_eq!((next.descriptor, queue.wrong()), (1, 6), "not twice");
    queue.take(next);
    assert_eq!(queue.peek(), None);
}

#[test]
fn what_is_wrong_costs_no_buffer() {
    let (mut queue, mut device) = pair(0);
    queue.give(5);
    let taken = device.take().expect("given");
    for _ in 0..70_000 {
        device.return_number(6);
        device.publish();
        assert_eq!(queue.peek(), None);
    }
    assert_eq!(queue.wrong(), 70_000);
    device.give_back(taken, 1);
    device.publish();
    let used = queue.peek().expect("it had this all the time");
    queue.take(used);
    assert_eq!((used.descriptor, queue.ready()), (5, 0));
}

#[test]
fn no_more_is_ready_than_was_given() {
    let (mut queue, mut device) = pair(0);
    queue.give(5);
    let taken = device.take().expect("given");
    device.give_back(taken, 1);
    for _ in 0..1_000 {
        device.return_number(5);
    }
    device.publish();
    assert_eq!(queue.ready(), 1);
    let used = queue.peek().expect("returned");
    queue.take(used);
    assert_eq!((queue.ready(), queue.peek()), (0, None));
}
