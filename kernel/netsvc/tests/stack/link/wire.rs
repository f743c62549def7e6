//! A wire that loses, repeats, reorders and damages frames.

/// A small generator, so that a seed repeats a run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// What a wire does, in percent of frames.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) lose: u64,
    pub(crate) repeat: u64,
    pub(crate) delay: u64,
    pub(crate) damage: u64,
}

#[derive(Default)]
pub(super) struct Wire {
    frames: Vec<(u64, u64, Vec<u8>)>,
    count: u64,
}

impl Wire {
    pub(super) fn put(
        &mut self,
        now: u64,
        faults: Faults,
        random: &mut Random,
        mut frame: Vec<u8>,
    ) {
        if random.chance(faults.lose) {
            return;
        }
        if random.chance(faults.damage) {
            let i = random.next() as usize % frame.len();
            frame[i] ^= 1 << (random.next() % 8);
        }
        for _ in 0..=u32::from(random.chance(faults.repeat)) {
            let extra = if random.chance(faults.delay) {
                random.next() % 20_000_000
            } else {
                0
            };
            self.count += 1;
            self.frames
                .push((now + 100_000 + extra, self.count, frame.clone()));
        }
    }

    pub(super) fn take(&mut self, now: u64) -> Option<Vec<u8>> {
        let i = (0..self.frames.len()).min_by_key(|&i| (self.frames[i].0, self.frames[i].1))?;
        (self.frames[i].0 <= now).then(|| self.frames.swap_remove(i).2)
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.frames.iter().map(|f| f.0).min()
    }
}
