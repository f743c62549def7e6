//! Worlds of 16, 33 and 64 cores: an odd number, and as many as a mask has bits.
//!
//! Each core does little, so that a world costs no more than one of eight cores that does much. What can
//! go wrong here and not there: words and masks of one bit per core, tables by core, broadcasts, and
//! searches for an idle core that pass over many.

use std::sync::Arc;

use kernel::completion::Completion;
use kernel::cpu::CpuMask;
use kernel::softirq::BhCx;
use kernel::thread::{Builder, ThreadCx, current};
use kernel::wq::{Bh, PerCpu, Run, Submitted, Unbound, Workqueue};
use machine::CpuId;
use sim::Scenario;

use crate::kit::{
    Count, HARDY, core, cpus, crowd, dawdle, here, insist, join, new_bh_item, new_item, pick, until,
};

/// The numbers of cores.
const COUNTS: &[usize] = &[16, 33, 64];

/// Scenarios of many cores.
pub(super) const ALL: &[Scenario] = &[
    Scenario::new("many-cores-items", 16, items)
        .about("an item for every core runs there, of both priorities, and a flush waits for all (C1, C3, I1)")
        .cpus_among(COUNTS)
        .endures(HARDY),
    Scenario::new("many-cores-unbound", 16, unbound)
        .about("as many unbound items as there are cores meet each other (F1, D3)")
        .cpus_among(COUNTS)
        .endures(HARDY),
    Scenario::new("many-cores-bh", 16, bh)
        .about("BH items sent to every core run there, once each (K2, K3)")
        .cpus_among(COUNTS)
        .endures(HARDY),
    Scenario::new("many-cores-threads", 16, threads)
        .about("threads go where their affinity says, from one end of the mask to the other")
        .cpus_among(COUNTS)
        .endures(HARDY),
    Scenario::new("many-cores-limits", 16, limits)
        .about("a limit holds on each of many cores, and all items run (D2)")
        .cpus_among(COUNTS)
        .endures(HARDY),
];

/// What ran on which core.
struct Visits(Vec<Count>);

impl Visits {
    fn new() -> Arc<Self> {
        Arc::new(Self((0..cpus()).map(|_| Count::default()).collect()))
    }

    fn each_is(&self, n: usize) {
        for (cpu, visits) in self.0.iter().enumerate() {
            assert_eq!(visits.get(), n, "core {cpu}");
        }
    }
}

/// An item that is to run on one core.
struct Letter {
    to: CpuId,
    visits: Arc<Visits>,
}

impl Letter {
    fn arrive(&self) {
        assert_eq!(here(), self.to, "it runs on another core");
        self.visits.0[self.to.index()].up();
    }
}

fn items(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<PerCpu>::builder("letters").build());
    let urgent = insist(|| Workqueue::<PerCpu>::builder("telegrams").highpri().build());
    let visits = Visits::new();
    let senders = {
        let (wq, urgent, visits) = (wq.clone(), urgent.clone(), Arc::clone(&visits));
        crowd(2, move |cx, i| {
            for n in 0..cpus() {
                // One goes up, one goes down.
                let to = core(if i == 0 { n } else { cpus() - 1 - n });
                let visits = Arc::clone(&visits);
                let item = new_item(Letter { to, visits }, |cx: &ThreadCx<'_>, run| {
                    run.arrive();
                    dawdle(cx);
                });
                let wq = if i == 0 { &wq } else { &urgent };
                assert_eq!(wq.queue_on(to, &item), Submitted::Queued);
            }
            wq.flush(cx).expect("not one of its items");
        })
    };
    join(cx, &senders);
    urgent.flush(cx).expect("not one of its items");
    visits.each_is(2);
    wq.destroy(cx).expect("not one of its items");
    urgent.destroy(cx).expect("not one of its items");
}

fn unbound(cx: &ThreadCx<'_>) {
    struct Meeting {
        arrived: Count,
        wanted: usize,
        all: Completion,
    }
    fn meet(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Meeting>>) {
        if run.arrived.up() + 1 == run.wanted {
            run.all.complete_all();
        }
        run.all.wait(cx);
    }
    let wq = insist(|| Workqueue::<Unbound>::builder("meeting").build());
    let (arrived, wanted, all) = (Count::default(), cpus(), Completion::new());
    let meeting = Arc::new(Meeting {
        arrived,
        wanted,
        all,
    });
    for n in 0..wanted {
        let item = new_item(Arc::clone(&meeting), meet);
        assert_eq!(wq.queue_on(core(n), &item), Submitted::Queued);
    }
    wq.flush(cx).expect("not one of its items");
    assert_eq!(meeting.arrived.get(), wanted);
    wq.destroy(cx).expect("not one of its items");
}

fn bh(cx: &ThreadCx<'_>) {
    let wq = insist(|| Workqueue::<Bh>::builder("bells").build());
    for _ in 0..2 {
        let visits = Visits::new();
        for to in (0..cpus()).map(core) {
            let visits = Arc::clone(&visits);
            let item = new_bh_item(Letter { to, visits }, |_: &BhCx<'_>, run| run.arrive());
            assert_eq!(wq.queue_on(to, &item), Submitted::Queued);
        }
        wq.flush(cx).expect("not one of its items");
        visits.each_is(1);
    }
    wq.destroy(cx).expect("not one of its items");
}

fn threads(cx: &ThreadCx<'_>) {
    let travellers = crowd(6, |cx, i| {
        for leg in 0..4 {
            let to = core((i + 1) * (leg + 1) * 11 + pick(3));
            current().set_affinity(CpuMask::single(to));
            until(cx, || here() == to);
            dawdle(cx);
            assert_eq!(here(), to, "it left the only core it may run on");
        }
    });
    let residents: Vec<_> = (0..cpus())
        .map(|n| {
            let body = move |cx: &ThreadCx<'_>| {
                dawdle(cx);
                assert_eq!(here(), core(n), "it left the only core it may run on");
            };
            let affinity = CpuMask::single(core(n));
            insist(|| Builder::new("resident").affinity(affinity).spawn(body))
        })
        .collect();
    join(cx, &residents);
    join(cx, &travellers);
}

fn limits(cx: &ThreadCx<'_>) {
    /// Two places on each core.
    const LIMIT: usize = 2;
    struct Hall {
        inside: Visits,
        runs: Count,
    }
    fn visit(cx: &ThreadCx<'_>, run: &Run<'_, Arc<Hall>>) {
        let inside = &run.inside.0[here().index()];
        assert!(inside.up() < LIMIT, "more than the limit on one core");
        dawdle(cx);
        inside.down();
        run.runs.up();
    }
    let wq = insist(|| {
        Workqueue::<PerCpu>::builder("few")
            .max_active(LIMIT as u32)
            .build()
    });
    let inside = Visits((0..cpus()).map(|_| Count::default()).collect());
    let runs = Count::default();
    let hall = Arc::new(Hall { inside, runs });
    for n in 0..3 * cpus() {
        let item = new_item(Arc::clone(&hall), visit);
        assert_eq!(wq.queue_on(core(n), &item), Submitted::Queued);
    }
    wq.flush(cx).expect("not one of its items");
    assert_eq!(hall.runs.get(), 3 * cpus());
    wq.destroy(cx).expect("not one of its items");
}
