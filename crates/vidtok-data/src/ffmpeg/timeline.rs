//! When the frames of a video are shown, and the sound that goes with them.

use std::path::{Path, PathBuf};

use vidtok_core::{FrameRate, FrameTimes, PixelAspect, VideoInfo};

use crate::ffmpeg::container::Container;

/// Ticks of one frame where a steady video has to start between two frames of another stream.
const SUBDIVISION: u32 = 256;

/// What a video made from another one keeps of it besides pictures: the time of each frame, the shape of pixels, and the
/// sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    frame_rate: FrameRate,
    /// Where the rate is not constant.
    uneven: Option<FrameTimes>,
    sound: Option<Sound>,
    pixel_aspect: PixelAspect,
}

impl Timeline {
    /// Frames of square pixels at a constant rate, without sound.
    #[must_use]
    pub fn even(frame_rate: FrameRate) -> Self {
        Self { frame_rate, uneven: None, sound: None, pixel_aspect: PixelAspect::SQUARE }
    }

    /// The frames of this video, of square pixels and without sound.
    #[must_use]
    pub fn of(video: &VideoInfo) -> Self {
        Self { uneven: video.times.clone(), ..Self::even(video.frame_rate) }
    }

    /// The same with pixels of another shape.
    #[must_use]
    pub fn with_pixel_aspect(self, pixel_aspect: PixelAspect) -> Self {
        Self { pixel_aspect, ..self }
    }

    /// The shape of the pixels, which cropping and resizing both sides alike do not change.
    #[must_use]
    pub fn pixel_aspect(&self) -> PixelAspect {
        self.pixel_aspect
    }

    /// The same with these times, where there are any.
    #[must_use]
    pub fn with_times(self, times: Option<FrameTimes>) -> Self {
        Self { uneven: times, ..self }
    }

    /// The same sound with the frames of this video, which must start with the same one.
    #[must_use]
    pub fn with_frames(self, video: &VideoInfo) -> Self {
        Self { sound: self.sound, pixel_aspect: self.pixel_aspect, ..Self::of(video) }
    }

    pub(super) fn with_sound(self, sound: Option<Sound>) -> Self {
        Self { sound, ..self }
    }

    /// The average rate.
    #[must_use]
    pub fn frame_rate(&self) -> FrameRate {
        self.frame_rate
    }

    /// When each frame is shown, where the rate is not constant.
    #[must_use]
    pub fn times(&self) -> Option<&FrameTimes> {
        self.uneven.as_ref()
    }

    /// Whether every frame lasts as long as the others.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.uneven.is_none()
    }

    /// The same without sound.
    pub(super) fn silent(self) -> Self {
        Self { sound: None, ..self }
    }

    pub(super) fn sound(&self) -> Option<&Sound> {
        self.sound.as_ref()
    }

    /// How a container that tells times `finest` seconds apart shows the frames; `None`: it knows constant rates only.
    /// Times that it cannot tell apart give way to their average rate.
    pub(super) fn pace(&self, finest: Option<f64>) -> Pace {
        let starts_with_sound = self.sound.as_ref().is_none_or(|sound| sound.lead == 0);
        match &self.uneven {
            Some(times) if finest.is_some_and(|finest| times.shortest() >= finest) => {
                Pace::Times(Ticks::Listed(times.clone()))
            }
            Some(times) => Pace::Even(times.average().unwrap_or(self.frame_rate)),
            None if !starts_with_sound && finest.is_some() => {
                Ticks::steady(self.frame_rate).map_or(Pace::Even(self.frame_rate), Pace::Times)
            }
            None => Pace::Even(self.frame_rate),
        }
    }
}

/// How frames follow each other in a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pace {
    Even(FrameRate),
    Times(Ticks),
}

/// When each frame is shown, in ticks since the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ticks {
    Listed(FrameTimes),
    /// A constant rate, in ticks of this length (seconds as a fraction) that are fine enough to start anywhere.
    Steady((u32, u32)),
}

impl Ticks {
    fn steady(rate: FrameRate) -> Option<Self> {
        let (frames, seconds) = rate.fraction();
        Some(Self::Steady((seconds, frames.checked_mul(SUBDIVISION)?)))
    }

    /// Seconds a tick, as (numerator, denominator).
    pub(super) fn tick(&self) -> (u32, u32) {
        match self {
            Self::Listed(times) => times.tick(),
            Self::Steady(tick) => *tick,
        }
    }

    /// Ticks from the first frame to this one; `None` past the end.
    pub(super) fn get(&self, frame: u64) -> Option<u64> {
        match self {
            Self::Listed(times) => times.ticks(frame),
            Self::Steady(_) => frame.checked_mul(u64::from(SUBDIVISION)),
        }
    }
}

/// The audio tracks of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sound {
    path: PathBuf,
    /// Microseconds from the start of the sound and the video, whichever is first, to the video's first frame.
    lead: i64,
    /// Each track's stream and ffmpeg's name of its codec.
    tracks: Vec<(u32, String)>,
}

impl Sound {
    /// The tracks that ffmpeg lists in its description of the input `path`, if any; they are taken to start with the
    /// video.
    pub(super) fn of(path: &Path, description: &[String]) -> Option<Self> {
        let input = description.iter().take_while(|line| line.trim() != "Stream mapping:");
        let mut tracks: Vec<_> = input.filter_map(|line| track(line)).collect();
        // A stream is listed under each of its programs.
        tracks.sort();
        tracks.dedup();
        (!tracks.is_empty()).then(|| Self { path: path.to_owned(), lead: 0, tracks })
    }

    /// The same with the video's first frame `lead` microseconds after the start.
    pub(super) fn with_lead(self, lead: i64) -> Self {
        Self { lead, ..self }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Microseconds from the start of the sound and the video, whichever is first, to the video's first frame.
    pub(super) fn lead(&self) -> i64 {
        self.lead
    }

    /// The options that take the tracks from ffmpeg's input number `input`.
    pub(super) fn maps(&self, input: usize) -> impl Iterator<Item = String> {
        self.tracks.iter().flat_map(move |(stream, _)| ["-map".to_owned(), format!("{input}:{stream}")])
    }

    /// The options that keep the tracks as they are where the container holds such a codec, and encode them anew
    /// elsewhere, by what ffmpeg prefers for the container.
    pub(super) fn codecs(&self, container: Container) -> Vec<String> {
        let mut options = Vec::new();
        for (place, (_, codec)) in self.tracks.iter().enumerate() {
            if container.holds(codec) {
                options.extend([format!("-c:a:{place}"), "copy".to_owned()]);
            } else if let Some(filter) = container.audio_filter() {
                options.extend([format!("-filter:a:{place}"), filter.to_owned()]);
            }
        }
        options
    }
}

/// "Stream #0:1[0x2](und): Audio: aac (LC), ..." is (1, "aac"). Codecs without a name cannot be handled.
fn track(line: &str) -> Option<(u32, String)> {
    let (stream, audio) = line.trim().strip_prefix("Stream #0:")?.split_once(": Audio: ")?;
    let name = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let codec = audio.split(name).next().filter(|codec| !matches!(*codec, "" | "none" | "unknown"))?;
    let stream = stream.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((stream.parse().ok()?, codec.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(num: u32, den: u32) -> FrameRate {
        FrameRate::new(num, den).unwrap()
    }

    fn uneven(ticks: &[i64]) -> Timeline {
        let times = FrameTimes::new((1, 1000), ticks);
        Timeline::of(&VideoInfo { width: 2, height: 2, frame_rate: rate(25, 1), frames: ticks.len() as u64, times })
    }

    #[test]
    fn what_a_container_cannot_tell_apart_takes_as_long_on_average() {
        let uneven = uneven(&[0, 5, 80, 100, 125]);
        assert!(matches!(uneven.pace(Some(0.001)), Pace::Times(_)));
        for finest in [Some(0.01), None] {
            assert_eq!(uneven.pace(finest), Pace::Even(rate(32, 1)));
        }
    }

    #[test]
    fn a_late_start_matters_only_beside_sound() {
        let sound = Sound { path: "a".into(), lead: 80_000, tracks: vec![(1, "aac".into())] };
        let late = Timeline::even(rate(25, 1)).with_sound(Some(sound));
        let Pace::Times(times) = late.pace(Some(0.0)) else { panic!("lost its start") };
        assert_eq!((times.tick(), times.get(3)), ((1, 25 * 256), Some(3 * 256)));
        assert_eq!(late.silent().pace(Some(0.0)), Pace::Even(rate(25, 1)));
    }

    #[test]
    fn audio_tracks_are_found_in_the_description() {
        let lines = [
            "Input #0, mpegts, from 'a':",
            "  Stream #0:1[0x101](eng): Audio: aac (LC) ([15][0][0][0] / 0x000F), 44100 Hz",
            "  Stream #0:0[0x100]: Video: h264 (High), yuv420p, 25 fps",
            "  Stream #0:12: Audio: pcm_s16le, 8000 Hz",
            "  Stream #0:3: Audio: none, 8000 Hz",
            "  Stream #0:1[0x101](eng): Audio: aac (LC) ([15][0][0][0] / 0x000F), 44100 Hz",
            "Stream mapping:",
            "  Stream #0:4: Audio: opus",
        ];
        let sound = Sound::of(Path::new("a"), &lines.map(str::to_owned)).unwrap();
        assert_eq!(sound.maps(1).collect::<Vec<_>>().join(" "), "-map 1:1 -map 1:12");
        assert_eq!(sound.codecs(Container::Mp4), ["-c:a:0", "copy"]);
    }
}
