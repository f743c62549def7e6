//! The watchdog and the picture of all queues (N6, N7, N8).

mod chains;

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::cpu::CpuMask;
use kernel::thread::{Builder, ThreadCx, current, sleep, yield_now};
use kernel::wq::{self, PerCpu, Run, StallKind, Submitted, Workqueue};
use machine::Duration;
use sim::{Kinds, Scenario, refuse_threads};

use crate::kit::{
    Count, HARDY, burn, core, cpus, insist, join, ms, new_bh_item, new_item, pick, until, us,
};

/// Scenarios of the watchdog.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("watchdog-lockups", 2, lockups)
        .about("a pool that starts nothing, slots that stay taken and an item stuck alone are told in time (N7, N8 a, N8 b)")
        .cpus_range(1, 4)
        .endures(Kinds::SPURIOUS.or(Kinds::IPI)),
    Scenario::new("watchdog-blind-hooks", 2, blind_hooks)
        .about("a worker that waits without the hooks holds its pool up, and that is told in time (E18, N7)")
        .cpus_range(1, 4)
        .endures(Kinds::SPURIOUS.or(Kinds::IPI)),
    Scenario::new("watchdog-late-timers", 2, late_timers)
        .about("a core that stands with interrupts masked is told by another (N8 d)")
        .cpus_range(2, 4)
        .endures(Kinds::SPURIOUS),
    Scenario::new("watchdog-overload", 2, overload)
        .about("ten times the work that the cores can do is no lockup while it goes on (N7)")
        .cpus_range(1, 2)
        .endures(Kinds::SPURIOUS.or(Kinds::IPI)),
    Scenario::new("small-rows", 2, small_rows)
        .about("handlers that return in atomic context are repaired; on each core, enable and queue, busy (E20, C12, J4, J13)")
        .cpus_range(1, 4)
        .endures(HARDY),
    Scenario::new("watchdog-who-waits-for-whom", 3, chains::told)
        .about("the chain behind a stuck item is told word by word: items, mutexes, slots, and what it ends in (N8 a, N8 b)")
        .cpus_range(1, 4)
        .endures(Kinds::SPURIOUS.or(Kinds::IPI)),
    Scenario::new("watchdog-patience", 2, patience)
        .about("items that sleep until a set time, and pauses that somebody vouches for, are not told (N7, N8 b)")
        .cpus_range(1, 4)
        .endures(Kinds::SPURIOUS.or(Kinds::IPI)),
    Scenario::new("picture-of-queues", 2, picture)
        .about("the picture names what runs, what waits and what calls for help, and its numbers are right (N6)")
        .cpus_range(1, 4)
        .endures(Kinds::DELAYS),
];

/// E20, C12, J4, J13.
fn small_rows(cx: &ThreadCx<'_>) {
    let gate = Gate::default();
    let leak = |_: &ThreadCx<'_>, run: &Run<'_, Gate>| {
        if run.1.up().is_multiple_of(2) {
            core::mem::forget(sync::preempt_disable());
        } else {
            machine::irq_disable();
        }
    };
    for n in 1..5 {
        let item = new_item(Arc::clone(&gate), leak);
        assert_eq!(wq::percpu().queue(&item), Submitted::Queued);
        item.flush(cx).expect("no panic");
        assert_eq!(wq::leak_count(), n, "E20");
        // Its core goes on.
        let nap = new_item((), |cx: &ThreadCx<'_>, _: &Run<'_, ()>| sleep(cx, us(50)));
        assert_eq!(wq::percpu().queue(&nap), Submitted::Queued);
        nap.flush(cx).expect("no panic");
    }
    let visits: Arc<Vec<Count>> = Arc::new((0..cpus()).map(|_| Count::default()).collect());
    let mine = Arc::clone(&visits);
    insist(|| {
        let mine = Arc::clone(&mine);
        wq::on_each_core(cx, move |_| {
            mine[crate::kit::here().index()].up();
        })
    });
    assert!(visits.iter().all(|n| n.get() == 1), "C12");
    let gate = Gate::default();
    let item = new_item(Arc::clone(&gate), wait);
    assert_eq!(item.busy(), (false, false));
    assert_eq!([item.disable(), item.disable()], [Ok(false); 2]);
    assert_eq!(wq::percpu().enable_and_queue(&item), None, "J4");
    assert_eq!(
        wq::percpu().enable_and_queue(&item),
        Some(Submitted::Queued)
    );
    until(cx, || item.busy() == (false, true));
    gate.0.complete_all();
    item.flush(cx).expect("no panic");
    assert_eq!(item.busy(), (false, false), "J13");
}

const LIMIT: Duration = ms(4);

type Gate = Arc<(Completion, Count)>;

fn wait(cx: &ThreadCx<'_>, run: &Run<'_, Gate>) {
    run.1.up();
    run.0.wait(cx);
}

/// The stall of this kind that was told last, once one was.
fn told(cx: &ThreadCx<'_>, kind: StallKind) -> wq::Stall {
    let found = || wq::last_stalls().into_iter().find(|s| s.kind == kind);
    until(cx, || found().is_some());
    found().expect("just seen")
}

/// N7: "within 2x threshold".
fn in_time(stall: &wq::Stall) {
    let lasted = stall.lasted;
    assert!(lasted >= LIMIT && lasted <= LIMIT + LIMIT, "{stall}");
}

fn lockups(cx: &ThreadCx<'_>) {
    let gate = Gate::default();
    let narrow = insist(|| Workqueue::<PerCpu>::builder("narrow").max_active(1).build());
    wq::set_watchdog(LIMIT);
    assert_eq!(wq::watchdog_limit(), Some(LIMIT));
    // (b): one item, and nothing behind it.
    let alone = new_item(Arc::clone(&gate), wait);
    assert_eq!(narrow.queue_on(core(0), &alone), Submitted::Queued);
    let stall = told(cx, StallKind::Item);
    in_time(&stall);
    assert_eq!((&*stall.queue, stall.waiting), ("narrow", 0));
    assert!(stall.item.is_some() && stall.thread.is_some());
    assert_eq!(wq::stall_count(), 1, "told once");
    // (a): two more, which wait for its slot.
    let more: Vec<_> = (0..2).map(|_| new_item(Arc::clone(&gate), wait)).collect();
    for item in &more {
        assert_eq!(narrow.queue_on(core(0), item), Submitted::Queued);
    }
    let stall = told(cx, StallKind::Slots);
    in_time(&stall);
    assert_eq!((&*stall.queue, stall.waiting), ("narrow", 2));
    let first = wq::last_stalls().into_iter().find(|s| s.number == 1);
    assert_eq!(
        first.map(|s| s.kind),
        Some(StallKind::Item),
        "a later look leaves it there"
    );
    gate.0.complete_all();
    narrow.flush(cx).expect("not one of its items");
    // N7: an item computes, nobody is woken for the one behind it.
    wq::set_cpu_intensive_threshold(Duration::ZERO);
    let hog = new_item((), |_: &ThreadCx<'_>, _: &Run<'_, ()>| burn(ms(12)));
    let behind = new_item(Arc::clone(&gate), wait);
    let last = core(cpus() - 1);
    let mut stall = None;
    // The hog may be through before anybody looks.
    for _ in 0..20 {
        let before = behind.1.get();
        assert_eq!(wq::percpu().queue_on(last, &hog), Submitted::Queued);
        assert_eq!(wq::percpu().queue_on(last, &behind), Submitted::Queued);
        while stall.is_none() && behind.1.get() == before {
            stall = wq::last_stalls()
                .into_iter()
                .find(|s| s.kind == StallKind::Pool);
            sleep(cx, us(50));
        }
        wq::percpu().flush(cx).expect("not one of its items");
        if stall.is_some() {
            break;
        }
    }
    assert_eq!(stall.expect("a pool that starts nothing").waiting, 1, "N7");
    wq::set_watchdog(Duration::ZERO);
    assert_eq!(wq::watchdog_limit(), None);
    wq::set_cpu_intensive_threshold(ms(10));
    narrow.destroy(cx).expect("not one of its items");
}

/// A thread gives its core up in one place, which calls the hook; so the only wait that the pool is
/// not told of is one that goes on asking: for the item behind it, which the pool starts when this
/// one sleeps.
fn blind_hooks(cx: &ThreadCx<'_>) {
    struct Pair {
        told: Count,
        second: Count,
    }
    fn ask(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Pair>>) {
        while run.second.get() == 0 && run.told.get() == 0 {
            burn(us(20));
            yield_now(cx);
        }
    }
    fn second(_: &ThreadCx<'_>, run: &Run<'_, Arc<Pair>>) {
        run.second.up();
    }
    // Else the first counts as a hog soon, and the pool goes on (E14).
    wq::set_cpu_intensive_threshold(Duration::ZERO);
    wq::set_watchdog(LIMIT);
    let pair = Arc::new(Pair {
        told: Count::default(),
        second: Count::default(),
    });
    let cpu = core(pick(cpus()));
    let first = new_item(Arc::clone(&pair), ask);
    let behind = new_item(Arc::clone(&pair), second);
    assert_eq!(wq::percpu().queue_on(cpu, &first), Submitted::Queued);
    assert_eq!(wq::percpu().queue_on(cpu, &behind), Submitted::Queued);
    let stall = told(cx, StallKind::Pool);
    in_time(&stall);
    assert_eq!(stall.waiting, 1);
    assert_eq!(pair.second.get(), 0, "the pool was told after all");
    pair.told.up();
    wq::percpu().flush(cx).expect("not one of its items");
    assert_eq!(pair.second.get(), 1);
    wq::set_watchdog(Duration::ZERO);
}

fn late_timers(cx: &ThreadCx<'_>) {
    wq::set_watchdog(LIMIT);
    // The second watcher is on the last core.
    let last = core(cpus() - 1);
    current().set_affinity(CpuMask(!CpuMask::single(last).0));
    sleep(cx, ms(1));
    // In BH context, so that no thread's slice ends meanwhile.
    let item = new_bh_item((), |_, _| {
        let masked = sync::IrqGuard::new();
        burn(ms(12));
        drop(masked);
    });
    assert_eq!(wq::bh().queue_on(last, &item), Submitted::Queued);
    let stall = told(cx, StallKind::Timers);
    assert_eq!(stall.place, last.index());
    item.flush(cx).expect("no panic");
    wq::set_watchdog(Duration::ZERO);
    current().set_affinity(CpuMask::ALL);
}

fn overload(cx: &ThreadCx<'_>) {
    wq::set_watchdog(ms(40));
    let runs = Arc::new(Count::default());
    let hogs: Vec<_> = (0..9 * cpus())
        .map(|n| {
            let builder = Builder::new("hog").affinity(CpuMask::single(core(n)));
            builder
                .spawn(|_| burn(ms(10)))
                .expect("memory for a thread")
        })
        .collect();
    let compute = |_: &ThreadCx<'_>, run: &Run<'_, Arc<Count>>| {
        burn(us(20));
        run.up();
    };
    let mut queued = 0;
    for n in 0..200 * cpus() {
        let item = new_item(Arc::clone(&runs), compute);
        assert_eq!(wq::percpu().queue_on(core(n), &item), Submitted::Queued);
        queued += 1;
    }
    until(cx, || runs.get() == queued);
    join(cx, &hogs);
    assert_eq!(wq::stall_count(), 0, "{:?}", wq::last_stalls());
    assert_eq!(kernel::lockup::lockup_count(), 0);
    wq::set_watchdog(Duration::ZERO);
}

fn patience(cx: &ThreadCx<'_>) {
    wq::set_watchdog(LIMIT);
    let nap = new_item((), |cx: &ThreadCx<'_>, _: &Run<'_, ()>| sleep(cx, ms(30)));
    assert!(wq::percpu().queue(&nap).is_pending());
    nap.flush(cx).expect("no panic");
    let gate = Gate::default();
    let item = new_item(Arc::clone(&gate), wait);
    assert!(wq::percpu().queue(&item).is_pending());
    for _ in 0..12 {
        sleep(cx, ms(1));
        wq::touch_watchdog();
    }
    assert_eq!(wq::stall_count(), 0, "{:?}", wq::last_stalls());
    wq::set_watchdog(Duration::ZERO);
    gate.0.complete_all();
    item.flush(cx).expect("no panic");
}

/// The number behind `key` in `line`.
fn number(line: &str, key: &str) -> usize {
    let at = line.find(key).map(|i| i + key.len());
    let text = &line[at.unwrap_or_else(|| panic!("no {key} in {line}"))..];
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end].parse().expect("a number")
}

/// How many names a list has, runs of equal ones counted as many.
fn names(line: &str) -> usize {
    let list = line.split_once(": ").expect("a list").1;
    let each = list.split(" | ").map(|name| match name.split_once('*') {
        Some((n, _)) => n.parse().expect("a number"),
        None => 1,
    });
    each.sum()
}

fn picture(cx: &ThreadCx<'_>) {
    let look = || {
        let mut text = String::new();
        wq::show_all(&mut text).expect("strings take everything");
        text
    };
    let quiet = look();
    assert_eq!(quiet.lines().next(), Some("workqueues and worker pools:"));
    let wq = insist(|| {
        let builder = Workqueue::<PerCpu>::builder("shown").mem_reclaim();
        builder.max_active(4).build()
    });
    assert!(
        !quiet.contains("shown") && !look().contains("shown"),
        "nothing to show"
    );
    let gate = Gate::default();
    refuse_threads(true);
    let cpu = core(pick(cpus()));
    let inactive = 1 + pick(5);
    let items: Vec<_> = (0..4 + inactive)
        .map(|_| new_item(Arc::clone(&gate), wait))
        .collect();
    for item in &items {
        assert_eq!(wq.queue_on(cpu, item), Submitted::Queued);
    }
    // The rescuer has one, and its pool calls for the others.
    let find = |text: &str, start: &str| {
        let found = text.lines().find(|l| l.trim_start().starts_with(start));
        found.map(str::to_owned)
    };
    until(cx, || {
        let text = look();
        let rescued = find(&text, "in-flight: ").is_some_and(|l| l.contains("(rescuer):"));
        rescued && find(&text, "pwq").is_some_and(|l| l.ends_with("MAYDAY"))
    });
    let text = look();
    let line = |start: &str| find(&text, start).unwrap_or_else(|| panic!("no {start} in {text}"));
    let head = line("workqueue shown:");
    assert!(head.contains("flags=percpu,mem_reclaim") && number(&head, "max_active=") == 4);
    let share = line("pwq ");
    assert_eq!(number(&share, "cpu="), cpu.index());
    assert_eq!(number(&share, "active="), 4);
    // Items in flight, one call and one rescue.
    assert_eq!(number(&share, "refs="), items.len() + 2);
    let flying = line("in-flight: ");
    assert!(flying.contains("(rescuer):"), "{flying}");
    assert_eq!(names(&flying), gate.1.get());
    assert_eq!(names(&line("pending: ")), 4 - gate.1.get());
    assert_eq!(names(&line("inactive: ")), inactive);
    // They are all of one function, so each list has one entry.
    for list in ["pending: ", "inactive: "] {
        assert!(!line(list).contains(" | "), "{}", line(list));
    }
    let pool = line(&format!("pool {}: cpu=", number(&share, "pwq ")));
    assert!(
        number(&pool, "workers=") >= 1 && number(&pool, "manager: ") > 0,
        "{pool}"
    );
    refuse_threads(false);
    gate.0.complete_all();
    wq.destroy(cx).expect("not one of its items");
    until(cx, || !look().contains("pwq "));
}
