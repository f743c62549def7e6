//! The table that finds a segment's connection by its 4-tuple in O(1).
//!
//! Open addressing with linear probing in one array chosen at start, at most half full, so a look-up
//! touches one or two cache lines and nothing allocates later. Deletion shifts the followers back
//! instead of leaving tombstones: under churn a table with tombstones degrades to a scan. The hash
//! is keyed by entropy, because the peers choose the keys.

use alloc::vec::Vec;

use crate::buffer::try_with_capacity;

/// The 4-tuple of a TCP connection over IPv4, seen from this host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[expect(missing_docs, reason = "a 4-tuple")]
pub struct Flow {
    pub local: u32,
    pub remote: u32,
    pub local_port: u16,
    pub remote_port: u16,
}

/// A map from [`Flow`] to a number.
#[derive(Debug)]
pub struct FlowTable {
    cells: Vec<Option<(Flow, u32)>>,
    mask: usize,
    len: usize,
    key: [u64; 2],
}

impl FlowTable {
    /// A table for up to `capacity` flows, or `None` when memory is out.
    #[must_use]
    pub fn new(capacity: usize, key: [u64; 2]) -> Option<Self> {
        let cells = capacity
            .max(4)
            .checked_mul(2)?
            .checked_next_power_of_two()?;
        let mut v = try_with_capacity(cells)?;
        v.resize(cells, None);
        Some(Self {
            cells: v,
            mask: cells - 1,
            len: 0,
            key,
        })
    }

    /// Number of flows in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when no flow is in the table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn home(&self, f: &Flow) -> usize {
        let a = (u64::from(f.remote) << 32) | u64::from(f.local);
        let b = (u64::from(f.remote_port) << 16) | u64::from(f.local_port);
        // Folded 64x64 -> 128 bit multiplications, each by a secret odd number: two differing keys
        // collide with the chance of a random pair, unless the secret leaks.
        let m = u128::from(a ^ self.key[0]) * u128::from(self.key[1] | 1);
        let h = (m as u64) ^ ((m >> 64) as u64) ^ b;
        let m = u128::from(h) * u128::from(self.key[0] | 1);
        ((m as u64) ^ ((m >> 64) as u64)) as usize & self.mask
    }

    #[inline]
    fn find(&self, f: &Flow) -> Option<usize> {
        let mut i = self.home(f);
        loop {
            match &self.cells[i] {
                None => return None,
                Some((g, _)) if g == f => return Some(i),
                Some(_) => i = (i + 1) & self.mask,
            }
        }
    }

    /// The number stored for `f`.
    #[inline]
    #[must_use]
    pub fn get(&self, f: &Flow) -> Option<u32> {
        self.find(f).and_then(|i| self.cells[i]).map(|(_, v)| v)
    }

    /// Stores `value` for `f`, replacing an older one. False when the table is full.
    pub fn insert(&mut self, f: Flow, value: u32) -> bool {
        if let Some(i) = self.find(&f) {
            self.cells[i] = Some((f, value));
            return true;
        }
        if self.len > self.mask / 2 {
            return false;
        }
        let mut i = self.home(&f);
        while self.cells[i].is_some() {
            i = (i + 1) & self.mask;
        }
        self.cells[i] = Some((f, value));
        self.len += 1;
        true
    }

    /// Removes `f` and returns its number.
    pub fn remove(&mut self, f: &Flow) -> Option<u32> {
        let mut hole = self.find(f)?;
        let (_, value) = self.cells[hole].take()?;
        self.len -= 1;
        let mut i = (hole + 1) & self.mask;
        while let Some((g, v)) = self.cells[i] {
            // A follower may move into the hole if its home is not inside (hole, i].
            let distance = i.wrapping_sub(self.home(&g)) & self.mask;
            if distance >= (i.wrapping_sub(hole) & self.mask) {
                self.cells[hole] = Some((g, v));
                self.cells[i] = None;
                hole = i;
            }
            i = (i + 1) & self.mask;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn flow(n: u16) -> Flow {
        Flow {
            local: 1,
            remote: 2,
            local_port: 80,
            remote_port: n,
        }
    }

    #[test]
    fn full_table_refuses() {
        let mut t = FlowTable::new(4, [1, 2]).unwrap();
        assert!((0..4).all(|n| t.insert(flow(n), u32::from(n))));
        assert!(!t.insert(flow(9), 9));
        assert_eq!(t.remove(&flow(0)), Some(0));
        assert!(t.insert(flow(9), 9));
    }

    proptest! {
        /// The table answers like a map, whatever the order of insertions and removals.
        #[test]
        fn behaves_like_a_map(ops in proptest::collection::vec((any::<bool>(), 0u16..48, any::<u32>()), 0..400), key in any::<[u64; 2]>()) {
            let mut t = FlowTable::new(48, key).unwrap();
            let mut m = HashMap::new();
            for (insert, n, v) in ops {
                if insert {
                    prop_assert!(t.insert(flow(n), v));
                    m.insert(n, v);
                } else {
                    prop_assert_eq!(t.remove(&flow(n)), m.remove(&n));
                }
                prop_assert_eq!(t.len(), m.len());
            }
            for n in 0..48 {
                prop_assert_eq!(t.get(&flow(n)), m.get(&n).copied());
            }
        }
    }
}
