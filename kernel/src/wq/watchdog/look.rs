//! A look: what is stuck in a pool, a queue, or a core.

use core::sync::atomic::Ordering;

use links::{Arena, Handle};
use machine::{CpuId, Duration, Instant};
use workqueue::{Activity, Pwq, Stall as Found, Worker as WorkerNode};

use super::super::handles::{share_of, worker_of};
use super::super::pool::{Inner, Pool};
use super::super::queue::Queue;
use super::super::shares::Shares;
use super::super::show::show_all;
use super::super::waiting::work_of;
use super::super::{QueueName, each_pool, registry};
use super::{
    Frames, MOST_FRAMES, MOST_STALLS, Stall, StallKind, Stalls, busy, chains, panic_on_stall,
    remember, stall_count,
};
use crate::cpu::online;
use crate::kernel;
use crate::soon::Patience;
use crate::thread::{State, Thread};

/// Looks at everything, and tells what is new. What is locked for long is left to the next look: its holder may be
/// a core that does not go on, of which whoever looks must tell.
pub(super) fn look(now: Instant, limit: Duration) {
    let (mut found, patience) = (Stalls::new(), Patience::new());
    // What does not fit is not told; the picture of all pools that follows shows it.
    let mut add = |stall| {
        let _full = found.push(stall);
    };
    each_pool(|p| pool(p, now, limit, &patience, &mut add));
    let _all = registry::each_queue_soon(&patience, |q, shares| {
        queue(q, shares, now, limit, &patience, &mut add);
    });
    for c in kernel().cpus().iter().filter(|c| online().contains(c.id())) {
        let Some(timers) = patience.lock(|| c.timers.try_lock()) else {
            continue;
        };
        let due = timers.first();
        drop(timers);
        let late = now.since(due.unwrap_or(now).min(now));
        if late >= limit {
            add(Stall {
                place: c.id().index(),
                ..Stall::new(StallKind::Timers, late)
            });
        }
    }
    let dog = &kernel().wq.watchdog;
    if found.is_empty() {
        dog.stop_if_hung(now);
        return;
    }
    let before = dog.count.fetch_add(found.len() as u64, Ordering::Relaxed);
    for (stall, number) in found.iter_mut().zip(before + 1..) {
        stall.number = number;
        crate::log!("{stall}");
        stall.tell_thread();
    }
    remember(&found);
    // Else the timer's callback comes back.
    let _all = chains::tell_all();
    busy::tell(&found);
    // To the console it may not fail.
    let _ = show_all(&mut crate::log::Lines::new());
    let (told, most) = (stall_count(), panic_on_stall());
    assert!(
        most == 0 || told < most,
        "workqueue: {told} stalls, panic_on_stall={most}"
    );
    dog.stop_if_hung(now);
}

fn pool(
    p: &'static Pool,
    now: Instant,
    limit: Duration,
    patience: &Patience,
    add: &mut dyn FnMut(Stall),
) {
    let Some(mut g) = p.lock_soon(patience) else {
        return;
    };
    let Inner { policy, store, .. } = &mut *g;
    let mut first = heapless::Vec::<Found, MOST_STALLS>::new();
    let threads = policy.kind() != workqueue::Kind::Bh;
    let activity = |w| {
        if threads {
            activity(w, patience)
        } else {
            Activity::Stuck
        }
    };
    policy.watch(store, now, limit, activity, |_, stall| {
        let _full = first.push(stall);
    });
    let place = p.place().index();
    for stall in &first {
        match *stall {
            Found::Pool(lasted) => add(Stall {
                place,
                waiting: g.policy.pending(),
                ..Stall::new(StallKind::Pool, lasted)
            }),
            Found::Item(w, lasted) => {
                let node: &WorkerNode = g.store.get(w);
                let queue = node.current_pwq().map(queue_of).unwrap_or_default();
                let item = work_of(&g, w).map(|(item, _)| item);
                let thread = worker_of(w).thread().filter(|_| threads);
                let (running, frames) = thread.map_or((None, Frames::new()), |t| place_of(t));
                add(Stall {
                    place,
                    queue,
                    item,
                    thread: thread.map(|t| t.id()),
                    running,
                    frames,
                    waiting: g.policy.pending(),
                    ..Stall::new(StallKind::Item, lasted)
                });
            }
        }
    }
}

/// The core that `t` runs on, or where it sleeps. Under its pool's lock, which keeps its stack.
fn place_of(t: &Thread) -> (Option<CpuId>, Frames) {
    let mut frames = Frames::new();
    if t.state() != State::Sleeping {
        return (Some(t.cpu()), frames);
    }
    let mut found = [0; MOST_FRAMES];
    let n = t.backtrace(&mut found);
    let _all_fit = frames.extend_from_slice(&found[..n]);
    (None, frames)
}

fn queue_of(p: Handle<Pwq>) -> QueueName {
    share_of(p).queue().attributes.name.clone()
}

fn queue(
    q: &Queue,
    shares: &Shares,
    now: Instant,
    limit: Duration,
    patience: &Patience,
    add: &mut dyn FnMut(Stall),
) {
    if q.is_frozen() {
        return;
    }
    for share in shares.iter() {
        let Some((pool, mut g)) = share.lock_soon(patience) else {
            continue;
        };
        let Inner { policy, store, .. } = &mut *g;
        let Some(lasted) = policy.watch_slots(store, share.handle(), now, limit) else {
            continue;
        };
        let pwq = share.pwq(&g);
        add(Stall {
            place: pool.place().index(),
            queue: q.attributes.name.clone(),
            waiting: pwq.inactive(),
            ..Stall::new(StallKind::Slots, lasted)
        });
    }
}

/// How the thread of `w` has done since the last look; under its pool's lock.
fn activity(w: Handle<WorkerNode>, patience: &Patience) -> Activity {
    let worker = worker_of(w);
    let Some(t) = worker.thread() else {
        return Activity::Moving;
    };
    let ran = t.cpu_time_ns();
    let same = worker.seen_ns.replace(ran) == ran;
    // CPU time is complete up to the last switch: without one, it has slept or had its core.
    let stuck = match t.state() {
        // Nobody knows while the timer's core keeps its timers.
        State::Sleeping => t.sleep_timer.is_armed_soon(patience) == Some(false),
        State::Running => t.has_core(),
        State::Dead => false,
    };
    if same && stuck {
        Activity::Stuck
    } else {
        Activity::Moving
    }
}
