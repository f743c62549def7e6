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

/// A flow and its number, in two words.
#[derive(Clone, Copy, Debug)]
struct Cell {
    addresses: u64,
    ports: u32,
    value: u32,
}

/// The number of a cell without a flow.
const NONE: u32 = u32::MAX;
const EMPTY: Cell = Cell {
    addresses: 0,
    ports: 0,
    value: NONE,
};

impl Cell {
    #[inline]
    fn new(f: &Flow, value: u32) -> Self {
        Self {
            addresses: (u64::from(f.remote) << 32) | u64::from(f.local),
            ports: (u32::from(f.remote_port) << 16) | u32::from(f.local_port),
            value,
        }
    }

    #[inline]
    fn is_of(&self, key: &Self) -> bool {
        self.addresses == key.addresses && self.ports == key.ports
    }
}

/// A map from [`Flow`] to a number.
#[derive(Debug)]
pub struct FlowTable {
    /// As many as a power of two.
    cells: Vec<Cell>,
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
        v.resize(cells, EMPTY);
        Some(Self {
            cells: v,
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

    /// The place `i` places behind the table's begin, going round.
    #[inline]
    fn round(&self, i: usize) -> usize {
        i & (self.cells.len() - 1)
    }

    #[inline]
    fn home(&self, cell: &Cell) -> usize {
        // Folded 64x64 -> 128 bit multiplications, each by a secret odd number: two differing keys
        // collide with the chance of a random pair, unless the secret leaks.
        let m = u128::from(cell.addresses ^ self.key[0]) * u128::from(self.key[1] | 1);
        let h = (m as u64) ^ ((m >> 64) as u64) ^ u64::from(cell.ports);
        let m = u128::from(h) * u128::from(self.key[0] | 1);
        self.round(((m as u64) ^ ((m >> 64) as u64)) as usize)
    }

    /// Where the flow is, or the place that it would take, and what is there.
    #[inline]
    fn find(&self, key: &Cell) -> (usize, u32) {
        let mut i = self.home(key);
        loop {
            let cell = &self.cells[i];
            if cell.value == NONE || cell.is_of(key) {
                return (i, cell.value);
            }
            i = self.round(i + 1);
        }
    }

    /// The number stored for `f`.
    #[inline]
    #[must_use]
    pub fn get(&self, f: &Flow) -> Option<u32> {
        let (_, value) = self.find(&Cell::new(f, NONE));
        (value != NONE).then_some(value)
    }

    /// Stores `value` for `f`, replacing an older one. False when the table is full, or the value is
    /// `u32::MAX`.
    pub fn insert(&mut self, f: Flow, value: u32) -> bool {
        let cell = Cell::new(&f, value);
        let (i, old) = self.find(&cell);
        let grows = old == NONE;
        if value == NONE || (grows && self.len >= self.cells.len() / 2) {
            return false;
        }
        self.cells[i] = cell;
        self.len += usize::from(grows);
        true
    }

    /// Removes `f` and returns its number.
    pub fn remove(&mut self, f: &Flow) -> Option<u32> {
        let (mut hole, value) = self.find(&Cell::new(f, NONE));
        if value == NONE {
            return None;
        }
        self.len -= 1;
        let mut i = self.round(hole + 1);
        while self.cells[i].value != NONE {
            // A follower may move into the hole if its home is not inside (hole, i].
            let cell = self.cells[i];
            let distance = self.round(i.wrapping_sub(self.home(&cell)));
            if distance >= self.round(i.wrapping_sub(hole)) {
                self.cells[hole] = cell;
                hole = i;
            }
            i = self.round(i + 1);
        }
        self.cells[hole] = EMPTY;
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
        fn behaves_like_a_map(ops in proptest::collection::vec((any::<bool>(), 0u16..48, 0..u32::MAX), 0..400), key in any::<[u64; 2]>()) {
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
