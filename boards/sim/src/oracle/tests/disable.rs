//! Disabled items: refused while disabled, accepted otherwise (B9, 7.10); and B8, what is freed.

use super::{ACTIVE, Head, ITEM, Kind, OTHER, Stage};

fn see(s: Stage, kind: Kind, flags: u8) -> Stage {
    s.head(0, kind, Head::of(0).flags(flags), ITEM, 0)
}

fn disable(s: Stage) -> Stage {
    see(s, Kind::DisableWork, 0)
}

fn enable(s: Stage, flags: u8) -> Stage {
    see(s, Kind::EnableWork, flags)
}

fn refuse(s: Stage) -> Stage {
    see(s, Kind::RefuseWork, 0)
}

#[test]
fn refused_while_disabled_and_no_longer() {
    let twice = || refuse(disable(disable(Stage::new())));
    let on = enable(enable(twice(), 0), Kind::ENABLED);
    on.queue(ITEM, ACTIVE).start(ITEM).end(ITEM).holds();
    twice().queue(OTHER, ACTIVE).holds();
    twice().queue(ITEM, ACTIVE).breaks("B9");
    enable(twice(), 0).queue(ITEM, ACTIVE).breaks("B9");
    refuse(Stage::new()).breaks("B9");
    refuse(enable(disable(Stage::new()), Kind::ENABLED)).breaks("B9");
}

#[test]
fn the_depth_is_counted() {
    enable(Stage::new(), Kind::ENABLED).breaks("B9");
    enable(disable(Stage::new()), 0).breaks("B9");
    enable(disable(disable(Stage::new())), Kind::ENABLED).breaks("B9");
}

#[test]
fn after_a_synchronous_cancel() {
    disable(Stage::new().queue(ITEM, ACTIVE)).breaks("7.10");
    see(Stage::new(), Kind::CancelSync, 0).breaks("7.10");
    let over = see(disable(Stage::new()), Kind::CancelSync, 0).holds();
    over.queue(ITEM, ACTIVE).breaks("B9");
}

#[test]
fn what_is_freed() {
    let free = |mut s: Stage, at: u64, bytes| {
        let verdict = s.oracles.freed(at, bytes);
        (s, verdict.err().map(|v| v.rule))
    };
    let running = || Stage::new().queue(ITEM, ACTIVE).start(ITEM);
    assert_eq!(free(running(), ITEM - 16, 128).1, Some("B8"));
    assert_eq!(free(running(), ITEM + 8, 128).1, None);
    assert_eq!(free(running(), ITEM - 128, 128).1, None);
    assert_eq!(free(running().end(ITEM), ITEM - 16, 128).1, None);
    assert_eq!(
        free(running().queue(ITEM, 0).end(ITEM), ITEM, 1).1,
        Some("B8")
    );
    // Another item in the same place is not disabled.
    let (s, verdict) = free(disable(Stage::new()), ITEM - 16, 128);
    assert_eq!(verdict, None);
    s.queue(ITEM, ACTIVE).holds();
}
