//! Reads a fixed number of mutated files with each target. The files are the same in every run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{TARGETS, Target, mutate};

fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).unwrap()
}

/// `count` mutations of the seeds.
fn mutated(target: &Target, count: usize) -> impl Iterator<Item = Vec<u8>> {
    let seeds = (target.seeds)();
    let (mut rng, format) = (ChaCha8Rng::seed_from_u64(0), target.format);
    std::iter::repeat_with(move || {
        let seed = rng.random_range(0..seeds.len());
        mutate(&mut rng, format, &seeds[seed])
    })
    .take(count)
}

/// Reads the seeds and `count` mutations of them. The reader must accept at least one mutation.
fn survives(name: &str, count: usize) {
    let target = target(name);
    for seed in (target.seeds)() {
        target.check(&seed).unwrap_or_else(|error| panic!("{name} refuses a seed: {error}"));
    }
    let mut accepted = 0;
    for (number, file) in mutated(&target, count).enumerate() {
        match catch_unwind(AssertUnwindSafe(|| target.check(&file).is_ok())) {
            Ok(is_accepted) => accepted += usize::from(is_accepted),
            Err(_) => panic!("{name}: the check of file {number} panics: {}", file.escape_ascii()),
        }
    }
    assert!(accepted > 0, "{name} refuses all mutations");
}

/// Defines a test for each target.
macro_rules! tests {
    ($($name:ident: $count:literal,)*) => {
        mod mutated_files_are_read_correctly_or_refused_in_one_line {
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
fn seeds_that_are_split_and_joined_are_still_valid() {
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
fn mutations_are_the_same_in_every_run() {
    for target in TARGETS {
        assert!(mutated(&target, 20).eq(mutated(&target, 20)), "{}", target.name);
    }
}
