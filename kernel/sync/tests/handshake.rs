//! The handshakes one step after the other. What happens when both sides move at once is the model
//! checker's business (`tests/model`); here is what each step means.

#[path = "support/world.rs"]
mod world;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use sync::handshake::{
    Countdown, EventCount, Home, IdleMask, Mail, ParkToken, Route, Running, SleepState, State,
    resched,
};
use world::Core;

#[test]
fn countdown_names_exactly_one_last() {
    for armed_first in [true, false] {
        let count = Countdown::new();
        count.start();
        count.add();
        count.add();
        assert!(!count.finish(), "one is left, and the arming itself");
        if armed_first {
            assert!(count.armed(), "one is left");
            assert!(count.finish());
        } else {
            assert!(!count.finish(), "the arming is still under way");
            assert!(!count.armed(), "nobody is left: it is the last");
        }
    }
    let count = Countdown::default();
    count.start();
    assert!(!count.armed(), "nobody was added");
}

#[test]
fn news_wakes_whoever_announced_a_sleep() {
    let mut news = EventCount::new();
    let seen = news.count();
    assert!(!news.post(), "nobody sleeps");
    assert!(news.moved(seen));
    let seen = news.count();
    assert!(!news.moved(seen));
    news.enter();
    news.enter();
    assert!(news.post());
    news.leave();
    assert!(news.post(), "one sleeps still");
    news.leave();
    assert!(!news.post());
    assert_eq!(news.count(), seen.wrapping_add(3));
    news.enter();
    news.reset();
    assert_eq!((news.count(), news.post()), (0, false));
}

#[test]
fn idle_cores_are_a_set() {
    let idle = IdleMask::new();
    assert_eq!((idle.hint(), idle.look()), (0, 0));
    idle.enter(0b0110);
    idle.enter(0b0010);
    idle.enter(0b1000);
    assert_eq!((idle.hint(), idle.look()), (0b1110, 0b1110));
    idle.leave(0b0010);
    idle.leave(0b0001);
    assert_eq!((idle.hint(), idle.look()), (0b1100, 0b1100));
}

#[test]
fn first_letter_rings_and_all_are_taken() {
    let mail = Mail::new();
    assert_eq!(mail.take(), 0);
    assert!(mail.post(0b001));
    assert!(!mail.post(0b100), "the bell has rung");
    assert!(!mail.post(0b100));
    assert_eq!(mail.take(), 0b101);
    assert_eq!(mail.take(), 0);
    assert!(mail.post(0b010), "a new letter rings again");
}

#[test]
fn home_is_followed_when_it_moves() {
    let mut places = [0_u8; 3];
    let at = places.each_mut().map(core::ptr::from_mut);
    let home = Home::new(at[0]);
    assert_eq!(home.get(), at[0]);
    assert_eq!(home.lock(|p| p), (at[0], at[0]));
    let tried = Cell::new(Vec::new());
    let locked = home.lock(|p| {
        let mut all = tried.take();
        all.push(p);
        if all.len() < 3 {
            // It moves before the lock is had.
            home.move_to(at[all.len()]);
        }
        tried.set(all);
    });
    assert_eq!(locked, (at[2], ()));
    assert_eq!(tried.take(), at);
    assert_eq!(home.get(), at[2]);
}

#[test]
fn home_is_followed_until_a_lock_is_refused() {
    let mut places = [0_u8; 3];
    let at = places.each_mut().map(core::ptr::from_mut);
    let home = Home::new(at[0]);
    let tried = Cell::new(0);
    let next = |n: usize| {
        tried.set(n);
        home.move_to(at[n]);
    };
    // It moves before the lock is had, and what was locked is no home any more.
    let locked = home.try_lock(|p| {
        if tried.get() < 2 {
            next(tried.get() + 1);
        }
        Some(p)
    });
    assert_eq!(locked, Some((at[2], at[2])));
    home.move_to(at[0]);
    let locked = home.try_lock(|p| {
        home.move_to(at[1]);
        (p == at[0]).then_some(p)
    });
    assert_eq!(locked, None, "the second place's is refused");
}

#[test]
fn home_is_given_once_to_what_has_none() {
    let mut places = [0_u8; 2];
    let at = places.each_mut().map(core::ptr::from_mut);
    let home = Home::new(core::ptr::null_mut());
    let found = |p: *mut u8| (!p.is_null()).then_some(p);
    assert_eq!(home.try_lock(found), None, "nothing to lock");
    assert!(!home.is(at[0]));
    assert!(home.claim(at[0]));
    assert!(!home.claim(at[1]), "it has a home");
    assert!(home.is(at[0]) && !home.is(at[1]));
    assert_eq!(home.try_lock(found), Some((at[0], at[0])));
    home.move_to(at[1]);
    assert!(home.is(at[1]) && !home.is(at[0]));
}

#[test]
fn route_leads_where_it_was_set_to() {
    let mut place = 0_u8;
    let route = <Route<u8>>::nowhere();
    assert!(route.get().is_null());
    route.set(&raw mut place);
    assert_eq!(route.get(), &raw mut place);
}

#[test]
fn request_interrupts_once_until_it_is_answered() {
    let flag = AtomicBool::new(false);
    assert!(resched::request(&flag));
    assert!(!resched::request(&flag));
    resched::answer(&flag);
    assert!(!flag.load(Ordering::Relaxed));
    resched::request_here(&flag);
    assert!(!resched::request(&flag), "it is asked for already");
    resched::answer(&flag);
    assert!(resched::request(&flag));
}

/// Turns of spin loops since the last call.
fn turns(core: &Core) -> usize {
    let events = core.events();
    events.iter().filter(|(what, _)| *what == "relax").count()
}

#[test]
fn waiting_ends_with_the_callback_of_this_object_only() {
    static RUNNING: Running = Running::new();
    Core::run(|core| {
        core.on_relax(|| RUNNING.end());
        RUNNING.wait(0x100);
        RUNNING.begin(0x200);
        RUNNING.wait(0x100);
        assert_eq!(turns(core), 0, "there was nothing to wait for");
        RUNNING.begin(0x100);
        RUNNING.wait(0x100);
        assert_eq!(turns(core), 1);
    });
}

#[test]
fn thread_says_when_it_may_sleep() {
    let state = SleepState::new();
    assert_eq!((state.get(), state.may_sleep()), (State::Running, false));
    state.announce();
    assert_eq!((state.get(), state.may_sleep()), (State::Sleeping, true));
    state.set(State::Running);
    assert_eq!((state.get(), state.may_sleep()), (State::Running, false));
    state.set(State::Dead);
    assert_eq!((state.get(), state.may_sleep()), (State::Dead, false));
    assert_eq!(SleepState::default().get(), State::Running);
}

#[test]
fn park_token_stands_for_any_number_of_gifts() {
    let token = ParkToken::new();
    assert!(!token.take());
    token.give();
    token.give();
    assert!(token.take());
    assert!(!token.take());
}
