//! Groups: sets of items that are cancelled and waited for together.

use std::sync::{Arc, Weak};

use kernel::thread::{ThreadCx, sleep};
use kernel::wq::{self, Cancelled, DelayedWork, Group, JoinError, Run, Submitted, WaitError, Work};
use machine::Duration;
use sim::{Held, Scenario};

use crate::kit::{
    Count, HARDY, cpus, crowd, dawdle, insist, join, linger, ms, new_bh_item, new_delayed,
    new_item, one_in, pick, some_core, until, us,
};

/// Scenarios of groups.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("group-of-accomplices", 3, accomplices)
        .about("items that queue each other and join on the run are over when their group was cancelled (J2, J10)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("group-of-mortals", 3, mortals)
        .about("items join, leave and are freed while their group is flushed and cancelled (B8, I5)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("group-told", 2, told)
        .about("a group says what it cancelled, who has panicked, and whom it cannot wait for (I1, J2)")
        .cpus_range(1, 4)
        .endures(HARDY)
        .leaves(&[Held::Blocks], "the stack of a thread that panicked stays, with what it referred to"),
];

/// Items that keep each other going.
struct Gang {
    threads: Vec<Arc<Work<Me>>>,
    delayed: Vec<Arc<DelayedWork<Me>>>,
    group: Group,
    runs: Count,
}

/// What an item knows of its gang, which owns it.
type Me = Weak<Gang>;

fn conspire(cx: &ThreadCx<'_>, run: &Run<'_, Me>) {
    let Some(gang) = run.upgrade() else { return };
    gang.runs.up();
    dawdle(cx);
    let done = match pick(3) {
        0 => wq::unbound().queue(&gang.threads[pick(3)]),
        1 => {
            let delay = us(pick(20) as u64);
            wq::percpu().queue_delayed_on(some_core(), &gang.delayed[pick(3)], delay)
        }
        _ => wq::percpu().queue(run),
    };
    let lost = matches!(done, Submitted::Disabled | Submitted::Elsewhere);
    assert!(done.is_pending() || lost, "{done:?}");
    linger();
}

fn accomplices(cx: &ThreadCx<'_>) {
    let gang = Arc::new_cyclic(|me: &Me| Gang {
        threads: (0..3).map(|_| new_item(me.clone(), conspire)).collect(),
        delayed: (0..3).map(|_| new_delayed(me.clone(), conspire)).collect(),
        group: insist(|| Group::with_capacity(6)),
        runs: Count::default(),
    });
    let Gang {
        threads,
        delayed,
        group,
        runs,
    } = &*gang;
    threads.iter().for_each(|i| group.join(i).expect("room"));
    delayed.iter().for_each(|i| group.join(i).expect("room"));
    assert_eq!(group.join(&threads[0]), Err(JoinError::Already));
    let extra = new_item((), |_: &ThreadCx<'_>, _| {});
    assert_eq!(group.join(&extra), Err(JoinError::Full));

    for _ in 0..4 {
        let _ = wq::percpu().queue_on(some_core(), &threads[0]);
        let _ = wq::percpu().queue_delayed(&delayed[1], us(3));
        dawdle(cx);
        let cancellers = {
            let gang = Arc::clone(&gang);
            crowd(1 + pick(2), move |cx, _| {
                dawdle(cx);
                let found = gang.group.cancel_all_sync(cx).expect("no member");
                assert_eq!((found.poisoned, found.too_deep), (0, 0));
            })
        };
        join(cx, &cancellers);
        let quiet = runs.get();
        assert!(threads.iter().all(|i| i.busy() == (false, false)));
        assert!(delayed.iter().all(|i| i.busy() == (false, false)));
        sleep(cx, ms(1));
        assert_eq!(runs.get(), quiet, "somebody escaped");
        assert_eq!(group.len(), 6);
    }
    assert!(group.leave(&threads[0]) && !group.leave(&threads[0]));
    assert_eq!(group.join(&extra), Ok(()));
    drop(extra);
    assert_eq!(group.len(), 5);
}

fn mortals(cx: &ThreadCx<'_>) {
    type Ward = (Arc<Group>, Arc<Count>);
    fn live(cx: &ThreadCx<'_>, run: &Run<'_, Ward>) {
        dawdle(cx);
        let (group, runs) = &**run;
        runs.up();
        match group.join(run) {
            // It leaves at once, or when it is freed.
            Ok(()) if one_in(2) => drop(group.leave(run)),
            Ok(()) | Err(JoinError::Already | JoinError::Cancelling | JoinError::Full) => {}
        }
        dawdle(cx);
    }
    let group = Arc::new(insist(|| Group::with_capacity(8)));
    let (runs, asked) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let parents = {
        let (group, runs, asked) = (Arc::clone(&group), Arc::clone(&runs), Arc::clone(&asked));
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..8 {
                let item = new_item((Arc::clone(&group), Arc::clone(&runs)), live);
                let joined = group.join(&item);
                assert!(joined != Err(JoinError::Already));
                // A cancel that is going on has disabled it, or owns it for a moment.
                let done = wq::percpu().queue_on(some_core(), &item);
                let lost = matches!(done, Submitted::Disabled | Submitted::AlreadyPending(_));
                assert!(lost || done == Submitted::Queued, "{done:?}");
                asked.up_if(done == Submitted::Queued);
                dawdle(cx);
                if one_in(3) {
                    let _ = item.flush(cx).expect("no panic");
                }
            }
        })
    };
    let mut taken = 0;
    for round in 0..6 {
        dawdle(cx);
        if round % 2 == 0 {
            group.flush(cx).expect("no member, no panic");
        } else {
            taken += group.cancel_all_sync(cx).expect("no member").pending;
        }
    }
    join(cx, &parents);
    group.flush(cx).expect("no member, no panic");
    wq::percpu().flush(cx).expect("not its item");
    assert_eq!(asked.get(), runs.get() + taken);
    // A worker gives up the last count on an item after it is over.
    until(cx, || group.is_empty());
    // Its places can be taken again.
    let others: Vec<_> = (0..8)
        .map(|_| new_item((), |_: &ThreadCx<'_>, _| {}))
        .collect();
    others.iter().for_each(|i| group.join(i).expect("room"));
    assert_eq!(group.len(), 8);
    drop(group);
}

fn told(cx: &ThreadCx<'_>) {
    let hour = Duration::from_secs(3_600);
    let group = Arc::new(insist(|| Group::with_capacity(8)));
    let armed = new_delayed((), |_: &ThreadCx<'_>, _| {});
    let urgent = new_bh_item(Count::default(), |_, run| run.up_if(true));
    let bad = new_item((), |_: &ThreadCx<'_>, _| panic!("this one was meant to"));
    group.join(&armed).expect("room");
    group.join(&urgent).expect("room");
    assert_eq!(wq::percpu().queue_delayed(&armed, hour), Submitted::Queued);
    assert_eq!(wq::bh().queue(&urgent), Submitted::Queued);
    // An armed timer is not waited for.
    assert_eq!(group.flush(cx), Ok(()));
    assert_eq!(urgent.get(), 1);
    let found = group.cancel_all_sync(cx);
    let one = Cancelled {
        pending: 1,
        ..Cancelled::default()
    };
    assert_eq!(found, Ok(one));
    assert_eq!(group.cancel_all_sync(cx), Ok(Cancelled::default()));

    group.join(&bad).expect("room");
    assert_eq!(wq::unbound().queue(&bad), Submitted::Queued);
    assert_eq!(group.flush(cx), Err(WaitError::Poisoned));
    let poisoned = Cancelled {
        poisoned: 1,
        ..Cancelled::default()
    };
    assert_eq!(group.cancel_all_sync(cx), Ok(poisoned));
    assert!(group.leave(&bad));

    let within = new_item(
        Arc::clone(&group),
        |cx: &ThreadCx<'_>, run: &Run<'_, Arc<Group>>| {
            assert_eq!(run.flush(cx), Ok(()), "it is no member");
            run.join(run).expect("room");
            assert_eq!(run.flush(cx), Err(WaitError::SelfWait));
            assert_eq!(run.cancel_all_sync(cx), Err(WaitError::SelfWait));
        },
    );
    assert_eq!(wq::unbound().queue(&within), Submitted::Queued);
    within.flush(cx).expect("no panic");
    assert_eq!(group.len(), 3);
}
