//! Threads: where they run, and cores that ought to have heard of them.

use super::{ACTIVE, Head, ITEM, Kind, Stage};

#[test]
fn threads_are_where_they_should_be() {
    Stage::new().switch(0, 2, 0, 1).breaks("switch");
    // Asleep, and on a core all the same.
    Stage::new()
        .switch(0, 1, 0, 1)
        .switch(0, 0, 1, 0)
        .breaks("switch");
    // It may not run where it goes, now or before the last change.
    let allow = |s: Stage, cores| s.head(0, Kind::SchedSetAffinity, Head::of(5), 0, cores);
    let go = |s: Stage, to| s.head(0, Kind::SchedMigrateTask, Head::of(5), 0, to);
    go(Stage::new().wake(5, 0), 2).breaks("affinity");
    go(allow(Stage::new().wake(5, 0), 0b10), 0).holds();
    go(allow(allow(Stage::new().wake(5, 0), 0b10), 0b110), 0).breaks("affinity");
    // Nor where it wakes up, from its next sleep on.
    let sleep = |s: Stage| s.wake(5, 0).switch(0, 1, 5, 0).switch(0, 5, 0, 1);
    let woken = |s: Stage, on, cores| s.head(0, Kind::SchedWakeup, Head::of(5), on, cores);
    woken(sleep(Stage::new()), 2, 0b11).breaks("affinity");
    woken(allow(sleep(Stage::new()), 0b10), 0, 0b10).holds();
    let late = woken(allow(sleep(Stage::new()), 0b10), 1, 0b10);
    go(late, 0).breaks("affinity");
    woken(Stage::new().wake(5, 0).switch(0, 1, 5, 0), 2, 0b11).holds();
    // On the runqueue of another core.
    Stage::new().wake(5, 1).switch(0, 1, 5, 0).breaks("switch");
    let s = Stage::new().wake(5, 1).switch(0, 1, 0, 1);
    assert_eq!(s.quiescent(), Some("runnable"));
}

#[test]
fn an_idle_core_that_nobody_pokes() {
    let busy = || {
        let s = Stage::new().wake(3, 1).switch(1, 0, 3, 0);
        let s = s.switch(1, 3, 0, 1);
        s.wake(4, 0).wake(5, 0).switch(0, 1, 4, 1)
    };
    let mut s = busy();
    s.asleep = 0b10;
    s.wake(6, 0).switch(0, 4, 6, 1).breaks("conserve");
    // It is on its way.
    busy().wake(6, 0).switch(0, 4, 6, 1).holds();
    // So is a third core, which was told. That the busy core was is no excuse, nor is one that has
    // looked and sleeps again.
    let told = |on, looked: bool| {
        let s = Stage::new().head(0, Kind::SchedWakeupNew, Head::of(7), 2, 0b111);
        let s = s.switch(2, 0, 7, 0).wake(3, 1).switch(1, 0, 3, 0);
        let s = s.switch(1, 3, 0, 1).wake(4, 0).wake(5, 0);
        let mut s = s.switch(0, 1, 4, 1).wake(6, 0);
        s = s.head(0, Kind::IpiSend, Head::of(on), 0, 0);
        if looked {
            s = s.switch(2, 7, 0, 1);
            s = s.head(2, Kind::IpiEntry, Head::of(0), 0, 0);
        }
        s.asleep = if looked { 0b110 } else { 0b10 };
        s.switch(0, 4, 6, 1)
    };
    told(2, false).holds();
    told(0, false).breaks("conserve");
    told(2, true).breaks("conserve");
    // One that got a thread of its own meanwhile has not looked either, until the interrupt reaches it; it
    // passes the word on then.
    let late = |taken: bool| {
        let s = Stage::new().wake(3, 1).switch(1, 0, 3, 0);
        let s = s.head(0, Kind::SchedWakeupNew, Head::of(8), 2, 0b111);
        let s = s.switch(2, 0, 8, 0).switch(2, 8, 0, 1);
        let s = s.switch(1, 3, 0, 1).wake(4, 0).wake(5, 0);
        let mut s = s.switch(0, 1, 4, 1).wake(6, 0);
        s = s.head(0, Kind::IpiSend, Head::of(2), 0, 0);
        if taken {
            s = s.head(2, Kind::IpiEntry, Head::of(0), 0, 0);
        }
        s = s.head(1, Kind::SchedWakeupNew, Head::of(7), 2, 0b111);
        let mut s = s.switch(2, 0, 7, 0);
        s.asleep = 0b10;
        s.switch(0, 4, 6, 1)
    };
    late(false).holds();
    late(true).breaks("conserve");
    // The thread may not run there.
    let mut s = busy();
    s.asleep = 0b10;
    let pin = Head::of(5);
    s.head(0, Kind::SchedSetAffinity, pin, 0, 0b01)
        .switch(0, 4, 5, 1)
        .holds();
}

#[test]
fn a_woken_thread_of_which_no_idle_core_hears() {
    let idle = || {
        let s = Stage::new().wake(3, 1).switch(1, 0, 3, 0);
        s.switch(1, 3, 0, 1)
    };
    let woken = |cores| {
        let mut s = idle();
        s.asleep = 0b10;
        s.head(0, Kind::SchedWakeupNew, Head::of(5), 0, cores)
    };
    let go_on = |s: Stage| s.queue(ITEM, ACTIVE);
    go_on(woken(0b11)).breaks("conserve");
    // It may not run there.
    go_on(woken(0b01)).holds();
    // Nor where it is, since its core was offline a moment ago: it is brought home.
    let mut s = idle().head(0, Kind::CpuOffline, Head::of(1), 0, 0).head(
        0,
        Kind::CpuOnline,
        Head::of(1),
        0,
        0,
    );
    s.asleep = 0b10;
    go_on(s.head(0, Kind::SchedWakeupNew, Head::of(5), 0, 0b10)).holds();
    // An interrupt is on its way to it.
    let mut s = woken(0b11)
        .head(0, Kind::IpiSend, Head::of(1), 0, 0)
        .holds();
    s.asleep = 0;
    go_on(s).holds();
    // So is one to a core that is about to idle, which does not look so from here: it will look for
    // threads. To the busy core itself it is no excuse.
    let told = |on| go_on(woken(0b11).head(0, Kind::IpiSend, Head::of(on), 0, 0));
    told(2).holds();
    told(0).breaks("conserve");
    // It has gone there.
    go_on(woken(0b11).head(1, Kind::SchedMigrateTask, Head::of(5), 0, 1)).holds();
}
