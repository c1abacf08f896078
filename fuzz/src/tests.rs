//! A fixed number of files for each reader, the same in every run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{TARGETS, Target, mutate};

fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).unwrap()
}

/// `count` files made from the seeds.
fn mutated(target: &Target, count: usize) -> impl Iterator<Item = Vec<u8>> {
    let seeds = (target.seeds)();
    let (mut rng, format) = (ChaCha8Rng::seed_from_u64(0), target.format);
    std::iter::repeat_with(move || {
        let seed = rng.random_range(0..seeds.len());
        mutate(&mut rng, format, &seeds[seed])
    })
    .take(count)
}

/// Reads the seeds, and `count` files made from them, of which the reader accepts some and refuses some.
fn survives(name: &str, count: usize) {
    let target = target(name);
    for seed in (target.seeds)() {
        target.check(&seed).unwrap_or_else(|error| panic!("{name} refuses a seed: {error}"));
    }
    let mut accepted = 0;
    for (number, file) in mutated(&target, count).enumerate() {
        match catch_unwind(AssertUnwindSafe(|| target.check(&file).is_ok())) {
            Ok(is_right) => accepted += usize::from(is_right),
            Err(_) => panic!("{name}: file {number} is a finding: {}", file.escape_ascii()),
        }
    }
    assert!(accepted > 0, "{name} refuses all files that are not seeds");
}

/// A test for each reader.
macro_rules! tests {
    ($($name:ident: $count:literal,)*) => {
        mod changed_files_are_read_rightly_or_refused_in_a_line {
            $(#[test] fn $name() { super::survives(stringify!($name), $count); })*
        }

        #[test]
        fn every_target_has_a_test() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

tests! {
    pickle: 2000,
    checkpoint: 500,
    tensor_file: 500,
    encoded_clip: 300,
    saved_stream: 100,
    shard_safetensors: 1000,
    shard_webdataset: 1000,
    dataset: 500,
    model_config: 500,
    training_config: 500,
    json_lines: 500,
    index: 500,
}

#[test]
fn formats_put_the_parts_of_seeds_together_again() {
    for target in TARGETS {
        for seed in (target.seeds)() {
            if let Some(parts) = target.format.split(&seed) {
                let joined = target.format.join(&parts);
                assert_eq!(target.format.split(&joined).as_ref(), Some(&parts), "{}", target.name);
                target.check(&joined).unwrap();
            }
        }
    }
}

#[test]
fn the_same_files_are_made_in_every_run() {
    for target in TARGETS {
        assert!(mutated(&target, 20).eq(mutated(&target, 20)), "{}", target.name);
    }
}
