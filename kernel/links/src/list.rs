//! An intrusive doubly linked list: nodes carry their own links, the list two handles.
//!
//! A `VecDeque` of pointers would do for queues, but it allocates when it grows and removing from
//! its middle is linear; an item that is cancelled, or a worker that goes to sleep, must leave its
//! list in constant time in a context that may not allocate.
//!
//! Invariants: a node is in at most one list per link field; `prev`/`next` of neighbours agree;
//! debug builds, which know of each node whether it is in a list, check them at each operation:
//! a second insertion, the removal of an unlinked node and the removal from a foreign list panic
//! (the last one looks at most [`FOREIGN_SCAN`] links far, so that a check stays bounded).
//!
//! Every operation takes the arena, so the list itself needs no lock rules of its own: whoever
//! owns the arena (normally the data of one lock) owns the list.

use core::fmt;
use core::marker::PhantomData;

use crate::{Arena, Handle};

/// How many links a debug check follows to find out whether a node is in this list.
pub const FOREIGN_SCAN: usize = 64;

/// What a node carries to be in a [`List`]. `K` tells several link fields of one object apart.
pub struct ListLinks<T, K = ()> {
    prev: Option<Handle<T>>,
    next: Option<Handle<T>>,
    #[cfg(debug_assertions)]
    linked: bool,
    kind: PhantomData<fn() -> K>,
}

/// An object that can be in a [`List<Self, K>`].
pub trait Linked<K = ()>: Sized {
    /// The links for lists of kind `K`.
    fn list_links(&self) -> &ListLinks<Self, K>;
    /// The links for lists of kind `K`, to change.
    fn list_links_mut(&mut self) -> &mut ListLinks<Self, K>;
}

/// A list of `T`s linked through their links of kind `K`.
pub struct List<T, K = ()> {
    head: Option<Handle<T>>,
    tail: Option<Handle<T>>,
    kind: PhantomData<fn() -> K>,
}

impl<T, K> ListLinks<T, K> {
    /// Links of a node that is in no list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            prev: None,
            next: None,
            #[cfg(debug_assertions)]
            linked: false,
            kind: PhantomData,
        }
    }

    /// Whether it can be that the node is in a list, or in none: debug builds keep account of it, others say yes.
    #[inline(always)]
    #[must_use]
    pub const fn may_be(&self, linked: bool) -> bool {
        #[cfg(debug_assertions)]
        return self.linked == linked;
        #[cfg(not(debug_assertions))]
        {
            let _ = linked;
            true
        }
    }

    #[inline(always)]
    const fn set_linked(&mut self, linked: bool) {
        #[cfg(debug_assertions)]
        {
            self.linked = linked;
        }
        #[cfg(not(debug_assertions))]
        let _ = linked;
    }
}

impl<T: Linked<K>, K> List<T, K> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head: None,
            tail: None,
            kind: PhantomData,
        }
    }

    /// Whether nothing is in the list.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// The first node.
    #[inline(always)]
    #[must_use]
    pub const fn front(&self) -> Option<Handle<T>> {
        self.head
    }

    /// The last node.
    #[inline(always)]
    #[must_use]
    pub const fn back(&self) -> Option<Handle<T>> {
        self.tail
    }

    /// The node behind `h`, which is in this list.
    #[inline]
    #[must_use]
    pub fn next<A: Arena<T>>(&self, arena: &A, h: Handle<T>) -> Option<Handle<T>> {
        let links = arena.get(h).list_links();
        debug_assert!(links.may_be(true), "next of a node that is in no list");
        links.next
    }

    /// The node before `h`, which is in this list.
    #[inline]
    #[must_use]
    pub fn prev<A: Arena<T>>(&self, arena: &A, h: Handle<T>) -> Option<Handle<T>> {
        let links = arena.get(h).list_links();
        debug_assert!(links.may_be(true), "prev of a node that is in no list");
        links.prev
    }

    /// Appends `h`, which is in no list of this kind.
    #[inline]
    pub fn push_back<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        self.link(arena, h, self.tail, None);
    }

    /// Prepends `h`, which is in no list of this kind.
    #[inline]
    pub fn push_front<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        self.link(arena, h, None, self.head);
    }

    /// Inserts `h`, which is in no list of this kind, right behind `pos`, which is in this list.
    pub fn insert_after<A: Arena<T>>(&mut self, arena: &mut A, pos: Handle<T>, h: Handle<T>) {
        debug_assert!(
            self.may_contain(arena, pos),
            "insertion behind a node of another list"
        );
        let next = arena.get(pos).list_links().next;
        self.link(arena, h, Some(pos), next);
    }

    /// Takes the first node out.
    #[inline]
    pub fn pop_front<A: Arena<T>>(&mut self, arena: &mut A) -> Option<Handle<T>> {
        let h = self.head?;
        self.remove(arena, h);
        Some(h)
    }

    /// As [`List::pop_front`], of a list that is in the arena itself, where `list` finds it.
    #[inline(always)]
    pub fn pop_front_of<A: Arena<T>>(
        arena: &mut A,
        list: impl Fn(&mut A) -> &mut Self,
    ) -> Option<Handle<T>> {
        let h = list(arena).head?;
        let links = arena.get_mut(h).list_links_mut();
        debug_assert!(
            links.may_be(true) && links.prev.is_none(),
            "a front that is none"
        );
        let next = links.next;
        links.set_linked(false);
        list(arena).head = next;
        match next {
            Some(n) => arena.get_mut(n).list_links_mut().prev = None,
            None => {
                rarely();
                list(arena).tail = None;
            }
        }
        Some(h)
    }

    /// As [`List::push_back`], of a list that is in the arena itself, where `list` finds it.
    #[inline(always)]
    pub fn push_back_of<A: Arena<T>>(
        arena: &mut A,
        list: impl Fn(&mut A) -> &mut Self,
        h: Handle<T>,
    ) {
        let before = list(arena).tail.replace(h);
        let links = arena.get_mut(h).list_links_mut();
        debug_assert!(links.may_be(false), "insertion of a node that is in a list");
        links.set_linked(true);
        links.prev = before;
        links.next = None;
        match before {
            Some(p) => arena.get_mut(p).list_links_mut().next = Some(h),
            None => list(arena).head = Some(h),
        }
    }

    /// As [`List::push_back_of`], if something is in the list. False: nothing happened.
    #[inline(always)]
    #[must_use = "the node may be in no list"]
    pub fn push_behind_of<A: Arena<T>>(
        arena: &mut A,
        list: impl Fn(&mut A) -> &mut Self,
        h: Handle<T>,
    ) -> bool {
        let tail = &mut list(arena).tail;
        let Some(last) = *tail else {
            return false;
        };
        *tail = Some(h);
        let links = arena.get_mut(h).list_links_mut();
        debug_assert!(links.may_be(false), "insertion of a node that is in a list");
        links.set_linked(true);
        links.prev = Some(last);
        links.next = None;
        arena.get_mut(last).list_links_mut().next = Some(h);
        true
    }

    /// Takes `h`, which is the first node, out.
    #[inline(always)]
    pub fn remove_front<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        debug_assert!(self.head == Some(h), "a front that is none");
        let links = arena.get_mut(h).list_links_mut();
        let next = links.next;
        links.set_linked(false);
        self.head = next;
        match next {
            Some(n) => arena.get_mut(n).list_links_mut().prev = None,
            None => {
                rarely();
                self.tail = None;
            }
        }
    }

    /// Takes `h`, which is in this list, out.
    #[inline]
    pub fn remove<A: Arena<T>>(&mut self, arena: &mut A, h: Handle<T>) {
        debug_assert!(
            self.may_contain(arena, h),
            "removal of a node that is not in this list"
        );
        let links = arena.get_mut(h).list_links_mut();
        let (prev, next) = (links.prev, links.next);
        links.set_linked(false);
        match prev {
            Some(p) => arena.get_mut(p).list_links_mut().next = next,
            None => self.head = next,
        }
        match next {
            Some(n) => arena.get_mut(n).list_links_mut().prev = prev,
            None => self.tail = prev,
        }
    }

    /// The handles of all nodes, front to back.
    #[must_use]
    pub fn iter<'a, A: Arena<T>>(&self, arena: &'a A) -> Iter<'a, T, A, K> {
        Iter {
            arena,
            at: self.head,
            kind: PhantomData,
        }
    }

    fn link<A: Arena<T>>(
        &mut self,
        arena: &mut A,
        h: Handle<T>,
        prev: Option<Handle<T>>,
        next: Option<Handle<T>>,
    ) {
        let links = arena.get_mut(h).list_links_mut();
        debug_assert!(links.may_be(false), "insertion of a node that is in a list");
        links.set_linked(true);
        links.prev = prev;
        links.next = next;
        match prev {
            Some(p) => arena.get_mut(p).list_links_mut().next = Some(h),
            None => self.head = Some(h),
        }
        match next {
            Some(n) => arena.get_mut(n).list_links_mut().prev = Some(h),
            None => self.tail = Some(h),
        }
    }

    /// Whether `h` is linked and no nearby end of its list contradicts that it is this list.
    fn may_contain<A: Arena<T>>(&self, arena: &A, h: Handle<T>) -> bool {
        if !arena.get(h).list_links().may_be(true) {
            return false;
        }
        let mut front = h;
        for _ in 0..FOREIGN_SCAN {
            match arena.get(front).list_links().prev {
                Some(p) => front = p,
                None => return self.head == Some(front),
            }
        }
        true
    }
}

/// Where this is called the compiler takes the other way for the usual one.
#[cold]
const fn rarely() {}

/// The iterator of [`List::iter`].
pub struct Iter<'a, T, A, K = ()> {
    arena: &'a A,
    at: Option<Handle<T>>,
    kind: PhantomData<fn() -> K>,
}

impl<T: Linked<K>, A: Arena<T>, K> Iterator for Iter<'_, T, A, K> {
    type Item = Handle<T>;

    fn next(&mut self) -> Option<Handle<T>> {
        let h = self.at?;
        self.at = self.arena.get(h).list_links().next;
        Some(h)
    }
}

impl<T, K> Default for ListLinks<T, K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Linked<K>, K> Default for List<T, K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, K> fmt::Debug for ListLinks<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}<>{:?}", self.prev, self.next)
    }
}

impl<T, K> fmt::Debug for List<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}..{:?}", self.head, self.tail)
    }
}

impl<T, A, K> fmt::Debug for Iter<'_, T, A, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:?}", self.at)
    }
}
