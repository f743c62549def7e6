//! Scopes: what was spawned is over when they end.

use super::{ACTIVE, Head, ITEM, Kind, OTHER, Stage};

const SCOPE: u64 = 0x8000;

fn spawn(s: Stage, item: u64) -> Stage {
    s.head(0, Kind::ScopeSpawn, Head::of(0), item, SCOPE)
        .queue(item, ACTIVE)
}

fn end(s: Stage) -> Stage {
    s.head(0, Kind::ScopeEnd, Head::of(0), 0, SCOPE)
}

#[test]
fn a_scope_ends_after_its_items() {
    end(spawn(Stage::new(), ITEM).start(ITEM).end(ITEM)).holds();
    end(spawn(Stage::new(), ITEM)).breaks("scope");
    end(spawn(Stage::new(), ITEM).start(ITEM)).breaks("scope");
    // Another scope's item, and one of an earlier scope at the same place.
    end(Stage::new().queue(OTHER, ACTIVE)).holds();
    let over = end(spawn(Stage::new(), ITEM).start(ITEM).end(ITEM));
    end(over.queue(ITEM, ACTIVE)).holds();
}

#[test]
fn another_item_where_one_was_freed() {
    let mut s = spawn(Stage::new(), ITEM).start(ITEM).end(ITEM);
    s.oracles.freed(ITEM - 8, 64).expect("nothing is there");
    end(s.queue(ITEM, ACTIVE)).holds();
}
