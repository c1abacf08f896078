//! Runs a target with libFuzzer, guided by code coverage: `cargo xtask fuzz TARGET`.
#![no_main]
#![allow(clippy::print_stderr, reason = "a command-line program reports errors there")]

use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vidtok_fuzz::{TARGETS, Target, mutate};

/// The variable that names the target, since the whole command line belongs to libFuzzer.
const NAME: &str = "VIDTOK_FUZZ_TARGET";

static TARGET: LazyLock<(Target, Vec<Vec<u8>>)> = LazyLock::new(|| {
    let name = std::env::var(NAME).unwrap_or_default();
    let Some(target) = TARGETS.into_iter().find(|target| target.name == name) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("error: {NAME}: expected one of {}, found {name:?}", names.join(", "));
        std::process::exit(2);
    };
    (target, (target.seeds)())
});

fuzz_target!(|file: &[u8]| drop(TARGET.0.check(file)));

// Half of the mutations are ours and know the format; the others are libFuzzer's. One in sixteen mutates a seed.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut rng = ChaCha8Rng::seed_from_u64(seed.into());
    let (target, seeds) = &*TARGET;
    let base = match rng.random_range(0..16) {
        _ if size <= 1 => &seeds[rng.random_range(0..seeds.len())],
        0 => &seeds[rng.random_range(0..seeds.len())],
        1..=8 => &data[..size],
        _ => return fuzzer_mutate(data, size, max_size),
    };
    let mutated = mutate(&mut rng, target.format, base);
    if mutated.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..mutated.len()].copy_from_slice(&mutated);
    mutated.len()
});
