//! Mixtures of clip sets, and sets of images.

use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use vidtok_data::{ClipSet, ClipSpec, HeldOut, LoadError, Mixture, Source};

use super::files::{ffmpeg, library, open, save_png, spec};

fn scenes(frames: usize, seed: u64) -> Arc<ClipSet> {
    let tiny = ClipSpec { size: [4, 4], shorter_side: 4, ..spec(frames) };
    Arc::new(ClipSet::open(&library(), Source::Procedural { scenes: 1, seed }, tiny).unwrap())
}

#[test]
fn images_are_clips_of_one_frame() {
    let folder = TempDir::new().unwrap();
    let png = folder.path().join("a.png");
    let frame = vidtok_data::Scene::new(1).frames(&[0.0], [24, 40]);
    save_png(&png, &frame.get(0));
    let mut paths = vec![png.clone()];
    for name in ["a.jpg", "a.bmp", "a.webp"] {
        let path = folder.path().join(name);
        let mut command = Command::new(ffmpeg().program());
        command.args(["-v", "quiet", "-nostdin", "-i"]).arg(&png).arg(&path);
        // Some builds of ffmpeg cannot write WebP.
        if command.status().unwrap().success() {
            paths.push(path);
        }
    }
    assert!(paths.len() >= 3);
    let spec = ClipSpec { size: [24, 40], held_out: HeldOut { per_video: 3, max: 3 }, ..spec(9) }.for_images();
    let images = open(&paths, spec);
    let expected = vidtok_data::to_model_range(&frame);
    for (batch, path) in images.first_clips(9).unwrap().into_iter().zip(&paths) {
        assert_eq!(batch.clips.size(), [1, 3, 1, 24, 40]);
        let error = (batch.clips - &expected).abs().mean(None).double_value(&[]);
        assert!(error < 0.1, "{}: {error}", path.display());
    }
    assert_eq!(images.batch(0, 0, 3).unwrap().clips.size(), [3, 3, 1, 24, 40]);
}

#[test]
fn sets_are_chosen_in_proportion_to_their_weights() {
    let mixture = Mixture::new(vec![(scenes(2, 0), 0.75), (scenes(3, 1), 0.0), (scenes(1, 2), 0.25)]).unwrap();
    let frames = |step| mixture.choose(3, step).batch(3, step, 1).unwrap().clips.size()[2];
    let frames: Vec<_> = (0..800).map(frames).collect();
    let images = frames.iter().filter(|&&frames| frames == 1).count();
    // 200 plus or minus four standard deviations.
    assert!((151..=249).contains(&images), "{images}");
    assert!(!frames.contains(&3));
    let again =
        |step: usize| mixture.choose(3, step as u64).batch(3, step as u64, 2).unwrap().clips.size()[2] == frames[step];
    assert!((700..720).all(again), "the choice depends on more than seed and step");
}

#[test]
fn a_mixture_of_one_set_always_chooses_it() {
    let set = scenes(2, 0);
    let mixture = Mixture::from(Arc::clone(&set));
    assert!((0..9).all(|step| std::ptr::eq(mixture.choose(1, step), set.as_ref())));
}

#[test]
fn invalid_weights_are_refused() {
    for weights in [vec![], vec![0.0], vec![1.0, -0.5], vec![f64::NAN], vec![f64::INFINITY]] {
        let sets = weights.iter().map(|&weight| (scenes(1, 0), weight)).collect();
        assert!(matches!(Mixture::new(sets), Err(LoadError::Weights { .. })), "{weights:?}");
    }
}
