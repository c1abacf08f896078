//! Each video is probed once, over all runs.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vidtok_data::{
    ClipSet, ClipSpec, Ffmpeg, Hdr, HdrTransfer, HeldOut, InputOptions, Library, LibraryOptions, Notice, ReadOptions,
    Source,
};

use super::files::{counted, counting, countings, numbers, spec};

fn open(ffmpeg: &Ffmpeg, paths: &[PathBuf], index: &Path, spec: ClipSpec) -> ClipSet {
    let options = LibraryOptions { index: Some(index.to_owned()), ..LibraryOptions::default() };
    let source = Source::Videos { ffmpeg: ffmpeg.clone(), paths: paths.to_vec(), input: InputOptions::default() };
    ClipSet::open(&Library::open(&options).unwrap(), source, spec).unwrap()
}

#[test]
fn videos_are_probed_on_first_use_and_never_again() {
    let folder = TempDir::new().unwrap();
    let (ffmpeg, probes) = counted(&folder);
    let index = folder.path().join("index.jsonl");
    let paths = countings(&folder, &[8; 12]);
    let set = open(&ffmpeg, &paths, &index, spec(3));
    assert_eq!(probes(), 0);
    let first = set.batch(0, 0, 1).unwrap();
    assert_eq!(probes(), 1);
    let all = set.first_clips(12).unwrap();
    assert_eq!((probes(), all.len()), (12, 12));

    let again = open(&ffmpeg, &paths, &index, spec(3));
    assert!(again.batch(0, 0, 1).unwrap().clips == first.clips);
    assert_eq!(again.first_clips(12).unwrap().len(), 12);
    assert_eq!(probes(), 12);
    assert_eq!(fs::read_to_string(&index).unwrap().lines().count(), 12);
}

#[test]
fn holding_out_probes_only_the_first_videos() {
    let folder = TempDir::new().unwrap();
    let (ffmpeg, probes) = counted(&folder);
    let paths = countings(&folder, &[8; 12]);
    let held_out = HeldOut { per_video: 1, max: 2 };
    open(&ffmpeg, &paths, &folder.path().join("index.jsonl"), ClipSpec { held_out, ..spec(3) });
    assert!((2..=9).contains(&probes()), "{}", probes());
}

#[test]
fn a_changed_video_is_probed_again() {
    let folder = TempDir::new().unwrap();
    let (ffmpeg, probes) = counted(&folder);
    let index = folder.path().join("index.jsonl");
    let paths = countings(&folder, &[5]);
    let clip = |frames| numbers(&open(&ffmpeg, &paths, &index, spec(frames)).first_clips(1).unwrap()[0].clips);
    assert_eq!(clip(6), [0, 1, 2, 3, 4, 4]);
    counting(&paths[0], 7, 40);
    assert_eq!(clip(6), [10, 11, 12, 13, 14, 16]);
    assert_eq!(probes(), 2);
    // Only the modification time has changed.
    fs::File::open(&paths[0]).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!((clip(6), probes()), (vec![10, 11, 12, 13, 14, 16], 3));
    // The last of the three lines counts.
    assert_eq!((clip(6), probes()), (vec![10, 11, 12, 13, 14, 16], 3));
    assert_eq!(fs::read_to_string(&index).unwrap().lines().count(), 3);
}

#[test]
fn concurrent_runs_share_one_index() {
    let folder = TempDir::new().unwrap();
    let (ffmpeg, probes) = counted(&folder);
    let index = folder.path().join("index.jsonl");
    let paths = countings(&folder, &[8; 8]);
    let sets = [&paths[..5], &paths[3..]].map(|paths| open(&ffmpeg, paths, &index, spec(3)));
    std::thread::scope(|scope| {
        for set in &sets {
            scope.spawn(|| set.first_clips(9).unwrap());
        }
    });
    assert_eq!(probes(), 10, "two were probed by both");
    assert_eq!(open(&ffmpeg, &paths, &index, spec(3)).first_clips(9).unwrap().len(), 8);
    assert_eq!(probes(), 10);
}

#[test]
fn invalid_lines_are_ignored() {
    let folder = TempDir::new().unwrap();
    let (ffmpeg, probes) = counted(&folder);
    let index = folder.path().join("index.jsonl");
    let paths = countings(&folder, &[5, 5]);
    let clips = || open(&ffmpeg, &paths, &index, spec(3)).first_clips(2).unwrap().len();
    assert_eq!((clips(), probes()), (2, 2));
    let line = fs::read_to_string(&index).unwrap().lines().next().unwrap().to_owned();
    assert!(line.contains("\"frames\":5,\"fps\":\"25\",\"width\":32,\"height\":24}"), "{line}");
    for wrong in ["\"frames\":0", "\"frames\":-1", "\"frames\":5,\"fps\":\"fast\""] {
        let before = probes();
        let text = line.replace("\"frames\":5", wrong).replacen("\"fps\":\"25\",", "", wrong.matches("fast").count());
        fs::write(&index, format!("{text}\nnonsense\n{}", &line[..line.len() - 9])).unwrap();
        assert_eq!((clips(), probes()), (2, before + 2), "{wrong}");
        assert_eq!((clips(), probes()), (2, before + 2), "{wrong}");
    }
}

#[test]
fn a_wrong_index_never_yields_wrong_frames() {
    let folder = TempDir::new().unwrap();
    let (ffmpeg, _) = counted(&folder);
    let index = folder.path().join("index.jsonl");
    let paths = countings(&folder, &[5, 9]);
    open(&ffmpeg, &paths, &index, spec(3)).first_clips(2).unwrap();
    let text = fs::read_to_string(&index).unwrap();
    fs::write(&index, text.replace("\"frames\":5", "\"frames\":9")).unwrap();
    let set = open(&ffmpeg, &paths, &index, spec(8));
    let clips: Vec<_> = set.first_clips(2).unwrap().iter().map(|batch| numbers(&batch.clips)).collect();
    assert_eq!(clips, [[0, 1, 2, 3, 4, 4, 4, 4], [0, 1, 2, 3, 4, 5, 6, 8]]);
}

/// A tampered index of a video of five 24x32 frames, and the clips made with it.
struct Lying {
    folder: TempDir,
    paths: Vec<PathBuf>,
    index: PathBuf,
}

impl Lying {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (paths, index) = (countings(&folder, &[5]), folder.path().join("index.jsonl"));
        Self { folder, paths, index }
    }

    /// The clips of a run with the tampered index and of one without it, and how often the video was probed.
    fn clips(&self, lie: [&str; 2], cache_bytes: u64, frames: usize) -> ([Vec<i64>; 2], usize) {
        let (ffmpeg, probes) = counted(&self.folder);
        let run = |index: Option<PathBuf>| {
            let library = Library::open(&LibraryOptions { index, cache_bytes, skipped: None }).unwrap();
            let input = InputOptions::default();
            let source = Source::Videos { ffmpeg: ffmpeg.clone(), paths: self.paths.clone(), input };
            let set = ClipSet::open(&library, source, spec(frames)).unwrap();
            let clips = set.batch(3, 0, 4).unwrap().clips;
            assert!(library.skipped().is_empty(), "{:?}", library.skipped());
            numbers(&clips)
        };
        let expected = run(None);
        run(Some(self.index.clone()));
        let text = fs::read_to_string(&self.index).unwrap();
        assert!(text.contains(lie[0]), "{text}");
        fs::write(&self.index, text.replace(lie[0], lie[1])).unwrap();
        let before = probes();
        ([run(Some(self.index.clone())), expected], probes() - before)
    }
}

#[test]
fn a_wrong_size_or_length_is_noticed_and_the_video_probed_again() {
    let size = "\"width\":32,\"height\":24";
    for (lie, frames) in [
        ([size, "\"width\":24,\"height\":32"], 3),
        ([size, "\"width\":16,\"height\":24"], 3),
        ([size, "\"width\":8000,\"height\":16"], 3),
        (["\"frames\":5", "\"frames\":9"], 8),
        (["\"frames\":5", "\"frames\":4000000000"], 3),
    ] {
        for cache_bytes in [0, 1 << 30] {
            let ([clips, expected], probes) = Lying::new().clips(lie, cache_bytes, frames);
            assert_eq!((clips, probes), (expected, 1), "{lie:?}");
        }
    }
    // A number that is too small is noticed when the whole video is read.
    let ([clips, expected], probes) = Lying::new().clips(["\"frames\":5", "\"frames\":2"], 1 << 30, 3);
    assert_eq!((clips, probes), (expected, 1));
}

#[test]
fn impossible_values_are_ignored() {
    for lie in [
        ["\"height\":24", "\"height\":2147483647"],
        ["\"width\":32", "\"width\":9223372036854775807"],
        ["\"width\":32", "\"width\":-32"],
        ["\"frames\":5", "\"frames\":18446744073709551615"],
        ["\"fps\":\"25\"", "\"fps\":\"1/4000000000\""],
    ] {
        let ([clips, expected], probes) = Lying::new().clips(lie, 1 << 30, 3);
        assert_eq!((clips, probes), (expected, 1), "{lie:?}");
    }
}

#[test]
fn held_out_frames_depend_on_the_video_not_on_its_index_line() {
    let lying = Lying::new();
    let held_out = HeldOut { per_video: 1, max: 1 };
    let spec = ClipSpec { held_out, ..spec(2) };
    open(&Ffmpeg::locate().unwrap(), &lying.paths, &lying.index, spec);
    let text = fs::read_to_string(&lying.index).unwrap();
    fs::write(&lying.index, text.replace("\"frames\":5", "\"frames\":9")).unwrap();
    let set = open(&Ffmpeg::locate().unwrap(), &lying.paths, &lying.index, spec);
    assert_eq!(numbers(&set.held_out().unwrap()[0].clips), [3, 4]);
    let trained = numbers(&set.batch(0, 0, 20).unwrap().clips);
    assert!(trained.iter().all(|&frame| frame < 3), "{trained:?}");
}

#[test]
fn high_dynamic_range_is_read_alike_with_and_without_the_index() {
    let folder = TempDir::new().unwrap();
    let (ffmpeg, probes) = counted(&folder);
    let (index, path) = (folder.path().join("index.jsonl"), folder.path().join("hdr.mkv"));
    // Reference white: 203 cd/m2 in PQ.
    let tags = "setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084:range=tv";
    let made = std::process::Command::new(super::files::ffmpeg().program())
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "color=s=32x24:r=25:d=0.2,format=yuv444p10le,geq=573:512:512",
            "-vf",
        ])
        .args([tags, "-c:v", "ffv1"])
        .arg(&path)
        .status();
    assert!(made.unwrap().success());
    let value = |hdr, cache_bytes| {
        let read = ReadOptions { hdr, ..ReadOptions::default() };
        let options = LibraryOptions { index: Some(index.clone()), cache_bytes, ..LibraryOptions::default() };
        let library = Library::open(&options).unwrap();
        let input = InputOptions { read, ..InputOptions::default() };
        let source = Source::Videos { ffmpeg: ffmpeg.clone(), paths: vec![path.clone()], input };
        let set = ClipSet::open(&library, source, spec(3)).unwrap();
        let white = (set.batch(0, 0, 1).unwrap().clips.double_value(&[0, 0, 0, 4, 4]) + 1.0) * 127.5;
        (white.round() as u8, library.notices())
    };
    let notices = vec![(path.display().to_string(), Notice::ToneMapped(HdrTransfer::Pq))];
    // Without the index; then with it, with cached frames and with each clip decoded again.
    for cache_bytes in [0, 0, 1 << 20] {
        assert_eq!(value(Hdr::ToneMap, cache_bytes), (247, notices.clone()));
        assert_eq!(value(Hdr::Keep, cache_bytes), (148, vec![]));
        assert_eq!(probes(), 1);
    }
    // A line of a version that did not record the pixel format.
    let line = fs::read_to_string(&index).unwrap();
    fs::write(&index, line.replace("\"picture\":{\"hdr\":\"pq\"},", "")).unwrap();
    assert_eq!((value(Hdr::ToneMap, 0), probes()), ((247, notices), 2));
}
