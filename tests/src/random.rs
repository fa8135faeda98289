//! Pseudo-random numbers. A test prints its seed, and repeats the same run if it is given that seed.

/// The generator SplitMix64.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A generator with the seed in `HOOKWRIGHT_TEST_SEED`, or a seed from the time. The seed is printed.
    pub fn from_environment() -> Self {
        let given = std::env::var("HOOKWRIGHT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| jiff::Timestamp::now().as_nanosecond() as u64);
        println!("HOOKWRIGHT_TEST_SEED={seed}");
        Self(seed)
    }

    /// Another generator, seeded from this one.
    pub fn fork(&mut self) -> Self {
        Self(self.draw())
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..count`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.draw() % count.max(1) as u64) as usize
    }

    /// True with this chance in percent.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }
}
