//! Threads: birth and death, parking, affinity, migration, niceness.

use std::sync::Arc;
use std::sync::Mutex as HostMutex;

use kernel::cpu::{CpuMask, cpu};
use kernel::thread::{
    Builder, Nice, ThreadCx, ThreadRef, current, park, sleep, thread_count, yield_now,
};
use sim::{Kinds, Scenario};

use crate::kit::{
    Count, HARDY, burn, core, cpus, crowd, dawdle, here, insist, join, linger, ms, one_in, pick,
    until, us, volunteers,
};

/// Scenarios of threads.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("family-of-threads", 3, family)
        .about("threads start children and join them, four generations deep; none is left")
        .cpus_range(1, 8)
        .endures(Kinds::EVERY),
    Scenario::new("many-joiners", 3, many_joiners)
        .about("many threads join one that ends at that moment, early and late ones alike")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("token-ring", 3, token_ring)
        .about("a token goes round by unpark and park: a lost wake-up is a deadlock")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("unpark-storm", 3, unpark_storm)
        .about("a parked thread sees everything that was written before an unpark")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("affinity-changes", 4, affinity_changes)
        .about("once a thread has arrived on the only core it may use, it stays there")
        .cpus_range(2, 8)
        .endures(HARDY),
    Scenario::new("affinity-widened", 3, affinity_widened)
        .about("a waiting thread that may use an idle core from now on is taken by it at once")
        .cpus_range(3, 8)
        .endures(Kinds::SPURIOUS),
    Scenario::new("pinned-and-free", 4, pinned_and_free)
        .about("pinned threads never leave their core while free ones are pulled around them")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("no-core-idle", 3, no_core_idle)
        .about("while twice as many threads compute as there are cores, no core is idle")
        .cpus_range(1, 8)
        .endures(Kinds::SPURIOUS),
    Scenario::new("preempted-by-a-pinned-thread", 2, preempted)
        .about("an idle core takes what has to make room for a thread that may not leave its core")
        .cpus_range(2, 6)
        .endures(Kinds::SPURIOUS),
    Scenario::new("yield-storm", 3, yield_storm)
        .about("threads that only yield all make progress")
        .cpus_range(1, 8)
        .endures(HARDY),
    Scenario::new("nice-changes", 3, nice_changes)
        .about("niceness changes while threads run, wait and sleep; everybody ends")
        .cpus_range(1, 8)
        .endures(HARDY),
];

fn family(cx: &ThreadCx<'_>) {
    /// A thread and its descendants; how many lived.
    fn live(cx: &ThreadCx<'_>, generation: usize, born: &Arc<Count>) {
        dawdle(cx);
        born.up();
        if generation == 0 {
            return;
        }
        let born = Arc::clone(born);
        // Without memory there are fewer children.
        let children = volunteers(2, move |cx, _| live(cx, generation - 1, &born));
        dawdle(cx);
        join(cx, &children);
        assert!(children.iter().all(|c| c.has_exited()));
    }
    let before = thread_count();
    let born = Arc::new(Count::default());
    live(cx, 4, &born);
    assert!((1..=31).contains(&born.get()));
    assert_eq!(thread_count(), before, "some are left");
}

fn many_joiners(cx: &ThreadCx<'_>) {
    for _ in 0..4 {
        let target = crowd(1, |cx, _| dawdle(cx));
        let joiners = {
            let target = Arc::clone(&target[0]);
            crowd(cpus() + 3, move |cx, _| {
                dawdle(cx);
                target.join(cx);
                assert!(target.has_exited());
                target.join(cx);
            })
        };
        join(cx, &joiners);
    }
}

fn token_ring(cx: &ThreadCx<'_>) {
    const THREADS: usize = 5;
    const LAPS: usize = 12;
    let turn = Arc::new(Count::default());
    let ring: Arc<HostMutex<Vec<ThreadRef>>> = Arc::default();
    let threads = {
        let (turn, ring) = (Arc::clone(&turn), Arc::clone(&ring));
        crowd(THREADS, move |cx, i| {
            for lap in 0..LAPS {
                while turn.get() != lap * THREADS + i {
                    park(cx);
                }
                turn.up();
                let next = ring.lock().map(|r| r.get((i + 1) % THREADS).cloned());
                if let Some(next) = next.expect("no panic") {
                    next.unpark();
                }
            }
        })
    };
    ring.lock().expect("no panic").clone_from(&threads);
    // Whoever ran before the ring was complete has woken nobody.
    threads.iter().for_each(|t| t.unpark());
    join(cx, &threads);
    assert_eq!(turn.get(), THREADS * LAPS);
    ring.lock().expect("no panic").clear();
}

fn unpark_storm(cx: &ThreadCx<'_>) {
    const EACH: usize = 12;
    let letters = Arc::new(Count::default());
    let wanted = EACH * (cpus() + 1);
    let reader = {
        let letters = Arc::clone(&letters);
        crowd(1, move |cx, _| {
            let mut read = 0;
            while read < wanted {
                park(cx);
                read += letters.take();
                dawdle(cx);
            }
        })
    };
    let writers = {
        let reader = Arc::clone(&reader[0]);
        crowd(cpus() + 1, move |cx, _| {
            for _ in 0..EACH {
                letters.up();
                reader.unpark();
                dawdle(cx);
            }
        })
    };
    join(cx, &writers);
    join(cx, &reader);
}

fn affinity_changes(cx: &ThreadCx<'_>) {
    let threads = crowd(cpus() + 2, |cx, _| {
        for _ in 0..5 {
            let home = core(pick(cpus()));
            current().set_affinity(CpuMask::single(home));
            // It moves when it next sleeps for long enough to leave its runqueue.
            until(cx, || here() == home);
            for _ in 0..5 {
                dawdle(cx);
                assert_eq!(here(), home, "it left the only core it may use");
            }
        }
    });
    join(cx, &threads);
}

fn affinity_widened(cx: &ThreadCx<'_>) {
    current().set_affinity(CpuMask::single(core(1)));
    until(cx, || here() == core(1));
    for _ in 0..6 {
        let moved = Arc::new(Count::default());
        let pinned = [(), ()].map(|()| {
            let moved = Arc::clone(&moved);
            let body = move |_: &ThreadCx<'_>| {
                while moved.get() == 0 {
                    if here() != core(0) {
                        moved.up();
                    }
                    machine::sync_point();
                }
            };
            let thread = Builder::new("pinned").affinity(CpuMask::single(core(0)));
            insist(|| thread.clone().spawn(body.clone()))
        });
        sleep(cx, us(200));
        pinned.iter().for_each(|t| t.set_affinity(CpuMask::ALL));
        // This core stays busy, so it cannot be the one that takes it; before a slice is over. Its
        // clock may run far ahead of that of a core which the seed lets wait.
        let end = machine::now() + us(600);
        while moved.get() == 0 && machine::now() < end {
            machine::relax();
        }
        assert_ne!(moved.get(), 0, "no idle core took the one that waits");
        join(cx, &pinned);
    }
}

fn pinned_and_free(cx: &ThreadCx<'_>) {
    let free = crowd(cpus() + 2, |cx, _| {
        for _ in 0..12 {
            linger();
            dawdle(cx);
        }
    });
    let pinned: Vec<_> = (0..2 * cpus())
        .map(|n| {
            let home = core(n);
            let body = move |cx: &ThreadCx<'_>| {
                for _ in 0..12 {
                    assert_eq!(here(), home, "a pinned thread was moved");
                    dawdle(cx);
                    burn(us(pick(10) as u64));
                }
            };
            let thread = Builder::new("pinned").affinity(CpuMask::single(home));
            insist(|| thread.clone().spawn(body))
        })
        .collect();
    join(cx, &free);
    join(cx, &pinned);
}

fn no_core_idle(cx: &ThreadCx<'_>) {
    let stop = Arc::new(Count::default());
    let threads = {
        let stop = Arc::clone(&stop);
        crowd(2 * cpus(), move |_, _| {
            while stop.get() == 0 {
                machine::sync_point();
            }
        })
    };
    // Let them find their places.
    sleep(cx, us(300));
    let idle = |n| cpu(core(n)).idle_ns();
    let before: Vec<u64> = (0..cpus()).map(idle).collect();
    sleep(cx, ms(2));
    for (n, before) in before.iter().enumerate() {
        let ns = idle(n) - before;
        assert!(ns < 200_000, "core {n} was idle for {ns} ns of 2 ms");
    }
    stop.up();
    join(cx, &threads);
}

fn yield_storm(cx: &ThreadCx<'_>) {
    let done = Arc::new(Count::default());
    let threads = {
        let done = Arc::clone(&done);
        crowd(2 * cpus() + 1, move |cx, _| {
            for _ in 0..20 {
                yield_now(cx);
                done.up();
            }
        })
    };
    join(cx, &threads);
    assert_eq!(done.get(), 20 * threads.len());
}

fn preempted(cx: &ThreadCx<'_>) {
    let free = crowd(1, |_, _| burn(ms(8)));
    sleep(cx, us(500 + pick(500) as u64));
    let pinned = Builder::new("pinned").affinity(CpuMask::single(free[0].cpu()));
    let pinned = pinned.spawn(|_: &ThreadCx<'_>| burn(ms(16)));
    join(cx, &free);
    // Longer than it takes the thread that has ended to leave its core, which is when it is charged.
    pinned.expect("memory for a thread").join(cx);
    let ns = free[0].cpu_time_ns();
    // Half of the time if it has to share.
    assert!(ns > 6_400_000, "{ns} ns of 8 ms beside an idle core");
}

fn nice_changes(cx: &ThreadCx<'_>) {
    let threads = crowd(2 * cpus() + 1, |cx, _| {
        for _ in 0..10 {
            burn(us(pick(20) as u64));
            dawdle(cx);
            if one_in(3) {
                current().set_nice(Nice::ZERO);
            }
        }
    });
    for _ in 0..40 {
        let t = &threads[pick(threads.len())];
        let nice = Nice::new(pick(40) as i8 - 20);
        t.set_nice(nice.unwrap_or(Nice::ZERO));
        dawdle(cx);
    }
    join(cx, &threads);
}
