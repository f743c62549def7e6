//! What numbers and addresses of events are called.

use alloc::vec::Vec;
use core::fmt;

use crate::NoMemory;

/// Longest name that is kept.
const LABEL: usize = 40;
/// Longest name of a thread: as long as those that events carry.
const COMM: usize = 16;
/// Threads whose names are kept; of more, the oldest are asked for again.
const THREADS: usize = 1024;
/// Queues and functions whose names are kept.
const MANY: usize = 256;
/// Items whose functions are kept, a power of two.
const ITEMS: usize = 256;
/// Priority of a thread that nobody knows: nice 0.
const USUAL: u8 = 120;

/// Whoever knows what numbers mean.
pub trait Names {
    /// Tells name and priority (a nice value and 120) of thread `id`, if it knows it.
    fn thread(&mut self, id: u32, tell: &mut dyn FnMut(&str, u8));
    /// Tells the name of the queue at `address`, if it knows it.
    fn queue(&mut self, address: u64, tell: &mut dyn FnMut(&str));
    /// The name of the function at `address`.
    fn function(&mut self, address: u64) -> Option<&'static str>;
}

/// A text of bounded length; what does not fit is cut off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label {
    bytes: [u8; LABEL],
    len: u8,
}

impl Label {
    pub(crate) const EMPTY: Self = Self {
        bytes: [0; LABEL],
        len: 0,
    };

    fn cut(text: &str, most: usize) -> Self {
        let mut label = Self::EMPTY;
        let mut len = text.len().min(most);
        while !text.is_char_boundary(len) {
            len -= 1;
        }
        for (to, from) in label.bytes.iter_mut().zip(text.bytes().take(len)) {
            *to = from;
        }
        label.len = len as u8;
        label
    }

    pub(crate) fn of(text: fmt::Arguments<'_>) -> Self {
        let mut label = Self::EMPTY;
        // Never fails: what does not fit is cut off.
        let _ = fmt::Write::write_fmt(&mut label, text);
        label
    }

    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len));
        bytes
            .and_then(|b| core::str::from_utf8(b).ok())
            .unwrap_or_default()
    }
}

impl fmt::Write for Label {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let at = usize::from(self.len);
        let more = Self::cut(text, LABEL - at);
        let to = self.bytes.iter_mut().skip(at);
        for (to, from) in to.zip(more.as_str().bytes()) {
            *to = from;
        }
        self.len += more.len;
        Ok(())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comm {
    id: u32,
    pub(crate) priority: u8,
    pub(crate) name: Label,
}

impl Comm {
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }
}

/// The names that were asked for, and who is asked for more.
#[derive(Debug)]
pub(crate) struct Known<N> {
    names: N,
    /// In order of their numbers.
    threads: Vec<Comm>,
    /// Threads that were learnt since the last [`Self::news`].
    fresh: Vec<Comm>,
    /// In order of their addresses.
    queues: Vec<(u64, Label)>,
    functions: Vec<u64>,
    /// The function of an item, at a place that its address decides.
    items: Vec<(u64, u64)>,
}

impl<N: Names> Known<N> {
    pub(crate) fn new(names: N) -> Result<Self, NoMemory> {
        let mut known = Self {
            names,
            threads: Vec::new(),
            fresh: Vec::new(),
            queues: Vec::new(),
            functions: Vec::new(),
            items: Vec::new(),
        };
        let room = known.items.try_reserve_exact(ITEMS);
        room.map_err(|_| NoMemory)?;
        known.items.resize(ITEMS, (0, 0));
        Ok(known)
    }

    /// Name and priority of thread `id`; `thread` of unknown ones.
    pub(crate) fn thread(&mut self, id: u32) -> Comm {
        if id == 0 {
            return Comm {
                id,
                priority: USUAL,
                name: Label::cut("swapper", COMM),
            };
        }
        if let Ok(i) = self.threads.binary_search_by_key(&id, |t| t.id)
            && let Some(t) = self.threads.get(i)
        {
            return *t;
        }
        let mut found = Comm {
            id,
            priority: USUAL,
            name: Label::EMPTY,
        };
        self.names.thread(id, &mut |name, priority| {
            found.name = Label::cut(name, COMM);
            found.priority = priority;
        });
        if found.name.len == 0 {
            found.name = Label::of(format_args!("thread-{id}"));
        }
        self.keep(found);
        found
    }

    /// Thread `id` is called `name` and has this priority.
    pub(crate) fn learn_thread(&mut self, id: u32, name: &str, priority: u8) {
        self.keep(Comm {
            id,
            priority,
            name: Label::cut(name, COMM),
        });
    }

    /// Thread `id` has another priority.
    pub(crate) fn set_priority(&mut self, id: u32, priority: u8) {
        if let Ok(i) = self.threads.binary_search_by_key(&id, |t| t.id)
            && let Some(t) = self.threads.get_mut(i)
        {
            t.priority = priority;
        }
    }

    fn keep(&mut self, thread: Comm) {
        if self.threads.len() >= THREADS {
            self.threads.remove(0);
        }
        let place = self.threads.binary_search_by_key(&thread.id, |t| t.id);
        match place {
            Ok(i) => {
                if let Some(t) = self.threads.get_mut(i) {
                    *t = thread;
                }
            }
            Err(i) if self.threads.try_reserve(1).is_ok() => self.threads.insert(i, thread),
            // It is asked for again.
            Err(_) => {}
        }
        if self.fresh.len() < THREADS && self.fresh.try_reserve(1).is_ok() {
            self.fresh.push(thread);
        }
    }

    /// One of the threads that were learnt since the last call, until there is none.
    pub(crate) fn news(&mut self) -> Option<Comm> {
        self.fresh.pop()
    }

    /// The name of the queue at `address`.
    pub(crate) fn queue(&mut self, address: u64) -> Label {
        let place = self.queues.binary_search_by_key(&address, |q| q.0);
        if let Ok(i) = place
            && let Some((_, name)) = self.queues.get(i)
        {
            return *name;
        }
        let mut label = Label::EMPTY;
        self.names
            .queue(address, &mut |name| label = Label::cut(name, LABEL));
        if label.len == 0 {
            label = Label::of(format_args!("{address:#x}"));
        }
        if self.queues.len() >= MANY {
            self.queues.clear();
        }
        let place = self.queues.binary_search_by_key(&address, |q| q.0);
        if let Err(i) = place
            && self.queues.try_reserve(1).is_ok()
        {
            self.queues.insert(i, (address, label));
        }
        label
    }

    /// Another queue may be at `address` from now on.
    pub(crate) fn forget_queue(&mut self, address: u64) {
        self.queues.retain(|q| q.0 != address);
    }

    /// The name of the function at `address`, the first time it is asked for; `None` afterwards.
    pub(crate) fn new_function(&mut self, address: u64) -> Option<&'static str> {
        let place = self.functions.binary_search(&address);
        let Err(i) = place else { return None };
        if self.functions.len() >= MANY || self.functions.try_reserve(1).is_err() {
            return None;
        }
        self.functions.insert(i, address);
        self.names.function(address)
    }

    /// The name of the function at `address`.
    pub(crate) fn function(&mut self, address: u64) -> Option<&'static str> {
        self.names.function(address)
    }

    /// Item `item` has this function.
    pub(crate) fn learn_item(&mut self, item: u64, function: u64) {
        if let Some(place) = self.items.get_mut(place_of(item)) {
            *place = (item, function);
        }
    }

    /// The function that item `item` had last; 0 if it is not known.
    pub(crate) fn item(&self, item: u64) -> u64 {
        match self.items.get(place_of(item)) {
            Some(&(known, function)) if known == item => function,
            _ => 0,
        }
    }
}

fn place_of(item: u64) -> usize {
    (item >> 4 ^ item >> 12) as usize % ITEMS
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Names for One {
        fn thread(&mut self, id: u32, tell: &mut dyn FnMut(&str, u8)) {
            if id == 7 {
                tell("a-name-beyond-sixteen-bytes", 100);
            }
        }
        fn queue(&mut self, address: u64, tell: &mut dyn FnMut(&str)) {
            if address == 0x70 {
                tell("events");
            }
        }
        fn function(&mut self, address: u64) -> Option<&'static str> {
            (address == 0x700).then_some("a::function")
        }
    }

    #[test]
    fn each_name_is_asked_for_once() {
        let mut k = Known::new(One).expect("memory");
        assert_eq!(k.thread(7).name.as_str(), "a-name-beyond-si");
        assert_eq!(k.thread(7).priority, 100);
        assert_eq!(k.thread(8).name.as_str(), "thread-8");
        k.learn_thread(8, "late", 120);
        assert_eq!(k.thread(8).name.as_str(), "late");
        k.set_priority(8, 139);
        assert_eq!(k.thread(8).priority, 139);
        assert_eq!(k.thread(0).name.as_str(), "swapper");
        assert_eq!(k.queue(0x70).as_str(), "events");
        assert_eq!(k.queue(0x71).as_str(), "0x71");
        assert_eq!(k.new_function(0x700), Some("a::function"));
        assert_eq!(k.new_function(0x700), None);
        let mut news = core::iter::from_fn(|| k.news());
        assert!(news.any(|t| t.id == 7));
    }

    #[test]
    fn many_threads_take_bounded_memory() {
        let mut k = Known::new(One).expect("memory");
        for id in 1..=5_000 {
            k.learn_thread(id, "x", 120);
        }
        assert_eq!(k.threads.len(), THREADS);
        assert_eq!(k.thread(5_000).name.as_str(), "x");
        assert_eq!(
            k.thread(1).name.as_str(),
            "thread-1",
            "forgotten, asked again"
        );
    }

    #[test]
    fn functions_of_items_are_remembered() {
        let mut k = Known::new(One).expect("memory");
        k.learn_item(0x4000, 0x700);
        assert_eq!(k.item(0x4000), 0x700);
        assert_eq!(k.item(0x4000 + (ITEMS as u64) * 16), 0, "another item");
    }
}
