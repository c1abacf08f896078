//! The contents of clips.

use tch::Tensor;
use tempfile::TempDir;
use vidtok_data::{ClipRule, ClipSet, ClipSpec, HeldOut, Library, LibraryOptions, LoadError, Scene, Source};

use super::files::{countings, library, numbers, open, spec, videos, write};

/// A 37x61 video without repetition.
fn scene_video(folder: &TempDir, name: &str) -> std::path::PathBuf {
    let path = folder.path().join(name);
    let times: Vec<f64> = (0..20).map(|i| f64::from(i) / 25.0).collect();
    write(&path, &Scene::new(2).frames(&times, [37, 61]));
    path
}

#[test]
fn clips_are_the_same_without_the_cache() {
    let folder = TempDir::new().unwrap();
    let both = vec![scene_video(&folder, "a.mkv"), scene_video(&folder, "b.mkv")];
    let spec = ClipSpec { held_out: HeldOut { per_video: 1, max: 9 }, ..spec(4) };
    let open = |cache_bytes| {
        let library = Library::open(&LibraryOptions { cache_bytes, ..LibraryOptions::default() }).unwrap();
        ClipSet::open(&library, videos(both.clone()), spec).unwrap()
    };
    // The cache holds one of the two: 20 frames of 24x39.
    let (cached, half, uncached) = (open(1 << 30), open(20 * 24 * 39 * 3), open(0));
    for step in 0..3 {
        let expected = cached.batch(0, step, 2).unwrap().clips;
        assert!(half.batch(0, step, 2).unwrap().clips == expected);
        assert!(uncached.batch(0, step, 2).unwrap().clips == expected);
    }
    assert!(uncached.held_out().unwrap()[0].clips == cached.held_out().unwrap()[0].clips);
}

#[test]
fn held_out_frames_are_never_trained_on() {
    let folder = TempDir::new().unwrap();
    let mut paths = countings(&folder, &[30, 12, 4]);
    // A video listed twice is still one video.
    paths.push(paths[0].clone());
    let held_out = HeldOut { per_video: 2, max: 100 };
    let set = open(&paths, ClipSpec { held_out, ..spec(5) });
    let batches = set.held_out().unwrap();
    // 2 * 5 frames at the end of the first; the second would have 2 left to train on, the third is too short.
    let clips: Vec<_> = batches.iter().map(|batch| numbers(&batch.clips)).collect();
    assert_eq!(clips, [[20, 21, 22, 23, 24], [25, 26, 27, 28, 29]]);
    assert!(batches[1].names[0].ends_with("0.mkv, from frame 25"), "{:?}", batches[1].names);
    let mut seen: Vec<_> = (0..40).flat_map(|step| numbers(&set.batch(0, step, 4).unwrap().clips)).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

#[test]
fn the_number_of_held_out_clips_is_limited() {
    let folder = TempDir::new().unwrap();
    let paths = countings(&folder, &[20, 4, 20, 20]);
    let held_out = HeldOut { per_video: 2, max: 3 };
    let set = open(&paths, ClipSpec { held_out, ..spec(5) });
    let names: Vec<_> = set.held_out().unwrap().into_iter().flat_map(|batch| batch.names).collect();
    let expected = [(0, 10), (0, 15), (2, 15)];
    let expected = expected.map(|(video, start)| format!("{}, from frame {start}", paths[video].display()));
    assert_eq!(names, expected);
    let seen: Vec<_> = (0..60).flat_map(|step| numbers(&set.batch(0, step, 4).unwrap().clips)).collect();
    assert_eq!(seen.into_iter().max(), Some(19), "the last video is not trained on to its end");
}

#[test]
fn clips_follow_the_wanted_rate_and_short_videos_repeat_their_last_frame() {
    let folder = TempDir::new().unwrap();
    let rule = ClipRule { frames: 4, sample_fps: Some(5.0) };
    let paths = countings(&folder, &[17, 2]);
    let first = |path: usize| {
        let set = open(&paths[path..=path], ClipSpec { rule, ..spec(4) });
        numbers(&set.batch(0, 0, 1).unwrap().clips)
    };
    // The only start is 0 = 17 - 16 - 1, with steps of 16/3 frames.
    assert_eq!(first(0), [0, 5, 10, 16]);
    assert_eq!(first(1), [0, 1, 1, 1]);
}

#[test]
fn first_clips_start_at_frame_0_and_crop_the_centre() {
    let folder = TempDir::new().unwrap();
    let rule = ClipRule { frames: 3, sample_fps: Some(8.0) };
    let mut paths = countings(&folder, &[30, 12, 20]);
    paths.insert(1, folder.path().join("missing.mkv"));
    let set = open(&paths, ClipSpec { rule, flip: true, ..spec(3) });
    let batches = set.first_clips(2).unwrap();
    // 25 / 8 rounds to 3; the last frame lies one frame beyond.
    assert_eq!(batches.iter().map(|batch| numbers(&batch.clips)).collect::<Vec<_>>(), [[0, 3, 7], [0, 3, 7]]);
    let names: Vec<_> = batches.into_iter().flat_map(|batch| batch.names).collect();
    assert_eq!(names, [0, 2].map(|video| format!("{}, from frame 0", paths[video].display())));
    assert_eq!(set.first_clips(99).unwrap().len(), 3);
    assert!(set.first_clips(0).unwrap().is_empty());

    let path = scene_video(&folder, "a.mkv");
    let set = open(&[path], ClipSpec { flip: true, ..spec(3) });
    let whole = open(&[folder.path().join("a.mkv")], ClipSpec { size: [24, 39], ..spec(3) });
    let (clip, whole) = (&set.first_clips(1).unwrap()[0].clips, &whole.first_clips(1).unwrap()[0].clips);
    // (24 - 16) / 2 and (39 - 16) / 2, with halves rounded to even.
    assert!(*clip == whole.narrow(3, 4, 16).narrow(4, 12, 16));
}

#[test]
fn half_of_the_clips_are_mirrored() {
    let folder = TempDir::new().unwrap();
    let paths = [scene_video(&folder, "a.mkv")];
    let (plain, flipped) = (open(&paths, spec(3)), open(&paths, ClipSpec { flip: true, ..spec(3) }));
    let clips = |set: &ClipSet| Tensor::cat(&[0, 1].map(|step| set.batch(0, step, 50).unwrap().clips), 0);
    let (plain, flipped) = (clips(&plain), clips(&flipped));
    let mut mirrored = 0;
    for i in 0..100 {
        let (plain, flipped) = (plain.get(i), flipped.get(i));
        if flipped != plain {
            assert!(flipped == plain.flip([3]));
            mirrored += 1;
        }
    }
    assert!((30..=70).contains(&mirrored), "{mirrored} of 100");
}

#[test]
fn impossible_clips_are_refused() {
    let scenes = |scenes| Source::Procedural { scenes, seed: 0 };
    let open = |spec| ClipSet::open(&library(), scenes(1), spec).map(drop);
    assert!(matches!(ClipSet::open(&library(), scenes(0), spec(4)), Err(LoadError::NoVideos)));
    assert!(matches!(open(spec(0)), Err(LoadError::EmptyClip { .. })));
    assert!(matches!(open(ClipSpec { size: [16, 0], ..spec(4) }), Err(LoadError::EmptyClip { .. })));
    let held_out = HeldOut { per_video: 1, max: 1 };
    let error = open(ClipSpec { held_out, ..spec(400) }).unwrap_err();
    // A scene has 150 frames at 25 per second, too few to hold out and train on clips of 400 frames.
    let expected = "none of 1 video(s) is long enough to hold out 1 clip(s) and still to train on: that takes 32.00 s, \
                    and the longest has 6.00 s; hold out fewer clips (data.held_out, 0 for none), take shorter ones \
                    (data.frames, or a higher data.sample_fps), or validate on other videos (validation.videos)";
    assert_eq!(error.to_string(), expected);
}
