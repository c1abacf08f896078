//! Bad videos never end a run and never change its other clips.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use vidtok_core::{FrameSource, WorldRank};
use vidtok_data::{
    ClipSet, ClipSpec, FrameFolder, HeldOut, InputOptions, Library, LibraryOptions, LoadError, Loader, LoaderOptions,
    RetryPolicy, SkippedVideo, Source,
};

use super::files::{counting, countings, ffmpeg, ffmpeg_after, library, numbers, open, spec, videos, write};

/// Good videos (0, 2 and 7) among bad ones of all kinds, with their reasons.
fn mixed(folder: &TempDir) -> (Vec<PathBuf>, Vec<(usize, &'static str)>) {
    let paths: Vec<_> = (0..8).map(|i| folder.path().join(format!("{i}.mkv"))).collect();
    for i in [0, 2, 7] {
        counting(&paths[i], 12, 0);
    }
    fs::write(&paths[1], "not a video at all\n").unwrap();
    let whole = fs::read(&paths[0]).unwrap();
    fs::write(&paths[3], &whole[..whole.len() / 2]).unwrap();
    // Video 4 is missing.
    write(&paths[5], &tch::Tensor::zeros([6, 90, 60, 3], (tch::Kind::Uint8, tch::Device::Cpu)));
    fs::write(&paths[6], "").unwrap();
    let reasons = vec![
        (1, "cannot decode"),
        (3, "cannot decode"),
        (4, "No such file"),
        (5, "resized to [36, 24] (height, width), smaller than the crop of [16, 30]"),
        (6, "cannot decode: the file is empty"),
    ];
    (paths, reasons)
}

/// Too wide for the portrait video.
fn wide() -> ClipSpec {
    ClipSpec { size: [16, 30], ..spec(4) }
}

fn load(set: &Arc<ClipSet>, first_step: u64, workers: usize, count: usize) -> Vec<(Vec<String>, Vec<i64>)> {
    let options = LoaderOptions { batch: 3, rank: WorldRank::SINGLE, seed: 8, first_step, workers, prefetch: 2 };
    let batches = Loader::start(Arc::clone(set), options).unwrap().take(count).map(Result::unwrap);
    batches.map(|batch| (batch.names, numbers(&batch.clips))).collect()
}

#[test]
fn batches_do_not_depend_on_workers_or_on_already_skipped_videos() {
    let folder = TempDir::new().unwrap();
    let (paths, _) = mixed(&folder);
    let fresh = || Arc::new(open(&paths, wide()));
    let expected = load(&fresh(), 0, 1, 9);
    assert_eq!(load(&fresh(), 0, 4, 9), expected);
    assert_eq!(load(&fresh(), 5, 2, 4), expected[5..], "a later start gives other clips");
    let all_known = fresh();
    assert_eq!(all_known.first_clips(99).unwrap().len(), 3);
    assert_eq!(load(&all_known, 0, 2, 9), expected);
    let mut names: Vec<_> = expected.iter().flat_map(|(names, _)| names).map(|name| &name[..]).collect();
    names.retain(|name| ![0, 2, 7].iter().any(|good| name.contains(&format!("{good}.mkv"))));
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn bad_videos_are_listed_once_with_their_reason() {
    let folder = TempDir::new().unwrap();
    let (paths, reasons) = mixed(&folder);
    let list = folder.path().join("bad.jsonl");
    for run in 1..=2 {
        let options = LibraryOptions { skipped: Some(list.clone()), ..LibraryOptions::default() };
        let library = Library::open(&options).unwrap();
        // Two sets with the same videos.
        for _ in 0..2 {
            let set = ClipSet::open(&library, videos(paths.clone()), wide()).unwrap();
            set.first_clips(99).unwrap();
            set.batch(0, 0, 20).unwrap();
        }
        let mut bad = library.skipped();
        let text = fs::read_to_string(&list).unwrap();
        let lines: Vec<SkippedVideo> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), run * 5);
        assert_eq!(lines[5 * (run - 1)..], bad);
        bad.sort_by(|a, b| a.path.cmp(&b.path));
        assert_eq!(bad.len(), reasons.len());
        for (video, &(i, reason)) in bad.iter().zip(&reasons) {
            assert_eq!(video.path, paths[i].to_str().unwrap());
            assert!(video.reason.starts_with(reason), "{}: {}", video.path, video.reason);
        }
    }
}

#[test]
fn a_video_that_breaks_during_the_run_is_skipped() {
    let folder = TempDir::new().unwrap();
    let paths = countings(&folder, &[8, 8]);
    let whole = fs::read(&paths[0]).unwrap();
    for cache_bytes in [1 << 30, 0] {
        fs::write(&paths[0], &whole).unwrap();
        let library = Library::open(&LibraryOptions { cache_bytes, ..LibraryOptions::default() }).unwrap();
        let held_out = HeldOut { per_video: 1, max: 2 };
        let set = ClipSet::open(&library, videos(paths.clone()), ClipSpec { held_out, ..spec(3) }).unwrap();
        fs::write(&paths[0], &whole[..whole.len() / 2]).unwrap();
        assert_eq!(set.held_out().unwrap().len(), 1);
        let batch = set.batch(0, 0, 8).unwrap();
        assert!(batch.names.iter().all(|name| name.contains("1.mkv")), "{:?}", batch.names);
        let bad = library.skipped();
        assert!(bad.len() == 1 && bad[0].path.ends_with("0.mkv"), "{bad:?}");
    }
}

#[test]
fn held_out_clips_come_from_the_first_readable_videos() {
    let folder = TempDir::new().unwrap();
    let (paths, _) = mixed(&folder);
    let set = open(&paths[1..], ClipSpec { held_out: HeldOut { per_video: 1, max: 1 }, ..wide() });
    let held_out = set.held_out().unwrap();
    assert_eq!(held_out.len(), 1);
    assert!(held_out[0].names[0].ends_with("2.mkv, from frame 8"), "{:?}", held_out[0].names);
}

#[test]
fn without_readable_videos_the_error_names_the_first_reason() {
    let folder = TempDir::new().unwrap();
    let paths: Vec<_> = (0..30).map(|i| folder.path().join(format!("{i}.mkv"))).collect();
    fs::write(&paths[0], "text").unwrap();
    let telling = |error: LoadError| {
        let message = error.to_string();
        assert!(message.contains("none of 30") && message.contains("0.mkv: cannot decode"), "{message}");
    };
    let set = Arc::new(open(&paths, spec(3)));
    telling(set.batch(0, 0, 2).unwrap_err());
    telling(set.first_clips(2).unwrap_err());
    let options = LoaderOptions { batch: 2, rank: WorldRank::SINGLE, seed: 0, first_step: 0, workers: 3, prefetch: 1 };
    for result in Loader::start(set, options).unwrap().take(5) {
        telling(result.unwrap_err());
    }
    let held_out = HeldOut { per_video: 1, max: 1 };
    telling(ClipSet::open(&library(), videos(paths), ClipSpec { held_out, ..spec(3) }).unwrap_err());
}

/// Retries without pauses.
fn at_once(root: &Path) -> InputOptions {
    let retry = RetryPolicy { root: Some(root.to_owned()), pauses: vec![Duration::ZERO; 2] };
    InputOptions { retry, ..InputOptions::default() }
}

#[test]
fn an_unreachable_folder_ends_the_run_without_skipping_videos() {
    let folder = TempDir::new().unwrap();
    let (root, away) = (folder.path().join("data"), folder.path().join("away"));
    fs::create_dir(&root).unwrap();
    let paths: Vec<_> = (0..2).map(|i| root.join(format!("{i}.mkv"))).collect();
    paths.iter().for_each(|path| counting(path, 8, 0));
    let library = library();
    let source = || Source::Videos { ffmpeg: ffmpeg(), paths: paths.clone(), input: at_once(&root) };
    let probed = ClipSet::open(&library, source(), spec(3)).unwrap();
    assert_eq!(probed.first_clips(2).unwrap().len(), 2);
    let library = Library::open(&LibraryOptions::default()).unwrap();
    let new = ClipSet::open(&library, source(), spec(3)).unwrap();
    let clips = new.batch(0, 0, 2).unwrap();
    fs::rename(&root, &away).unwrap();
    // Before a video is probed, and while it is read.
    for set in [ClipSet::open(&library, source(), spec(3)).unwrap(), new] {
        let message = set.batch(0, 0, 2).unwrap_err().to_string();
        assert!(message.contains("cannot be reached") && message.contains("data"), "{message}");
        assert!(library.skipped().is_empty(), "{:?}", library.skipped());
        fs::rename(&away, &root).unwrap();
        assert!(set.batch(0, 0, 2).unwrap().clips == clips.clips, "the set does not go on as before");
        fs::rename(&root, &away).unwrap();
    }
}

#[test]
fn a_folder_of_frames_is_a_video_and_its_damaged_frame_is_named() {
    let folder = TempDir::new().unwrap();
    let frames = folder.path().join("frames");
    fs::create_dir(&frames).unwrap();
    for i in 0..6u8 {
        let image = image::RgbImage::from_pixel(32, 24, image::Rgb([4 * i; 3]));
        image.save(frames.join(format!("{i}.png"))).unwrap();
    }
    assert_eq!(FrameFolder::open(&frames, InputOptions::FRAME_RATE).unwrap().info().frames, 6);
    let paths = vec![frames.clone(), frames.join("3.png")];
    let clips = open(&paths, spec(4)).first_clips(2).unwrap();
    assert_eq!(clips.iter().map(|batch| numbers(&batch.clips)).collect::<Vec<_>>(), [[0, 1, 2, 4], [3; 4]]);
    fs::write(frames.join("4.png"), "no image").unwrap();
    let library = library();
    let set = ClipSet::open(&library, videos(paths), spec(4)).unwrap();
    assert_eq!(set.first_clips(2).unwrap().len(), 1);
    let bad = library.skipped();
    assert!(bad.len() == 1 && bad[0].path.ends_with("frames") && bad[0].reason.contains("4.png: "), "{bad:?}");
}

#[test]
fn a_missing_ffmpeg_is_an_error_that_blames_no_video() {
    let folder = TempDir::new().unwrap();
    let paths = countings(&folder, &[8]);
    let ffmpeg = ffmpeg_after(&folder, "");
    fs::remove_file(ffmpeg.program()).unwrap();
    let library = library();
    let set =
        ClipSet::open(&library, Source::Videos { ffmpeg, paths, input: at_once(folder.path()) }, spec(3)).unwrap();
    let message = set.batch(0, 0, 1).unwrap_err().to_string();
    assert!(message.contains("watched-ffmpeg"), "{message}");
    assert!(library.skipped().is_empty());
}
