//! Batches from background threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vidtok_core::WorldRank;
use vidtok_data::{Batch, ClipSet, InputOptions, LoadError, Loader, LoaderOptions, Source};

use super::files::{countings, ffmpeg_after, library, spec};

fn batches(set: &Arc<ClipSet>, workers: usize, first_step: u64, count: usize) -> Vec<Batch> {
    let options = LoaderOptions { batch: 2, rank: WorldRank::SINGLE, seed: 5, first_step, workers, prefetch: 2 };
    Loader::start(Arc::clone(set), options).unwrap().take(count).map(Result::unwrap).collect()
}

#[test]
fn batches_depend_on_seed_and_step_alone() {
    let open = || Arc::new(ClipSet::open(&library(), Source::Procedural { scenes: 2, seed: 1 }, spec(4)).unwrap());
    let same = |a: &[Batch], b: &[Batch]| a.iter().zip(b).all(|(a, b)| a.clips == b.clips && a.names == b.names);
    let set = open();
    let one = batches(&set, 1, 0, 7);
    assert_eq!(one[0].clips.size(), [2, 3, 4, 16, 16]);
    assert_eq!(one[0].names.len(), 2);
    assert!(one[0].clips.abs().max().double_value(&[]) <= 1.0);
    assert!(same(&one, &batches(&open(), 3, 0, 7)), "the number of threads matters");
    assert!(same(&one[4..], &batches(&set, 2, 4, 3)), "a later start gives other clips");
    assert!(one[0].clips != one[1].clips);
    assert!(one[0].clips != set.batch(6, 0, 2).unwrap().clips, "another seed returned the same clips");
}

#[test]
fn the_first_clips_of_a_larger_batch_are_those_of_a_smaller_one() {
    let set = ClipSet::open(&library(), Source::Procedural { scenes: 3, seed: 1 }, spec(2)).unwrap();
    let (small, large) = (set.batch(1, 2, 2).unwrap(), set.batch(1, 2, 5).unwrap());
    assert!(small.clips == large.clips.narrow(0, 0, 2));
    assert_eq!(small.names, large.names[..2]);
}

#[test]
fn each_rank_gets_its_part_of_the_batch() {
    let set = Arc::new(ClipSet::open(&library(), Source::Procedural { scenes: 3, seed: 1 }, spec(2)).unwrap());
    let options = LoaderOptions { batch: 6, rank: WorldRank::SINGLE, seed: 1, first_step: 3, workers: 1, prefetch: 1 };
    let batch = |rank| {
        let mut loader = Loader::start(Arc::clone(&set), LoaderOptions { rank, ..options }).unwrap();
        loader.next().unwrap().unwrap().clips
    };
    for count in [2, 3] {
        let parts: Vec<_> = (0..count).map(|rank| batch(WorldRank { rank, world_size: count })).collect();
        assert!(tch::Tensor::cat(&parts, 0) == batch(WorldRank::SINGLE), "{count}");
    }
    let unequal =
        Loader::start(Arc::clone(&set), LoaderOptions { rank: WorldRank { rank: 0, world_size: 4 }, ..options });
    assert!(matches!(unequal, Err(LoadError::UnevenBatch { batch: 6, processes: 4 })));
}

#[test]
fn dropping_a_loader_kills_hanging_decoders() {
    let folder = TempDir::new().unwrap();
    let paths = countings(&folder, &[8, 8]);
    let ffmpeg = ffmpeg_after(&folder, "case \"$*\" in *framecrc*) exec sleep 30;; esac");
    let library = library();
    let set = Arc::new(
        ClipSet::open(&library, Source::Videos { ffmpeg, paths, input: InputOptions::default() }, spec(3)).unwrap(),
    );
    let options = LoaderOptions { batch: 2, rank: WorldRank::SINGLE, seed: 0, first_step: 0, workers: 3, prefetch: 1 };
    let loader = Loader::start(Arc::clone(&set), options).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    drop(loader);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(library.skipped().is_empty(), "a decoder that was killed is no fault of its video");
}

#[test]
fn empty_batches_are_refused() {
    let set = Arc::new(ClipSet::open(&library(), Source::Procedural { scenes: 1, seed: 1 }, spec(2)).unwrap());
    let options = LoaderOptions { batch: 0, rank: WorldRank::SINGLE, seed: 0, first_step: 0, workers: 1, prefetch: 1 };
    assert!(matches!(Loader::start(set, options), Err(LoadError::EmptyBatch)));
}
