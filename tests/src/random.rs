//! Numbers that only look random: a test that uses them prints its seed, and does the same again when it is given it.

/// SplitMix64.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The seed of `HOOKWRIGHT_TEST_SEED`, or one of the time; printed.
    pub fn from_environment() -> Self {
        let given = std::env::var("HOOKWRIGHT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| jiff::Timestamp::now().as_nanosecond() as u64);
        println!("HOOKWRIGHT_TEST_SEED={seed}");
        Self(seed)
    }

    /// Another that goes its own way.
    pub fn fork(&mut self) -> Self {
        Self(self.draw())
    }

    /// The next one.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..count`.
    pub fn below(&mut self, count: usize) -> usize {
        (self.draw() % count.max(1) as u64) as usize
    }

    /// True so often.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }
}
