//! The seeds of the steps.

/// The seed of libtorch's generator for a step, mixed with splitmix64. For one seed, all steps have different seeds.
pub(crate) fn step_seed(seed: u64, step: u64) -> i64 {
    let mix = |x: u64| {
        let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    };
    mix(mix(seed).wrapping_add(step)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_of_different_runs_and_steps_differ() {
        let seeds: std::collections::BTreeSet<i64> =
            (0..100).flat_map(|seed| (0..100).map(move |step| step_seed(seed, step))).collect();
        assert_eq!(seeds.len(), 10_000);
    }
}
