//! A small seeded generator (SplitMix64), the same on every machine and in every version.
//!
//! For made-up data only: never for keys, nonces or jitter.

/// A stream of numbers that depends on its seed alone.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Rng(u64);

impl Rng {
    /// The stream of a thing named by a purpose and numbers, independent of every other thing's.
    pub fn of(seed: u64, purpose: &str, numbers: &[u64]) -> Rng {
        let mut rng = Rng(seed);
        for word in purpose
            .bytes()
            .map(u64::from)
            .chain(numbers.iter().copied())
        {
            rng.0 = rng.next() ^ word.wrapping_mul(0xd6e8_feb8_6659_fd93);
        }
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = (high - low) as u128 + 1;
        low + ((u128::from(self.next()) * span) >> 64) as i64
    }

    /// One of the choices, by weight.
    pub fn weighted<'a, T>(&mut self, choices: &'a [(u32, T)]) -> &'a T {
        let total: i64 = choices.iter().map(|(weight, _)| i64::from(*weight)).sum();
        let mut point = self.between(0, total - 1);
        for (weight, choice) in choices {
            point -= i64::from(*weight);
            if point < 0 {
                return choice;
            }
        }
        &choices[choices.len() - 1].1
    }
}
