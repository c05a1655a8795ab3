//! Chance that can be repeated, and sizes that can be raised.

/// A generator whose seed is printed. A normal run has one and the same; `SEED` sets another, as `.ci/full` does.
pub struct Random(u64);

impl Random {
    pub fn new(what: &str) -> Self {
        let seed = size("SEED", 20_260_115);
        println!("{what}: SEED={seed}");
        Self(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A generator of its own, decided by this one.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }
}

/// A size from the environment, or the one of a normal run.
pub fn size(variable: &str, normal: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(normal, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: `{text}` is not a number")))
}
