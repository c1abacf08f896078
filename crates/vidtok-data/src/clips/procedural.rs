//! Synthetic videos: textured shapes that move over a textured ground under a moving camera.
//!
//! They replace real clips where none are available. The seed decides everything, and a frame depends only on the seed,
//! its time and its size. Lengths are in units of the frame's height, with the centre of the frame at (0, 0).

use std::f32::consts::TAU;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use crate::parallel::map;

type Point = [f32; 2];
type Color = [f32; 3];

/// A synthetic scene without end.
#[derive(Clone, Debug)]
pub struct Scene {
    ground: Ground,
    camera: Camera,
    /// Ordered from far to near.
    shapes: Vec<Shape>,
}

#[derive(Clone, Debug)]
struct Ground {
    /// Colours at the lowest and highest points of the texture.
    colors: [Color; 2],
    /// Cells of the coarsest texture octave per unit.
    scale: f32,
    salt: u32,
}

/// A camera that drifts, sways, zooms and rolls a little.
#[derive(Clone, Debug)]
struct Camera {
    velocity: Point,
    sway: Point,
    zoom: f32,
    roll: f32,
    rate: f32,
    phase: f32,
}

#[derive(Clone, Debug)]
struct Shape {
    outline: Outline,
    texture: Texture,
    colors: [Color; 2],
    radius: f32,
    /// The position at time 0, and the motion per second.
    start: Point,
    velocity: Point,
    angle: f32,
    spin: f32,
    salt: u32,
}

#[derive(Clone, Copy, Debug)]
enum Outline {
    Disc,
    Box,
    /// A star with this many points.
    Star(f32),
}

#[derive(Clone, Copy, Debug)]
enum Texture {
    Stripes,
    Checks,
    Dots,
    Marble,
}

/// Half the extent of the field in which shapes move before they bounce.
const FIELD: Point = [0.9, 0.45];

impl Scene {
    /// The scene of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let hue = rng.random_range(0.0..1.0);
        let ground = Ground {
            colors: [
                color(hue, 0.45, rng.random_range(0.15..0.35)),
                color(hue + 0.15, 0.4, rng.random_range(0.6..0.9)),
            ],
            scale: rng.random_range(1.5..3.0),
            salt: rng.random(),
        };
        let camera = Camera {
            velocity: heading(&mut rng, 0.02..0.12),
            sway: [rng.random_range(0.0..0.06), rng.random_range(0.0..0.03)],
            zoom: rng.random_range(0.0..0.12),
            roll: rng.random_range(0.0..0.06),
            rate: rng.random_range(0.15..0.4),
            phase: rng.random_range(0.0..TAU),
        };
        let count = rng.random_range(3..=6);
        let shapes = (0..count)
            .map(|_| {
                let hue = hue + 0.3 + rng.random_range(0.0..0.5);
                Shape {
                    outline: match rng.random_range(0..3) {
                        0 => Outline::Disc,
                        1 => Outline::Box,
                        _ => Outline::Star(rng.random_range(3..=6) as f32),
                    },
                    texture: match rng.random_range(0..4) {
                        0 => Texture::Stripes,
                        1 => Texture::Checks,
                        2 => Texture::Dots,
                        _ => Texture::Marble,
                    },
                    colors: [color(hue, 0.75, 0.85), color(hue + rng.random_range(0.05..0.3), 0.6, 0.45)],
                    radius: rng.random_range(0.1..0.24),
                    start: [rng.random_range(-FIELD[0]..FIELD[0]), rng.random_range(-FIELD[1]..FIELD[1])],
                    velocity: heading(&mut rng, 0.05..0.35),
                    angle: rng.random_range(0.0..TAU),
                    spin: rng.random_range(-1.2..1.2),
                    salt: rng.random(),
                }
            })
            .collect();
        Self { ground, camera, shapes }
    }

    /// Renders the frames at these times (in seconds): uint8 `[t, height, width, 3]` RGB.
    pub fn frames(&self, times: &[f64], [height, width]: [i64; 2]) -> Tensor {
        let pixels = map(times.to_vec(), |time| self.frame(time, [height, width])).concat();
        Tensor::from_data_size(&pixels, &[times.len() as i64, height, width, 3], Kind::Uint8)
    }

    /// The bytes of one frame, row by row.
    fn frame(&self, time: f64, [height, width]: [i64; 2]) -> Vec<u8> {
        let pixel = 1.0 / height.max(1) as f32;
        let time = time as f32;
        let view = self.camera.at(time);
        let transforms: Vec<_> = self.shapes.iter().map(|shape| shape.at(time)).collect();
        let mut pixels = Vec::with_capacity((height * width * 3).max(0) as usize);
        for y in 0..height {
            for x in 0..width {
                let at = [(x as f32 + 0.5) * pixel - 0.5 * width as f32 * pixel, (y as f32 + 0.5) * pixel - 0.5];
                let mut color = self.ground.color(view.world(at));
                let seen = view.steady(at);
                for (shape, transform) in self.shapes.iter().zip(&transforms) {
                    shape.paint(&mut color, seen, transform, pixel);
                }
                // Vignetting: darker towards the corners.
                let vignette = 1.0 - 0.25 * (at[0] * at[0] + at[1] * at[1]);
                pixels.extend(color.map(|value| ((value * vignette).clamp(0.0, 1.0) * 255.0 + 0.5) as u8));
            }
        }
        pixels
    }
}

/// The camera's position and orientation at one time.
struct View {
    center: Point,
    zoom: f32,
    turn: Point,
}

impl Camera {
    fn at(&self, time: f32) -> View {
        let wave = |rate: f32| (time * self.rate * rate * TAU + self.phase).sin();
        let [vx, vy] = self.velocity;
        View {
            center: [vx * time + self.sway[0] * wave(1.0), vy * time + self.sway[1] * wave(1.7)],
            zoom: 1.0 + self.zoom * wave(0.6),
            turn: unit(self.roll * wave(0.8)),
        }
    }
}

impl View {
    /// The point of the ground seen at a point of the frame.
    fn world(&self, at: Point) -> Point {
        let [x, y] = self.steady(at);
        [x + self.center[0], y + self.center[1]]
    }

    /// The same without the camera's drift, since shapes move with the camera.
    fn steady(&self, at: Point) -> Point {
        rotate(at, self.turn).map(|value| value * self.zoom)
    }
}

impl Ground {
    fn color(&self, at: Point) -> Color {
        let at = at.map(|value| value * self.scale);
        let height = (0..4).map(|octave| {
            let fine = (1u32 << octave) as f32;
            noise(at.map(|value| value * fine), self.salt.wrapping_add(octave)) / (2.0 * fine)
        });
        mix(self.colors[0], self.colors[1], smooth(height.sum::<f32>().clamp(0.0, 1.0)))
    }
}

impl Shape {
    /// Centre and rotation at one time.
    fn at(&self, time: f32) -> (Point, Point) {
        let along = |axis: usize| bounce(self.start[axis] + self.velocity[axis] * time, FIELD[axis]);
        ([along(0), along(1)], unit(self.angle + self.spin * time))
    }

    /// Paints the shape and its shadow over what lies behind.
    fn paint(&self, color: &mut Color, at: Point, &(middle, turn): &(Point, Point), pixel: f32) {
        let offset = [at[0] - middle[0], at[1] - middle[1]];
        let reach = self.radius * 1.6;
        if offset[0].abs() > reach || offset[1].abs() > reach {
            return;
        }
        let depth = self.radius * 0.15;
        let shadow = self.distance(rotate([offset[0] - depth, offset[1] - depth], turn));
        let shade = 0.45 * (0.5 - shadow / (0.3 * self.radius)).clamp(0.0, 1.0);
        *color = color.map(|value| value * (1.0 - shade));
        let local = rotate(offset, turn);
        let cover = (0.5 - self.distance(local) / pixel).clamp(0.0, 1.0);
        if cover > 0.0 {
            // Lit from the upper left.
            let light = 0.85 - 0.25 * (offset[0] + offset[1]) / self.radius;
            let [u, v] = local.map(|value| value / self.radius);
            let own = mix(self.colors[0], self.colors[1], self.texture.value([u, v], self.salt));
            *color = mix(*color, own.map(|value| (value * light).min(1.0)), cover);
        }
    }

    /// An approximate signed distance from a point to the outline; negative inside.
    fn distance(&self, at: Point) -> f32 {
        let length = at[0].hypot(at[1]);
        match self.outline {
            Outline::Disc => length - self.radius,
            Outline::Box => at[0].abs().max(at[1].abs() * 1.4) - self.radius * 0.9,
            Outline::Star(points) => {
                let ray = (at[1].atan2(at[0]) * points).cos();
                length - self.radius * (0.75 + 0.25 * ray)
            }
        }
    }
}

impl Texture {
    /// The blend of the two colours at a point of the shape, whose radius is 1.
    fn value(self, [u, v]: Point, salt: u32) -> f32 {
        // Steep waves make edges as sharp as small frames can show.
        let wave = |phase: f32| (0.5 + 2.0 * (phase * TAU).sin()).clamp(0.0, 1.0);
        match self {
            Texture::Stripes => wave(u * 1.5),
            Texture::Checks => {
                let (a, b) = (wave(u * 1.2), wave(v * 1.2));
                a + b - 2.0 * a * b
            }
            Texture::Dots => {
                let (a, b) = ((u * 2.2).rem_euclid(1.0) - 0.5, (v * 2.2).rem_euclid(1.0) - 0.5);
                ((0.35 - a.hypot(b)) * 8.0).clamp(0.0, 1.0)
            }
            Texture::Marble => wave(u + 0.8 * noise([u * 2.0, v * 2.0], salt)),
        }
    }
}

/// A random direction with a random speed from `speeds`.
fn heading(rng: &mut ChaCha8Rng, speeds: std::ops::Range<f32>) -> Point {
    let speed = rng.random_range(speeds);
    unit(rng.random_range(0.0..TAU)).map(|value| value * speed)
}

/// (cos, sin) of an angle.
fn unit(angle: f32) -> Point {
    [angle.cos(), angle.sin()]
}

fn rotate([x, y]: Point, [cos, sin]: Point) -> Point {
    [x * cos + y * sin, y * cos - x * sin]
}

/// A position that bounces at `-limit` and `limit`.
fn bounce(position: f32, limit: f32) -> f32 {
    let there_and_back = (position + limit).rem_euclid(4.0 * limit);
    2.0 * limit - (there_and_back - 2.0 * limit).abs() - limit
}

fn mix(a: Color, b: Color, amount: f32) -> Color {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * amount)
}

fn smooth(x: f32) -> f32 {
    x * x * (3.0 - 2.0 * x)
}

/// A colour from its hue (in turns), saturation and value.
fn color(hue: f32, saturation: f32, value: f32) -> Color {
    [0.0, 2.0 / 3.0, 1.0 / 3.0].map(|shift| {
        let distance = ((hue + shift).rem_euclid(1.0) * 6.0 - 3.0).abs();
        value * (1.0 - saturation + saturation * (distance - 1.0).clamp(0.0, 1.0))
    })
}

/// Value noise in [0, 1) over the plane, with random values at integer points.
fn noise([x, y]: Point, salt: u32) -> f32 {
    let corner = |i: i32, j: i32| {
        let mut bits = salt ^ (i as u32).wrapping_mul(0x9E37_79B1) ^ (j as u32).wrapping_mul(0x85EB_CA77);
        bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D);
        bits = (bits ^ (bits >> 12)).wrapping_mul(0x297A_2D39);
        (bits ^ (bits >> 15)) as f32 / u32::MAX as f32
    };
    let (i, j) = (x.floor(), y.floor());
    let (u, v) = (smooth(x - i), smooth(y - j));
    let (i, j) = (i as i32, j as i32);
    let row = |j: i32| corner(i, j) * (1.0 - u) + corner(i.wrapping_add(1), j) * u;
    row(j) * (1.0 - v) + row(j.wrapping_add(1)) * v
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_difference(a: &Tensor, b: &Tensor) -> f64 {
        (a.to_kind(Kind::Float) - b.to_kind(Kind::Float)).abs().mean(None).double_value(&[])
    }

    #[test]
    fn a_frame_depends_on_seed_and_time_alone() {
        let both = Scene::new(3).frames(&[0.0, 1.0], [24, 32]);
        assert_eq!(both.size(), [2, 24, 32, 3]);
        assert_eq!(Scene::new(3).frames(&[1.0], [24, 32]).get(0), both.get(1));
        assert!(mean_difference(&Scene::new(4).frames(&[0.0], [24, 32]).get(0), &both.get(0)) > 10.0);
    }

    #[test]
    fn near_frames_differ_little_and_distant_frames_much() {
        for seed in 0..5 {
            let frames = Scene::new(seed).frames(&[0.0, 0.04, 4.0], [32, 48]);
            let near = mean_difference(&frames.get(0), &frames.get(1));
            let far = mean_difference(&frames.get(0), &frames.get(2));
            assert!(near > 0.2 && near < 12.0 && far > 2.0 * near, "{seed}: {near} {far}");
        }
    }

    #[test]
    fn the_content_does_not_depend_on_the_size() {
        let small = Scene::new(1).frames(&[0.5], [32, 32]);
        let large = Scene::new(1).frames(&[0.5], [64, 64]);
        let shrunk = crate::transform::resize_frames(&large, 32);
        assert!(mean_difference(&small, &shrunk) < 8.0);
    }

    #[test]
    fn shapes_bounce_at_the_border() {
        assert!((bounce(0.3, 0.5) - 0.3).abs() < 1e-6);
        assert!((bounce(0.7, 0.5) - 0.3).abs() < 1e-6);
        assert!((bounce(-0.7, 0.5) + 0.3).abs() < 1e-6);
    }
}
