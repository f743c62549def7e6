//! Threads: where each one is, and whether the cores do what the wake-ups asked for.
//!
//! Rules (`switch`): a core changes from the thread that it runs to one that is runnable and on that
//! core's runqueue. (`affinity`): a thread begins, wakes up on, or goes to a core that it may run on; a
//! change of where it may run tells only from its next sleep on. (`runnable`): when all cores wait for an interrupt, no thread is runnable.
//! (`conserve`): a core does not go on idling while another one changes threads twice and leaves one
//! waiting that it could run; whoever leaves a thread waiting pokes an idle core, under the runqueue
//! lock that the next change of threads needs. That one may be on its way still, for another thread that
//! waits there; when it has taken that it pokes the next. Whoever wakes a thread on a busy core does so before
//! anything else: at the waker's next event an idle core is told, if the thread is the only one there
//! that waits.

use kernel::audit::PULL_SCAN;
use trace::Kind;

use super::names::Map;
use super::{Seen, Verdict, ensure};

/// Where a thread is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// On this core.
    Running(usize),
    /// Runnable, on this core's runqueue.
    Waiting(usize),
    /// Not runnable.
    Asleep,
    /// Over.
    Dead,
}

#[derive(Clone, Copy, Debug)]
struct Thread {
    state: State,
    /// When it got into that state.
    since: u64,
    /// Cores it may run on.
    allowed: u64,
    /// The same before the last change since it slept.
    before: u64,
}

/// Whether an interrupt was sent to a core, and it has not changed to a thread since it took that.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Told {
    #[default]
    No,
    /// It has not taken it yet.
    Sent,
    /// It has, and looks for something to do until it sleeps again.
    Taken,
}

#[derive(Clone, Copy, Default, Debug)]
struct Core {
    current: u32,
    /// When it last changed to its idle thread.
    idle_since: Option<u64>,
    last_switch: u64,
    told: Told,
}

/// A thread that was woken where another one runs.
#[derive(Clone, Copy, Debug)]
struct Owed {
    id: u32,
    on: usize,
    /// Idle cores that it may run on and that nobody had told.
    cores: u64,
}

/// What is known of threads and cores.
#[derive(Default, Debug)]
pub(crate) struct Threads {
    threads: Map<u32, Thread>,
    cores: Vec<Core>,
    waiting: u32,
    /// Cores that were offline once: a thread that may run on no others goes anywhere meanwhile.
    left: u64,
    /// Cores that are offline.
    offline: u64,
    /// By the core that woke a thread, until its next event.
    owed: Map<usize, Owed>,
    /// Counts events: a clock in which no two events are at the same time.
    now: u64,
}

impl Threads {
    /// The thread on core `cpu`, 0 if idle.
    pub(crate) fn current(&self, cpu: usize) -> u32 {
        self.cores.get(cpu).map_or(0, |c| c.current)
    }

    /// Where thread `id` is.
    pub(crate) fn state(&self, id: u32) -> State {
        self.threads.get(&id).map_or(State::Asleep, |t| t.state)
    }

    pub(crate) fn see(&mut self, s: &Seen) -> Verdict {
        self.now += 1;
        let (e, id) = (&s.event, s.event.head.arg);
        let telling = matches!(e.kind, Kind::IpiSend | Kind::TimerStart | Kind::TimerCancel);
        if !self.owed.is_empty()
            && !telling
            && let Some(owed) = self.owed.remove(&s.cpu)
        {
            self.told(&owed, s.asleep)?;
        }
        // One that is about to idle, and does not look so from here, may be told as well.
        if e.kind == Kind::IpiSend && self.owed.get(&s.cpu).is_some_and(|o| o.on != id as usize) {
            self.owed.remove(&s.cpu);
        }
        match e.kind {
            Kind::IpiSend => {
                if let Some(c) = self.cores.get_mut(id as usize) {
                    c.told = Told::Sent;
                }
            }
            Kind::IpiEntry => {
                if let Some(c) = self.cores.get_mut(s.cpu) {
                    c.told = Told::Taken;
                }
            }
            Kind::SchedSwitch => return self.switch(s),
            Kind::SchedWakeupNew => {
                let known = self.threads.contains_key(&id);
                ensure!(!known, "switch", "thread {id} is new for the second time");
                self.put(id, State::Waiting(e.a as usize));
                if let Some(t) = self.threads.get_mut(&id) {
                    (t.allowed, t.before) = (e.b, e.b);
                }
                self.may_run(id, e.a as usize)?;
                self.owe(s);
            }
            Kind::SchedWakeup => {
                self.allow(id, e.b);
                match self.state(id) {
                    State::Asleep => {
                        self.put(id, State::Waiting(e.a as usize));
                        self.may_run(id, e.a as usize)?;
                        // From its sleep on only where it may run now.
                        if let Some(t) = self.threads.get_mut(&id) {
                            t.before = t.allowed;
                        }
                        self.owe(s);
                    }
                    State::Dead => ensure!(false, "switch", "thread {id} is woken after its end"),
                    // It has not given its core up yet, and stays on it.
                    State::Running(_) | State::Waiting(_) => {}
                }
            }
            Kind::SchedMigrateTask => {
                let (to, state) = (e.b as usize, self.state(id));
                let running = matches!(state, State::Running(_));
                ensure!(
                    !running,
                    "switch",
                    "thread {id} migrates while it is {state:?}"
                );
                self.may_run(id, to)?;
                if matches!(state, State::Waiting(_)) {
                    self.put(id, State::Waiting(to));
                }
            }
            Kind::SchedSetAffinity => self.allow(id, e.b),
            Kind::CpuOffline => {
                self.left |= 1 << id;
                self.offline |= 1 << id;
            }
            Kind::CpuOnline => {
                self.offline &= !(1 << id);
                if let Some(c) = self.cores.get_mut(id as usize) {
                    c.idle_since = c.idle_since.map(|_| self.now);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn switch(&mut self, s: &Seen) -> Verdict {
        let (e, cpu) = (&s.event, s.cpu);
        let (prev, next) = (e.a as u32, e.head.arg);
        if self.cores.len() <= cpu {
            self.cores.resize_with(cpu + 1, Core::default);
        }
        let current = self.cores[cpu].current;
        ensure!(
            prev == current,
            "switch",
            "core {cpu} runs thread {current}, and thread {prev} leaves it"
        );
        if prev != 0 {
            self.put(
                prev,
                match e.b {
                    0 => State::Waiting(cpu),
                    1 => State::Asleep,
                    _ => State::Dead,
                },
            );
        }
        if next != 0 {
            let state = self.state(next);
            ensure!(
                state == State::Waiting(cpu),
                "switch",
                "core {cpu} changes to thread {next}, which is {state:?}"
            );
            self.put(next, State::Running(cpu));
        }
        for (i, c) in self.cores.iter_mut().enumerate() {
            if c.told == Told::Taken && s.asleep >> i & 1 != 0 {
                c.told = Told::No;
            }
        }
        let verdict = self.conserve(cpu, s.asleep);
        let core = &mut self.cores[cpu];
        core.current = next;
        core.last_switch = self.now;
        // One that was about to idle has not looked since it was told; nor has one that the interrupt has not
        // reached, which passes it on when it does.
        if next != 0 && core.told == Told::Taken {
            core.told = Told::No;
        }
        core.idle_since = (next == 0).then_some(self.now);
        verdict
    }

    /// Core `cpu` changes threads: was one left waiting since its last change that an idle core
    /// could have run all the time?
    fn conserve(&self, cpu: usize, asleep: u64) -> Verdict {
        if self.waiting == 0 || asleep == 0 {
            return Ok(());
        }
        let before = self.cores[cpu].last_switch;
        // An idle core looks at no more of them, so one may be hidden behind threads of that core only.
        let here = |t: &&Thread| t.state == State::Waiting(cpu);
        if self.waiting as usize > PULL_SCAN
            && self.threads.values().filter(here).count() > PULL_SCAN
        {
            return Ok(());
        }
        for (id, t) in &self.threads {
            // One that may not be there is moved by who says so, or who brings its cores back.
            let astray = t.allowed >> cpu & 1 == 0;
            if t.state != State::Waiting(cpu) || t.since >= before || astray {
                continue;
            }
            let could = self.idle(t.allowed);
            let long = |i: usize| self.cores[i].idle_since.is_some_and(|at| at < before);
            // One that is awake is on its way.
            let forgotten = could != 0
                && could & !asleep == 0
                && (0..self.cores.len()).all(|i| could >> i & 1 == 0 || long(i));
            ensure!(
                !forgotten || self.on_its_way(cpu, asleep),
                "conserve",
                "thread {id} waits for core {cpu}, and the idle cores {could:#b} of {:#b} were not told",
                t.allowed
            );
        }
        Ok(())
    }

    /// Another core than `cpu` was told of some thread and has not looked yet. It may be about to idle,
    /// which does not look so from here.
    fn on_its_way(&self, cpu: usize, asleep: u64) -> bool {
        let is = |(i, c): (usize, &Core)| i != cpu && c.told != Told::No && asleep >> i & 1 == 0;
        self.cores.iter().enumerate().any(is)
    }

    /// Which of `cores` idle.
    fn idle(&self, cores: u64) -> u64 {
        let idle = |(i, c): (usize, &Core)| {
            let is =
                (cores & !self.offline) >> i & 1 != 0 && c.current == 0 && c.idle_since.is_some();
            u64::from(is) << i
        };
        self.cores.iter().enumerate().map(idle).sum()
    }

    /// A thread was woken: does its waker have to tell an idle core of it?
    fn owe(&mut self, s: &Seen) {
        let (id, on) = (s.event.head.arg, s.event.a as usize);
        let Some(t) = self.threads.get(&id) else {
            return;
        };
        // One that may not be there is moved by who brings its cores back: its waker saw them offline.
        if t.allowed >> on & 1 == 0 {
            return;
        }
        let cores = self.idle(t.allowed);
        if cores & s.asleep != 0 && cores & !s.asleep == 0 && self.current(on) != 0 {
            self.owed.insert(s.cpu, Owed { id, on, cores });
        }
    }

    pub(crate) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Who woke a thread goes on: an idle core is told by now, unless the thread needs none any more.
    fn told(&self, o: &Owed, asleep: u64) -> Verdict {
        let here = |t: &&Thread| t.state == State::Waiting(o.on);
        let Some(t) = self.threads.get(&o.id).filter(here) else {
            return Ok(());
        };
        let alone = self.threads.values().filter(here).count() == 1;
        let could = self.idle(t.allowed);
        let forgotten = could != 0 && could & !(asleep & o.cores) == 0;
        ensure!(
            !(alone && forgotten && self.current(o.on) != 0),
            "conserve",
            "thread {} was woken on core {}, which is busy, and the idle cores {could:#b} were not told",
            o.id,
            o.on
        );
        Ok(())
    }

    fn put(&mut self, id: u32, state: State) {
        let now = self.now;
        let t = self.threads.entry(id).or_insert(Thread {
            state: State::Asleep,
            since: now,
            allowed: u64::MAX,
            before: 0,
        });
        self.waiting -= u32::from(matches!(t.state, State::Waiting(_)));
        self.waiting += u32::from(matches!(state, State::Waiting(_)));
        (t.state, t.since) = (state, now);
    }

    fn allow(&mut self, id: u32, cores: u64) {
        if let Some(t) = self.threads.get_mut(&id).filter(|t| t.allowed != cores) {
            t.before = core::mem::replace(&mut t.allowed, cores);
        }
    }

    /// Thread `id` is put on core `cpu`. Who chose the core may have looked before the last change.
    fn may_run(&self, id: u32, cpu: usize) -> Verdict {
        let t = self.threads.get(&id);
        let masks = t.map_or([u64::MAX; 2], |t| [t.allowed, t.before]);
        let may = |mask: u64| mask >> cpu & 1 != 0 || mask & !self.left == 0;
        ensure!(
            masks.into_iter().any(may),
            "affinity",
            "thread {id} goes to core {cpu}, and may run on the cores {:#b}",
            masks[0] | masks[1]
        );
        Ok(())
    }

    /// All cores wait: nobody may be runnable.
    pub(crate) fn quiescent(&self) -> Verdict {
        if self.waiting == 0 {
            return Ok(());
        }
        let waiting = |(id, t): (&u32, &Thread)| match t.state {
            State::Waiting(cpu) => Some((*id, cpu)),
            _ => None,
        };
        let first = self.threads.iter().filter_map(waiting).min();
        let (id, cpu) = first.unwrap_or_default();
        ensure!(
            first.is_none(),
            "runnable",
            "every core waits for an interrupt, and thread {id} is runnable on core {cpu}"
        );
        Ok(())
    }
}
