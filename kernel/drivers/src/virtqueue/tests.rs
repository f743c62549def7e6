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
        queue.advance(1);
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
        let used = queue.used(n);
        assert_eq!(used.descriptor, SIZE - 1 - n);
    }
    assert_eq!(queue.ready(), SIZE);
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
#[should_panic(expected = "a buffer it was not given")]
fn a_descriptor_out_of_range_is_not_believed() {
    let (mut queue, mut device) = pair(0);
    queue.give(0);
    let mut taken = device.take().expect("given");
    taken.descriptor = SIZE;
    device.give_back(taken, 0);
    device.publish();
    let _ = queue.peek();
}
