//! A camera that films a photograph: clips with motion from material that has none.
//!
//! Photographs are easier to come by than videos, and more varied. A shot moves over one with a smooth path of pan, zoom,
//! roll and perspective; pieces of the photograph may float before it at another speed, as near things do; and the
//! recording may blur, flicker, be noisy, cut to another place, or be compressed. Everything follows from one seed.

use std::f32::consts::TAU;
use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Point = [f32; 2];

/// Lengths of the path are in units of the frame's height; angles in radians.
#[derive(Clone, Debug)]
struct Path {
    /// Position at the first frame, as fractions of the space that the view leaves.
    start: Point,
    /// Motion over the whole clip.
    pan: Point,
    /// Swaying beside it, and the number of swings in the clip.
    sway: Point,
    swings: f32,
    phase: f32,
    /// The logarithm of the magnification at the first frame and of its change over the clip.
    zoom: [f32; 2],
    roll: [f32; 2],
    /// Perspective: the change of scale across the frame, at the first frame, and its change over the clip.
    tilt: [Point; 2],
    is_mirrored: bool,
}

/// A piece of the photograph that floats before it.
#[derive(Clone, Debug)]
struct Layer {
    path: Path,
    /// The centre of the piece in the frame, and its motion over the clip.
    center: Point,
    motion: Point,
    radius: f32,
    /// A wavy outline: the number of waves and their depth.
    waves: f32,
    depth: f32,
    angle: f32,
    spin: f32,
}

/// One uncut part of a clip.
#[derive(Clone, Debug)]
struct Take {
    /// Its first frame.
    start: usize,
    ground: Path,
    layers: Vec<Layer>,
}

/// What the recording adds to what the camera sees.
#[derive(Clone, Debug)]
struct Recording {
    /// Frames averaged within the time of exposure, 1 without motion blur.
    exposures: usize,
    /// The factor of brightness at the first and the last frame, and the gamma.
    gain: [f32; 2],
    gamma: f32,
    /// The standard deviation of the noise, in units of the range of pixels.
    noise: f32,
    /// The quality of a JPEG compression of each frame.
    quality: Option<u8>,
}

/// A clip of a photograph.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    seed: u64,
    frames: usize,
    /// `[height, width]` of the frames.
    size: [usize; 2],
    takes: Vec<Take>,
    recording: Recording,
}

/// Interleaved RGB pixels of `height` rows of `width`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Photograph<'a> {
    pub(crate) pixels: &'a [u8],
    pub(crate) height: usize,
    pub(crate) width: usize,
}

/// How often a shot has each of what makes it harder.
const CUTS: f64 = 0.08;
const STILL: f64 = 0.1;
const PERSPECTIVE: f64 = 0.3;
const LAYERS: f64 = 0.5;
const BLUR: f64 = 0.25;
const NOISE: f64 = 0.2;
const FLICKER: f64 = 0.15;
const COMPRESSION: f64 = 0.2;

impl Shot {
    /// The shot of a seed, of `frames` frames of `size` (`[height, width]`).
    pub(crate) fn new(seed: u64, frames: usize, size: [i64; 2]) -> Self {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let cut = rng.random_bool(CUTS).then(|| rng.random_range(0..frames.max(1))).filter(|&cut| cut > 0);
        let takes = [0].into_iter().chain(cut).map(|start| Take::random(rng, start)).collect();
        let size = size.map(|side| side.max(1) as usize);
        Self { seed, frames, size, takes, recording: Recording::random(rng) }
    }

    /// Films a photograph, which is at least as large as the frames. Returns the frames row by row in interleaved RGB.
    pub(crate) fn film(&self, photograph: Photograph<'_>) -> Vec<u8> {
        let (frames, [height, width]) = (self.frames, self.size);
        let mut noise = ChaCha8Rng::seed_from_u64(!self.seed);
        let mut pixels = Vec::with_capacity(frames * height * width * 3);
        for frame in 0..frames {
            let take = self.takes.iter().rev().find(|take| take.start <= frame).unwrap_or(&self.takes[0]);
            let exposures = self.recording.exposures;
            let mut light = vec![0.0_f32; height * width * 3];
            for exposure in 0..exposures {
                let time = (frame as f32 + exposure as f32 / (2.0 * exposures as f32)) / (frames as f32).max(1.0);
                take.expose(photograph, time, [height, width], &mut light);
            }
            let progress = frame as f32 / frames.max(1) as f32;
            let frame = self.recording.develop(&light, progress, &mut noise);
            pixels.extend(self.recording.compress(frame, [height, width]));
        }
        pixels
    }
}

impl Path {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let moves = if rng.random_bool(STILL) { 0.0 } else { 1.0 };
        // Most motions are small; some are fast.
        let speed = moves * 0.6 * rng.random_range(0.0_f32..1.0).powi(3) + 0.02 * moves;
        let heading = rng.random_range(0.0..TAU);
        let mut small = |size: f32| rng.random_range(-size..=size);
        let (zoom, roll) = ([small(1.0), moves * small(0.25)], [small(0.12), moves * small(0.08)]);
        let sway = [moves * small(0.03), moves * small(0.03)];
        let tilt = [[small(0.3), small(0.3)], [moves * small(0.15), moves * small(0.15)]];
        let tilt = if rng.random_bool(PERSPECTIVE) { tilt } else { [[0.0; 2]; 2] };
        Self {
            start: [rng.random_range(0.0..1.0), rng.random_range(0.0..1.0)],
            pan: [speed * heading.cos(), speed * heading.sin()],
            sway,
            swings: rng.random_range(0.3..2.5),
            phase: rng.random_range(0.0..TAU),
            zoom,
            roll,
            tilt,
            is_mirrored: rng.random(),
        }
    }

    /// The map from points of the frame to points of a photograph of `size` `[height, width]` pixels, at a time from 0 to 1.
    fn view(&self, time: f32, [height, width]: [usize; 2], frame: [usize; 2]) -> View {
        let wave = (TAU * self.swings * time + self.phase).sin();
        let (sin, cos) = (self.roll[0] + self.roll[1] * time).sin_cos();
        // Pixels of the photograph for one frame height: from the photograph's own pixels to all of its height.
        let least = frame[0] as f32;
        let most = (height as f32).min(width as f32 * frame[0] as f32 / frame[1].max(1) as f32).max(least);
        let zoom = (0.5 + 0.5 * self.zoom[0]).clamp(0.0, 1.0);
        let scale = least * (most / least).powf(zoom) * (self.zoom[1] * time).exp();
        let along = |axis: usize| {
            let (side, view) = ([width, height][axis] as f32, scale * [frame[1] as f32 / frame[0] as f32, 1.0][axis]);
            view / 2.0
                + self.start[axis] * (side - view).max(0.0)
                + scale * (self.pan[axis] * (time - 0.5) + self.sway[axis] * wave)
        };
        let tilt = [0, 1].map(|axis| self.tilt[0][axis] + self.tilt[1][axis] * time);
        View { center: [along(0), along(1)], scale, turn: [cos, sin], tilt, is_mirrored: self.is_mirrored }
    }
}

/// A camera's view of a photograph at one time.
struct View {
    center: Point,
    scale: f32,
    turn: Point,
    tilt: Point,
    is_mirrored: bool,
}

impl View {
    /// The point of the photograph, in pixels, at a point of the frame, whose centre is the origin and whose height is 1.
    fn at(&self, [x, y]: Point) -> Point {
        let x = if self.is_mirrored { -x } else { x };
        let depth = (1.0 + self.tilt[0] * x + self.tilt[1] * y).max(0.2);
        let [cos, sin] = self.turn;
        let (x, y) = ((x * cos - y * sin) / depth, (x * sin + y * cos) / depth);
        [self.center[0] + self.scale * x, self.center[1] + self.scale * y]
    }
}

impl Layer {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let heading = rng.random_range(0.0..TAU);
        let speed = rng.random_range(0.0_f32..1.0).powi(2);
        Self {
            path: Path::random(rng),
            center: [rng.random_range(-0.6..0.6), rng.random_range(-0.5..0.5)],
            motion: [speed * heading.cos(), speed * heading.sin()],
            radius: rng.random_range(0.08..0.4),
            waves: rng.random_range(2..=7) as f32,
            depth: rng.random_range(0.0..0.4),
            angle: rng.random_range(0.0..TAU),
            spin: rng.random_range(-1.0..1.0),
        }
    }

    /// The place of a point of the frame relative to the piece at a time, and how much the piece covers it.
    fn cover(&self, [x, y]: Point, time: f32, pixel: f32) -> (Point, f32) {
        let at = [0, 1].map(|axis| [x, y][axis] - self.center[axis] - self.motion[axis] * (time - 0.5));
        let reach = self.radius * 1.5;
        if at[0].abs() > reach || at[1].abs() > reach {
            return (at, 0.0);
        }
        let angle = at[1].atan2(at[0]) + self.angle + self.spin * time;
        let outline = self.radius * (1.0 + self.depth * (self.waves * angle).sin());
        (at, (0.5 + (outline - at[0].hypot(at[1])) / pixel).clamp(0.0, 1.0))
    }
}

impl Take {
    fn random(rng: &mut ChaCha8Rng, start: usize) -> Self {
        let count = if rng.random_bool(LAYERS) { rng.random_range(1..=3) } else { 0 };
        Self { start, ground: Path::random(rng), layers: (0..count).map(|_| Layer::random(rng)).collect() }
    }

    /// Adds what the camera sees to `light`.
    fn expose(&self, photograph: Photograph<'_>, time: f32, [height, width]: [usize; 2], light: &mut [f32]) {
        let size = [photograph.height, photograph.width];
        let ground = self.ground.view(time, size, [height, width]);
        // A piece moves as a whole, so what it shows hardly moves within it.
        let pieces: Vec<(&Layer, View)> =
            self.layers.iter().map(|layer| (layer, layer.path.view(0.1 * time, size, [height, width]))).collect();
        let pixel = 1.0 / height as f32;
        for (index, light) in light.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let (row, column) = (index / width, index % width);
            let at = [(column as f32 + 0.5 - width as f32 / 2.0) * pixel, (row as f32 + 0.5) * pixel - 0.5];
            let mut color = photograph.color(ground.at(at));
            for (layer, view) in &pieces {
                let (at, cover) = layer.cover(at, time, pixel);
                if cover > 0.0 {
                    let own = photograph.color(view.at(at));
                    color = [0, 1, 2].map(|i| color[i] + (own[i] - color[i]) * cover);
                }
            }
            for (sum, value) in light.iter_mut().zip(color) {
                *sum += value;
            }
        }
    }
}

impl Photograph<'_> {
    /// The colour at a point in pixels, each from 0 to 255, by bilinear interpolation. The photograph is mirrored at its
    /// borders.
    fn color(&self, [x, y]: Point) -> [f32; 3] {
        let place = |position: f32, side: usize| {
            let last = (side.max(2) - 1) as f32;
            let position = last - ((position - 0.5).rem_euclid(2.0 * last) - last).abs();
            let first = (position as usize).min(side.saturating_sub(2));
            (first, (first + 1).min(side - 1), position - first as f32)
        };
        let ((left, right, across), (top, bottom, down)) = (place(x, self.width), place(y, self.height));
        let pixel = |row: usize, column: usize| {
            let start = (row * self.width + column) * 3;
            [0, 1, 2].map(|i| f32::from(self.pixels[start + i]))
        };
        let mix = |a: [f32; 3], b: [f32; 3], amount: f32| [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * amount);
        let above = mix(pixel(top, left), pixel(top, right), across);
        let below = mix(pixel(bottom, left), pixel(bottom, right), across);
        mix(above, below, down)
    }
}

impl Recording {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let mut with = |probability: f64| rng.random_bool(probability);
        let (blurs, flickers, is_noisy, is_compressed) = (with(BLUR), with(FLICKER), with(NOISE), with(COMPRESSION));
        let mut gain = || if flickers { rng.random_range(0.75..1.25) } else { 1.0 };
        Self {
            exposures: if blurs { 4 } else { 1 },
            gain: [gain(), gain()],
            gamma: rng.random_range(0.85..1.2),
            noise: if is_noisy { rng.random_range(0.0..0.04) } else { 0.0 },
            quality: is_compressed.then(|| rng.random_range(30..90)),
        }
    }

    /// Turns the sum of exposures into pixels.
    fn develop(&self, light: &[f32], progress: f32, noise: &mut ChaCha8Rng) -> Vec<u8> {
        let gain = self.gain[0] + (self.gain[1] - self.gain[0]) * progress;
        let curve: Vec<f32> = (0..=255).map(|value| (value as f32 / 255.0).powf(self.gamma) * 255.0).collect();
        let developed = light.iter().map(|value| {
            let value = (value / self.exposures as f32 * gain).clamp(0.0, 255.0);
            let first = (value as usize).min(254);
            let value = curve[first] + (curve[first + 1] - curve[first]) * (value - first as f32);
            let added = if self.noise > 0.0 { 255.0 * self.noise * normal(noise) } else { 0.0 };
            (value + added + 0.5).clamp(0.0, 255.0) as u8
        });
        developed.collect()
    }

    /// The frame after a lossy compression.
    fn compress(&self, frame: Vec<u8>, [height, width]: [usize; 2]) -> Vec<u8> {
        let Some(quality) = self.quality else { return frame };
        let mut bytes = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, quality);
        // A frame in memory can always be encoded and decoded; if not, it stays as it is.
        let decoded = encoder
            .encode(&frame, width as u32, height as u32, ExtendedColorType::Rgb8)
            .and_then(|()| image::load(Cursor::new(&bytes), ImageFormat::Jpeg));
        decoded.map_or(frame, |image| image.into_rgb8().into_raw())
    }
}

/// An approximately normal number: the sum of four uniform ones, scaled to the variance 1.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let sum: f32 = (0..4).map(|_| rng.random_range(-1.0_f32..1.0)).sum();
    sum * (3.0_f32 / 4.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [i64; 2] = [24, 32];

    fn photograph() -> Vec<u8> {
        (0..64 * 96).flat_map(|i| [(i % 96 * 2) as u8, (i / 96 * 4) as u8, ((i * 7) % 251) as u8]).collect()
    }

    fn film(seed: u64, frames: usize) -> Vec<u8> {
        let pixels = photograph();
        Shot::new(seed, frames, SIZE).film(Photograph { pixels: &pixels, height: 64, width: 96 })
    }

    #[test]
    fn a_shot_follows_from_its_seed_and_shots_differ() {
        for seed in 0..20 {
            let clip = film(seed, 5);
            assert_eq!(clip.len(), 5 * 24 * 32 * 3);
            assert!(clip == film(seed, 5) && clip != film(seed + 100, 5));
        }
    }

    #[test]
    fn most_shots_move_smoothly() {
        let difference =
            |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>() / a.len() as f64;
        let moving = (0..40).filter(|&seed| {
            let clip = film(seed, 9);
            let frames: Vec<_> = clip.chunks(clip.len() / 9).collect();
            let (near, far) = (difference(frames[3], frames[4]), difference(frames[0], frames[8]));
            far > 1.0 && far > near
        });
        assert!(moving.count() >= 25);
    }

    #[test]
    fn colors_are_interpolated_and_mirrored_at_the_borders() {
        let pixels: Vec<u8> = [10, 20, 30, 50].iter().flat_map(|&value| [value; 3]).collect();
        let photograph = Photograph { pixels: &pixels, height: 1, width: 4 };
        for (x, expected) in [(0.5, 10.0), (1.0, 15.0), (3.5, 50.0), (-0.5, 20.0), (4.5, 30.0)] {
            assert!((photograph.color([x, 0.5])[0] - expected).abs() < 1e-3, "{x}");
        }
    }
}
