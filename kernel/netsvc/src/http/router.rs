//! The table of paths a server knows.
//!
//! A few dozen paths, compared by length and bytes: a hash would cost more than it saves.

use super::request::Method;

/// A set of methods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MethodSet {
    /// GET and HEAD.
    Read,
    /// POST.
    Post,
}

impl MethodSet {
    /// Value of the `Allow` field.
    #[must_use]
    pub const fn allow(self) -> &'static str {
        match self {
            Self::Read => "GET, HEAD",
            Self::Post => "POST",
        }
    }

    /// True when `method` is in the set.
    #[must_use]
    pub fn contains(self, method: Method) -> bool {
        match self {
            Self::Read => matches!(method, Method::Get | Method::Head),
            Self::Post => method == Method::Post,
        }
    }
}

/// Result of a look-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match<T> {
    /// The route.
    Found(T),
    /// The path exists for other methods: the value of `Allow`.
    WrongMethod(&'static str),
    /// No such path.
    NotFound,
}

/// Paths with what they mean.
#[derive(Clone, Copy, Debug)]
pub struct Router<T: 'static> {
    routes: &'static [(&'static str, MethodSet, T)],
}

impl<T: Copy> Router<T> {
    /// A router over a fixed table.
    #[must_use]
    pub const fn new(routes: &'static [(&'static str, MethodSet, T)]) -> Self {
        Self { routes }
    }

    /// Finds a path, without its query.
    #[must_use]
    pub fn find(&self, method: Method, path: &[u8]) -> Match<T> {
        match self.routes.iter().find(|(p, ..)| same(p.as_bytes(), path)) {
            Some((_, methods, route)) if methods.contains(method) => Match::Found(*route),
            Some((_, methods, _)) => Match::WrongMethod(methods.allow()),
            None => Match::NotFound,
        }
    }
}

/// Whether two paths are the same: of a few bytes, which a call to compare memory would cost more than.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    let ((a, ends), (b, others)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    a.len() == b.len()
        && ends.len() == others.len()
        && a.iter().zip(b).all(|(x, y)| x == y)
        && ends.iter().zip(others).all(|(x, y)| x == y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_missing_paths_from_wrong_methods() {
        static ROUTER: Router<u8> =
            Router::new(&[("/hello", MethodSet::Read, 1), ("/set", MethodSet::Post, 2)]);
        assert_eq!(ROUTER.find(Method::Head, b"/hello"), Match::Found(1));
        assert_eq!(
            ROUTER.find(Method::Get, b"/set"),
            Match::WrongMethod("POST")
        );
        assert_eq!(ROUTER.find(Method::Get, b"/hell"), Match::NotFound);
    }
}
