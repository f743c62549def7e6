//! The commands: what they are called, what they take, and how a line becomes one.
//!
//! One table (`SPECS`) feeds help, completion and the sentences about wrong input.

use core::fmt;

use kernel::trace::Categories;

/// What is told about a command.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// What it takes, empty for nothing.
    pub takes: &'static str,
    /// What it does.
    pub does: &'static str,
}

const fn spec(name: &'static str, takes: &'static str, does: &'static str) -> Spec {
    Spec { name, takes, does }
}

/// All commands, in the order of the help.
pub const SPECS: [Spec; 22] = [
    spec("help", "[COMMAND]", "lists the commands, or tells of one"),
    spec(
        "ps",
        "",
        "threads: core, state, nice, vruntime, lag, CPU time, what they wait for",
    ),
    spec(
        "top",
        "[SECONDS]",
        "cores and busiest threads, again and again; q ends",
    ),
    spec(
        "wq",
        "",
        "workqueues: pods, pools, which pool a queue uses on which core, counters",
    ),
    spec(
        "wqmon",
        "[SECONDS]",
        "what each queue did in the last seconds, again and again; q ends",
    ),
    spec("lat", "", "where the time of each queue's items went"),
    spec(
        "trace",
        "[on [CATEGORIES] | off | dump [N]]",
        "switches events on and off, shows the last N of each core",
    ),
    spec("irq", "", "interrupts and softirqs of each core"),
    spec("mem", "", "memory: pages, heap, stacks"),
    spec("locks", "", "spin locks that were waited for"),
    spec(
        "cpu",
        "[N off|on]",
        "cores; takes one offline or brings it back",
    ),
    spec("freeze", "", "starts no more items of freezable queues"),
    spec("thaw", "", "ends freeze"),
    spec(
        "stress",
        "[NAME [SECONDS]]",
        "starts a built-in load; without a name lists them",
    ),
    spec(
        "set",
        "[KEY VALUE]",
        "changes a parameter, a queue's attribute (QUEUE.NAME) or a thread's nice or cpumask (ID.nice)",
    ),
    spec(
        "bt",
        "cpuN|THREAD",
        "where a core or a thread is, and for whom it waits",
    ),
    spec("panic", "", "ends the machine with a report"),
    spec("reboot", "", "starts the machine anew"),
    spec("poweroff", "", "switches the machine off"),
    spec(
        "uptime",
        "",
        "how long the machine is up, and how busy it is",
    ),
    spec("clear", "", "clears the screen"),
    spec("quit", "", "ends this session (TCP only)"),
];

/// A built-in load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    /// Items that sleep 10 ms again and again.
    Sleepers,
    /// One item on each core that computes.
    Hogs,
    /// Ten thousand short items on each core, again and again.
    Burst,
    /// An item that sleeps at the head of an ordered queue, and many behind it.
    Blocker,
    /// Threads that take one spin lock.
    Locks,
    /// Threads that yield to each other.
    Switch,
}

impl Load {
    /// Name, load, what it does.
    pub const ALL: [(&'static str, Self, &'static str); 6] = [
        (
            "sleepers",
            Self::Sleepers,
            "64 items that sleep 10 ms each, again and again",
        ),
        (
            "hogs",
            Self::Hogs,
            "an item on each core that computes all the time",
        ),
        (
            "burst",
            Self::Burst,
            "bursts of 1000 short items on each core",
        ),
        (
            "blocker",
            Self::Blocker,
            "an item that sleeps at the head of an ordered queue, 100 behind it",
        ),
        (
            "locks",
            Self::Locks,
            "a thread on each core, all taking one spin lock",
        ),
        (
            "switch",
            Self::Switch,
            "two threads on each core that yield to each other",
        ),
    ];
}

/// What `trace` shall do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tracing {
    /// Say what is on.
    Show,
    /// Write events of these categories.
    Want(Categories),
    /// Show the last so many events of each core.
    Dump(u32),
}

/// Whose frames `bt` shall show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// What a core runs.
    Core(usize),
    /// A thread.
    Thread(u32),
}

/// A command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "named after what is typed")]
pub enum Command<'a> {
    Help(Option<&'static str>),
    Ps,
    Top(u32),
    Wq,
    WqMon(u32),
    Lat,
    Trace(Tracing),
    Irq,
    Mem,
    Locks,
    Cpu(Option<(usize, bool)>),
    Freeze,
    Thaw,
    Stress(Option<(Load, u32)>),
    Set(Option<(&'a str, &'a str)>),
    Bt(Target),
    Panic,
    Reboot,
    Poweroff,
    Uptime,
    Clear,
    Quit,
}

/// Why a line is no command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong<'a> {
    /// Nothing is called so.
    Unknown(&'a str),
    /// The command takes something else.
    Usage(&'static str, &'static str),
    /// The word is not one of those that are allowed, which are told.
    Word(&'a str, &'static str),
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "no command is called \"{word}\"; help lists them"),
            Self::Usage(name, "") => write!(f, "{name} takes nothing; just type: {name}"),
            Self::Usage(name, takes) => write!(f, "wrong use; expected: {name} {takes}"),
            Self::Word(word, allowed) => write!(f, "\"{word}\": expected {allowed}"),
        }
    }
}

/// Seconds that `top` and `wqmon` pause unless told.
const PAUSE: u32 = 2;
/// Seconds that a load lasts unless told.
const LOAD: u32 = 10;
/// Events of each core that are dumped unless told.
const DUMP: u32 = 20;

/// Reads a line; `None` if it is empty.
///
/// # Errors
///
/// [`Wrong`], to be shown.
pub fn parse(line: &str) -> Result<Option<Command<'_>>, Wrong<'_>> {
    let mut words = line.split_ascii_whitespace();
    let Some(name) = words.next() else {
        return Ok(None);
    };
    let spec = SPECS.iter().find(|s| s.name == name);
    let spec = spec.ok_or(Wrong::Unknown(name))?;
    let args = [words.next(), words.next(), words.next()];
    let usage = Wrong::Usage(spec.name, spec.takes);
    command(spec.name, args, usage).map(Some)
}

fn command<'a>(
    name: &'static str,
    args: [Option<&'a str>; 3],
    usage: Wrong<'a>,
) -> Result<Command<'a>, Wrong<'a>> {
    let nothing = |c| match args {
        [None, ..] => Ok(c),
        _ => Err(usage),
    };
    match (name, args) {
        ("help", [None, ..]) => Ok(Command::Help(None)),
        ("help", [Some(word), None, _]) => {
            let spec = SPECS.iter().find(|s| s.name == word);
            Ok(Command::Help(Some(spec.ok_or(Wrong::Unknown(word))?.name)))
        }
        ("ps", _) => nothing(Command::Ps),
        ("top", [word, None, _]) => Ok(Command::Top(seconds(word, PAUSE)?)),
        ("wq", _) => nothing(Command::Wq),
        ("wqmon", [word, None, _]) => Ok(Command::WqMon(seconds(word, PAUSE)?)),
        ("lat", _) => nothing(Command::Lat),
        ("trace", _) => trace(args, usage).map(Command::Trace),
        ("irq", _) => nothing(Command::Irq),
        ("mem", _) => nothing(Command::Mem),
        ("locks", _) => nothing(Command::Locks),
        ("cpu", [None, ..]) => Ok(Command::Cpu(None)),
        ("cpu", [Some(n), Some(state), None]) => {
            let core = number(n, u64::from(u32::MAX), "the number of a core")? as usize;
            match state {
                "on" => Ok(Command::Cpu(Some((core, true)))),
                "off" => Ok(Command::Cpu(Some((core, false)))),
                _ => Err(Wrong::Word(state, "on or off")),
            }
        }
        ("freeze", _) => nothing(Command::Freeze),
        ("thaw", _) => nothing(Command::Thaw),
        ("stress", [None, ..]) => Ok(Command::Stress(None)),
        ("stress", [Some(word), time, None]) => {
            let load = Load::ALL.iter().find(|l| l.0 == word);
            let allowed = "sleepers, hogs, burst, blocker, locks or switch";
            let load = load.ok_or(Wrong::Word(word, allowed))?.1;
            Ok(Command::Stress(Some((load, seconds(time, LOAD)?))))
        }
        ("set", [None, ..]) => Ok(Command::Set(None)),
        ("set", [Some(key), Some(value), None]) => Ok(Command::Set(Some((key, value)))),
        ("bt", [Some(word), None, _]) => target(word).map(Command::Bt),
        ("panic", _) => nothing(Command::Panic),
        ("reboot", _) => nothing(Command::Reboot),
        ("poweroff", _) => nothing(Command::Poweroff),
        ("uptime", _) => nothing(Command::Uptime),
        ("clear", _) => nothing(Command::Clear),
        ("quit", _) => nothing(Command::Quit),
        _ => Err(usage),
    }
}

fn number<'a>(word: &'a str, most: u64, what: &'static str) -> Result<u64, Wrong<'a>> {
    let n = word.parse().ok().filter(|&n| n <= most);
    n.ok_or(Wrong::Word(word, what))
}

fn seconds(word: Option<&str>, otherwise: u32) -> Result<u32, Wrong<'_>> {
    let Some(word) = word else {
        return Ok(otherwise);
    };
    match number(word, 3600, "1 to 3600 seconds")? {
        0 => Err(Wrong::Word(word, "1 to 3600 seconds")),
        n => Ok(n as u32),
    }
}

fn trace<'a>(args: [Option<&'a str>; 3], usage: Wrong<'a>) -> Result<Tracing, Wrong<'a>> {
    match args {
        [None, ..] => Ok(Tracing::Show),
        [Some("on"), None, _] => Ok(Tracing::Want(Categories::DEFAULT)),
        [Some("on"), Some(list), None] => {
            let set = Categories::parse(list)
                .ok()
                .filter(|s| *s != Categories::NONE);
            let allowed = crate::args::TRACE;
            Ok(Tracing::Want(set.ok_or(Wrong::Word(list, allowed))?))
        }
        [Some("off"), None, _] => Ok(Tracing::Want(Categories::NONE)),
        [Some("dump"), None, _] => Ok(Tracing::Dump(DUMP)),
        [Some("dump"), Some(n), None] => {
            Ok(Tracing::Dump(number(n, 1000, "at most 1000 events")? as u32))
        }
        [Some(word), ..] if !["on", "off", "dump"].contains(&word) => {
            Err(Wrong::Word(word, "on, off or dump"))
        }
        _ => Err(usage),
    }
}

fn target(word: &str) -> Result<Target, Wrong<'_>> {
    let what = "a core such as cpu0, or the number of a thread, which ps lists";
    match word.strip_prefix("cpu") {
        Some(n) => n
            .parse()
            .map(Target::Core)
            .map_err(|_| Wrong::Word(word, what)),
        None => word
            .parse()
            .map(Target::Thread)
            .map_err(|_| Wrong::Word(word, what)),
    }
}

/// Most words that may follow.
const WORDS: usize = 32;

/// Words that may follow `before`, which are all words before the one that is completed.
pub fn words_after(before: &str) -> heapless::Vec<&'static str, WORDS> {
    let mut given = before.split_ascii_whitespace();
    let (name, argument) = (given.next(), given.next());
    let commands = || SPECS.iter().map(|s| s.name).collect();
    match (name, argument) {
        (None, _) | (Some("help"), None) => commands(),
        (Some("stress"), None) => Load::ALL.iter().map(|l| l.0).collect(),
        (Some("trace"), None) => ["on", "off", "dump"].into_iter().collect(),
        (Some("trace"), Some("on")) => Categories::ALL.names().chain(["all"]).collect(),
        (Some("cpu"), Some(_)) => ["on", "off"].into_iter().collect(),
        _ => heapless::Vec::new(),
    }
}

#[cfg(test)]
mod tests;
