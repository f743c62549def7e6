//! Scopes: spawned items borrow from their spawner, who waits for all of them.

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::mutex::{LockError, Mutex};
use kernel::thread::ThreadCx;
use kernel::wq::scope::SpawnError;
use kernel::wq::{
    self, OnCpuError, Ordered, PerCpu, Run, ScopeError, Submitted, Task, Unbound, WaitError,
    Workqueue,
};

use sim::{Held, Scenario, refuse_heap};

use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, here, insist, join, linger, new_item, pick, some_core,
    until,
};

const STACKS: &str = "the stack of a thread that panicked stays, with what it referred to";

/// Scenarios of scopes.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("scope-borrows", 3, borrows)
        .about("what is spawned in a scope writes to its spawner's stack and is over when the scope returns, on every kind of queue")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("scope-in-scope", 3, in_scope)
        .about("spawned items spawn more, in their own scope and in scopes of their own, and all are waited for")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("scope-panics", 2, panics)
        .about("a spawned item that panics is an error of its scope, which ends all the same, after all others")
        .cpus_range(1, 4)
        .endures(HARDY)
        .leaves(&[Held::Blocks], STACKS),
    Scenario::new("scope-of-the-dead", 3, of_the_dead)
        .about("an item that panics within a scope is not over before what it spawned is, which borrows from others")
        .cpus_range(1, 4)
        .endures(HARDY)
        .leaves(&[Held::Blocks], STACKS),
    Scenario::new("mutex-of-the-dead", 3, mutex_of_the_dead)
        .about("what a mutex protects is nobody else's while something runs that its dead holder has spawned")
        .cpus_range(1, 4)
        .endures(HARDY)
        .leaves(&[Held::Blocks], STACKS),
    Scenario::new("scope-refused", 2, refused)
        .about("a scope in which nothing could run is refused, and so is a task that its queue does not take or that has run (C10, D8, H6)")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("call-on-a-core", 3, call_on_a_core)
        .about("a call on a core runs there, borrows from its caller and returns its value, also from each core; one that is not there is an error, and so is no memory (C12, C13)")
        .cpus_range(1, 8)
        .endures(HARDY),
];

fn borrows(cx: &ThreadCx<'_>) {
    fn fill<K: wq::Kind<Context = wq::Threaded>>(cx: &ThreadCx<'_>, wq: &Workqueue<K>) {
        let mut cells = [0_usize; 6];
        let mut order = Vec::new();
        let last = order.len();
        let mut tasks: Vec<_> = cells
            .iter_mut()
            .enumerate()
            .map(|(n, cell)| {
                Task::new(move |cx: &ThreadCx<'_>| {
                    dawdle(cx);
                    *cell += n;
                    n * n
                })
            })
            .collect();
        let mut by_itself = 0;
        let spawned = wq.scope(cx, |s| {
            for task in &mut tasks {
                let done = match pick(2) {
                    0 => s.spawn(task),
                    _ => s.spawn_on(some_core(), task),
                };
                done.expect("nobody drains it");
                linger();
            }
            s.try_spawn(|cx| {
                dawdle(cx);
                order.push(last);
                by_itself += 1;
            })
        });
        let spawned = spawned.expect("no panic");
        let squares: Vec<_> = tasks.iter_mut().map(Task::take).collect();
        assert_eq!(squares, [0, 1, 4, 9, 16, 25].map(Some));
        assert_eq!(cells, [0, 1, 2, 3, 4, 5]);
        match spawned {
            Ok(()) => assert_eq!((by_itself, order.len()), (1, 1)),
            Err(e) => {
                assert_eq!(e, SpawnError::NoMemory);
                assert_eq!((by_itself, order.len()), (0, 0));
            }
        }
    }
    let bound = insist(|| Workqueue::<PerCpu>::builder("bound").max_active(2).build());
    let free = insist(|| Workqueue::<Unbound>::builder("free").build());
    let turns = insist(|| Workqueue::<Ordered>::builder("turns").build());
    let users = {
        let (bound, free, turns) = (bound.clone(), free.clone(), turns.clone());
        crowd(cpus() + 1, move |cx, i| {
            for round in 0..3 {
                match (i + round) % 3 {
                    0 => fill(cx, &bound),
                    1 => fill(cx, &free),
                    _ => fill(cx, &turns),
                }
            }
        })
    };
    join(cx, &users);
    bound.destroy(cx).expect("not its item");
    free.destroy(cx).expect("not its item");
    turns.destroy(cx).expect("not its item");
}

fn in_scope(cx: &ThreadCx<'_>) {
    /// Counts the leaves of a tree, each branch an item that waits for its own.
    fn tree(cx: &ThreadCx<'_>, wq: &Workqueue<Unbound>, depth: usize) -> usize {
        dawdle(cx);
        if depth == 0 {
            return 1;
        }
        let branch = |cx: &ThreadCx<'_>| tree(cx, wq, depth - 1);
        let (mut left, mut right) = (Task::new(branch), Task::new(branch));
        wq.scope(cx, |s| {
            s.spawn(&mut left).expect("nobody drains it");
            s.spawn(&mut right).expect("nobody drains it");
        })
        .expect("no panic");
        left.take().unwrap_or_default() + right.take().unwrap_or_default()
    }
    // Of what waits at the same time there are three on each way down.
    let wq = insist(|| Workqueue::<Unbound>::builder("tree").build());
    assert_eq!(tree(cx, &wq, 3), 8);

    // A chain in one scope: each item spawns the next one, and nobody waits for it but the scope.
    let runs = Count::default();
    fn link<'scope, 'env>(
        s: &'scope wq::scope::Scope<'scope, 'env>,
        runs: &'env Count,
        left: usize,
    ) {
        let next = move |cx: &ThreadCx<'_>| {
            dawdle(cx);
            runs.up();
            if left > 1 {
                link(s, runs, left - 1);
            }
        };
        while let Err(e) = s.try_spawn(next) {
            assert_eq!(e, SpawnError::NoMemory);
            machine::sync_point();
        }
    }
    wq.scope(cx, |s| link(s, &runs, 5)).expect("no panic");
    assert_eq!(runs.get(), 5);
    wq.destroy(cx).expect("not its item");
}

fn panics(cx: &ThreadCx<'_>) {
    for round in 0..4 {
        let bad = pick(3);
        let done = Count::default();
        let mut tasks: Vec<_> = (0..4)
            .map(|n| {
                let done = &done;
                Task::new(move |cx: &ThreadCx<'_>| {
                    dawdle(cx);
                    assert!(n != bad, "this one was meant to");
                    done.up();
                    n
                })
            })
            .collect();
        let ended = if round % 2 == 0 {
            wq::unbound().scope(cx, |s| {
                tasks.iter_mut().for_each(|t| s.spawn(t).expect("open"));
            })
        } else {
            wq::percpu().scope(cx, |s| {
                tasks.iter_mut().for_each(|t| s.spawn(t).expect("open"));
                insist(|| s.try_spawn(|_| panic!("and this one")));
            })
        };
        assert_eq!(ended, Err(ScopeError::Panicked(1 + round % 2)));
        let values: Vec<_> = tasks.iter_mut().map(Task::take).collect();
        let right: Vec<_> = (0..4).map(|n| (n != bad).then_some(n)).collect();
        assert_eq!(values, right);
        drop(tasks);
        assert_eq!(done.get(), 3);
    }
}

fn of_the_dead(cx: &ThreadCx<'_>) {
    for _ in 0..3 {
        // Not on the stack: a spawned item that is left behind is to be told, not to crash the world.
        let over = Arc::new(Count::default());
        let started = Completion::new();
        let borrowed = Count::default();
        let outer = wq::unbound().scope(cx, |s| {
            let (over, started, borrowed) = (&over, &started, &borrowed);
            let widow = move |cx: &ThreadCx<'_>| {
                let over = Arc::clone(over);
                let _never = wq::unbound().scope(cx, |inner| {
                    insist(|| {
                        let over = Arc::clone(&over);
                        inner.try_spawn(move |cx| {
                            started.complete();
                            (0..3).for_each(|_| dawdle(cx));
                            assert_eq!(over.get(), 0, "the scope it borrows from is over");
                            borrowed.up();
                        })
                    });
                    if pick(2) == 0 {
                        started.wait(cx);
                    }
                    panic!("within a scope");
                });
            };
            insist(|| s.try_spawn(widow));
        });
        over.up();
        assert_eq!(outer, Err(ScopeError::Panicked(1)));
        assert_eq!(borrowed.get(), 1);
    }
}

/// What is spawned may write to what a mutex protects; the mutex is nobody else's before that is over.
fn mutex_of_the_dead(cx: &ThreadCx<'_>) {
    for _ in 0..3 {
        let cell = Arc::new(Mutex::new(0_u32));
        let held = Arc::new(Completion::new());
        let dies = new_item(
            (Arc::clone(&cell), Arc::clone(&held)),
            |cx: &ThreadCx<'_>, run: &Run<'_, (Arc<Mutex<u32>>, Arc<Completion>)>| {
                let mut guard = run.0.lock(cx).expect("nobody has died yet");
                let value: &mut u32 = &mut guard;
                let mut task = Task::new(move |cx: &ThreadCx<'_>| {
                    *value += 1;
                    (0..3).for_each(|_| dawdle(cx));
                    *value += 1;
                });
                let _never = wq::unbound().scope(cx, |s| {
                    s.spawn(&mut task).expect("nobody drains it");
                    run.1.complete();
                    panic!("with a mutex and within a scope");
                });
            },
        );
        assert_eq!(wq::unbound().queue(&dies), Submitted::Queued);
        held.wait(cx);
        let guard = match cell.lock(cx) {
            Err(LockError::Poisoned(p)) => p.0,
            other => panic!("not poisoned: {other:?}"),
        };
        assert_eq!(
            *guard, 2,
            "somebody still writes to what the mutex protects"
        );
        drop(guard);
        assert_eq!(dies.flush(cx), Err(WaitError::Poisoned));
    }
}

fn refused(cx: &ThreadCx<'_>) {
    type Job = (Workqueue<Ordered>, Count);
    fn within(cx: &ThreadCx<'_>, run: &Run<'_, Job>) {
        let own = run.0.scope(cx, |_| run.1.up());
        assert_eq!(own, Err(ScopeError::SelfWait));
        // On another queue it may.
        let ran = &Count::default();
        let other = wq::unbound().scope(cx, |s| {
            insist(|| s.try_spawn(move |_| ran.up_if(true)));
        });
        assert_eq!((other, ran.get()), (Ok(()), 1));
    }
    let turns = insist(|| Workqueue::<Ordered>::builder("turns").build());
    let item = new_item((turns.clone(), Count::default()), within);
    assert_eq!(turns.queue(&item), Submitted::Queued);
    item.flush(cx).expect("no panic");
    assert_eq!(item.1.get(), 0, "a refused scope called its function");

    let saved = insist(|| Workqueue::<PerCpu>::builder("saved").mem_reclaim().build());
    let waits = new_item((), |cx: &ThreadCx<'_>, _| {
        let refused = wq::percpu().scope(cx, |_| ());
        assert_eq!(refused, Err(ScopeError::NoProgress));
        let call = wq::work_on_cpu(cx, here(), |_| ());
        assert_eq!(call, Err(OnCpuError::NoProgress));
    });
    assert_eq!(saved.queue(&waits), Submitted::Queued);
    waits.flush(cx).expect("no panic");
    saved.destroy(cx).expect("not its item");

    // A task runs once.
    let mut once = Task::new(|_: &ThreadCx<'_>| 7);
    for round in 0..2 {
        let done = turns.scope(cx, |s| s.spawn(&mut once)).expect("no panic");
        assert_eq!(done, [Ok(()), Err(SpawnError::Spent)][round]);
        assert_eq!(once.take(), [Some(7), None][round]);
    }
    // A queue that drains takes nothing from outside.
    let other = turns.clone();
    turns.destroy(cx).expect("not its item");
    let mut late = Task::new(|_: &ThreadCx<'_>| ());
    let (spawned, boxed) = other
        .scope(cx, |s| {
            (s.spawn(&mut late), s.try_spawn(|_| unreachable!()))
        })
        .expect("nothing ran");
    assert_eq!(spawned, Err(SpawnError::Draining));
    assert!(matches!(
        boxed,
        Err(SpawnError::Draining | SpawnError::NoMemory)
    ));
    assert_eq!(late.take(), None);
    // What was refused may be spawned elsewhere.
    let done = wq::unbound().scope(cx, |s| s.spawn(&mut late));
    assert_eq!((done, late.take()), (Ok(Ok(())), Some(())));
    // It names what it is not allowed: the same error as that of a flush.
    assert_eq!(
        ScopeError::NoProgress.to_string(),
        WaitError::NoProgress.to_string()
    );
}

fn call_on_a_core(cx: &ThreadCx<'_>) {
    let callers = crowd(cpus(), |cx, i| {
        for n in 0..4 {
            let cpu = some_core();
            let mut told = None;
            let number = wq::work_on_cpu(cx, cpu, |cx| {
                dawdle(cx);
                told = Some(here());
                10 * i + n
            });
            assert_eq!((number, told), (Ok(10 * i + n), Some(cpu)));
            dawdle(cx);
        }
    });
    join(cx, &callers);
    let seen = Arc::new(Count::default());
    let everywhere = || {
        let seen = Arc::clone(&seen);
        wq::on_each_core(cx, move |cx| {
            seen.add(1 << here().index());
            dawdle(cx);
        })
    };
    refuse_heap(true);
    assert_eq!(everywhere(), Err(OnCpuError::NoMemory));
    refuse_heap(false);
    assert_eq!(seen.get(), 0, "refused, and called");
    let told = insist(|| match everywhere() {
        Err(OnCpuError::NoMemory) => Err(()),
        other => Ok(other),
    });
    assert_eq!(told, Ok(()));
    assert_eq!(
        seen.get() as u64,
        kernel::cpu::online().0,
        "once on each core"
    );
    let safe = wq::work_on_cpu_safe(cx, core(1), |_| here());
    assert_eq!(safe, Ok(core(1)));
    let nowhere = machine::CpuId::new(machine::MAX_CPUS - 1);
    if !kernel::cpu::online().contains(nowhere) {
        let refused = wq::work_on_cpu(cx, nowhere, |_| unreachable!());
        assert_eq!(refused, Err::<(), _>(OnCpuError::Offline));
    }
    let last = core(cpus() - 1);
    if cpus() > 1 {
        insist(|| kernel::hotplug::offline(cx, last));
        let refused = wq::work_on_cpu_safe(cx, last, |_| ());
        assert_eq!(refused, Err(OnCpuError::Offline));
        insist(|| kernel::hotplug::online(cx, last));
        until(cx, || kernel::cpu::online().contains(last));
        assert_eq!(wq::work_on_cpu(cx, last, |_| here()), Ok(last));
    }
}
