//! When the frames of a video are shown, and the sound that goes with them.

use std::path::{Path, PathBuf};

use vidtok_core::{FrameRate, PixelAspect};

use super::container::Container;

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
        Self::new(frame_rate, None, None)
    }

    pub(super) fn new(frame_rate: FrameRate, uneven: Option<FrameTimes>, sound: Option<Sound>) -> Self {
        Self { frame_rate, uneven, sound, pixel_aspect: PixelAspect::SQUARE }
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

    /// That of every n-th frame, from the first on; `None` if no [`FrameRate`] is that slow.
    #[must_use]
    pub fn every(mut self, n: u32) -> Option<Self> {
        self.frame_rate = self.frame_rate.every(n)?;
        if let Some(FrameTimes { ticks: Ticks::Listed(list), .. }) = &mut self.uneven {
            *list = list.iter().step_by(n as usize).copied().collect();
        }
        Some(self)
    }

    /// The average rate.
    #[must_use]
    pub fn frame_rate(&self) -> FrameRate {
        self.frame_rate
    }

    /// Whether every frame lasts as long as the others.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.uneven.is_none()
    }

    /// The same with the video so many microseconds behind the sound's start.
    pub(super) fn with_lead(mut self, lead: i64) -> Self {
        if let Some(sound) = &mut self.sound {
            sound.lead = lead;
        }
        self
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
            Some(times) if finest.is_some_and(|finest| times.shortest() >= finest) => Pace::Times(times.clone()),
            Some(times) => Pace::Even(times.average().unwrap_or(self.frame_rate)),
            None if !starts_with_sound && finest.is_some() => {
                FrameTimes::steady(self.frame_rate).map_or(Pace::Even(self.frame_rate), Pace::Times)
            }
            None => Pace::Even(self.frame_rate),
        }
    }
}

/// How frames follow each other in a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pace {
    Even(FrameRate),
    Times(FrameTimes),
}

/// Times of frames, exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrameTimes {
    /// Seconds a tick, as (numerator, denominator).
    tick: (u32, u32),
    ticks: Ticks,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ticks {
    /// Since the first frame, ascending.
    Listed(Vec<i64>),
    /// From one frame to the next.
    Every(u32),
}

impl FrameTimes {
    /// Frames at these ticks; `None` unless they ascend.
    pub(super) fn listed(tick: (u32, u32), mut ticks: Vec<i64>) -> Option<Self> {
        let first = *ticks.first()?;
        if !ticks.is_sorted_by(|a, b| a < b) {
            return None;
        }
        ticks.iter_mut().for_each(|time| *time = time.saturating_sub(first));
        Some(Self { tick, ticks: Ticks::Listed(ticks) })
    }

    /// A constant rate in ticks that are fine enough to start anywhere.
    fn steady(rate: FrameRate) -> Option<Self> {
        let (frames, seconds) = rate.fraction();
        Some(Self { tick: (seconds, frames.checked_mul(SUBDIVISION)?), ticks: Ticks::Every(SUBDIVISION) })
    }

    /// Whether each frame is at most a tick, which is what a container may round, from where a constant rate puts it.
    pub(super) fn are_steady(&self, rate: FrameRate) -> bool {
        let Ticks::Listed(list) = &self.ticks else { return true };
        let (frames, seconds) = rate.fraction();
        let [(tick, ticks), (seconds, frames)] =
            [self.tick, (seconds, frames)].map(|(a, b)| (i128::from(a), i128::from(b)));
        list.iter()
            .zip(0..)
            .all(|(&time, index)| (i128::from(time) * tick * frames - index * seconds * ticks).abs() <= tick * frames)
    }

    /// Seconds a tick, as (numerator, denominator).
    pub(super) fn tick(&self) -> (u32, u32) {
        self.tick
    }

    /// Ticks from the first frame to this one; `None` past the end.
    pub(super) fn get(&self, frame: u64) -> Option<u64> {
        match &self.ticks {
            Ticks::Listed(list) => u64::try_from(*list.get(usize::try_from(frame).ok()?)?).ok(),
            Ticks::Every(ticks) => frame.checked_mul(u64::from(*ticks)),
        }
    }

    fn seconds(&self, ticks: i64) -> f64 {
        ticks as f64 * f64::from(self.tick.0) / f64::from(self.tick.1)
    }

    /// The shortest time from one frame to the next, in seconds.
    fn shortest(&self) -> f64 {
        let ticks = match &self.ticks {
            Ticks::Listed(list) => list.windows(2).map(|pair| pair[1] - pair[0]).min(),
            Ticks::Every(ticks) => Some(i64::from(*ticks)),
        };
        ticks.map_or(f64::INFINITY, |ticks| self.seconds(ticks))
    }

    /// The constant rate that takes as long, to a millionth of a frame a second.
    fn average(&self) -> Option<FrameRate> {
        let Ticks::Listed(list) = &self.ticks else { return None };
        let last = self.seconds(*list.last()?);
        let rate = (list.len() - 1) as f64 / last * 1e6;
        (rate < f64::from(u32::MAX)).then(|| FrameRate::new(rate.round() as u32, 1_000_000)).flatten()
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

    fn listed(ticks: &[i64]) -> FrameTimes {
        FrameTimes::listed((1, 1000), ticks.to_vec()).unwrap()
    }

    #[test]
    fn rounding_to_ticks_is_steady_and_a_shifted_frame_is_not() {
        assert!(listed(&[5, 38, 72, 105, 138]).are_steady(rate(30000, 1001)));
        assert!(!listed(&[5, 38, 74, 105, 138]).are_steady(rate(30000, 1001)));
        assert_eq!(FrameTimes::listed((1, 1000), vec![0, 5, 5]), None);
    }

    #[test]
    fn every_second_frame_keeps_its_time() {
        let uneven = Timeline::new(rate(25, 1), Some(listed(&[10, 20, 70, 75, 100])), None);
        let Pace::Times(times) = uneven.every(2).unwrap().pace(Some(0.0)) else { panic!("became even") };
        assert_eq!([0, 1, 2, 3].map(|frame| times.get(frame)), [Some(0), Some(60), Some(90), None]);
    }

    #[test]
    fn what_a_container_cannot_tell_apart_takes_as_long_on_average() {
        let uneven = Timeline::new(rate(25, 1), Some(listed(&[0, 5, 80, 100, 125])), None);
        assert!(matches!(uneven.pace(Some(0.001)), Pace::Times(_)));
        for finest in [Some(0.01), None] {
            assert_eq!(uneven.pace(finest), Pace::Even(rate(32_000_000, 1_000_000)));
        }
    }

    #[test]
    fn a_late_start_matters_only_beside_sound() {
        let sound = Sound { path: "a".into(), lead: 80_000, tracks: vec![(1, "aac".into())] };
        let late = Timeline::new(rate(25, 1), None, Some(sound));
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
