//! The times of a video's frames, and the sound that goes with them.

use vidtok_core::{FrameRate, FrameTimes, PixelAspect, VideoInfo};

use crate::ffmpeg::pace::{Pace, Ticks};
use crate::ffmpeg::sound::Sound;

/// Everything that a derived video keeps of its source besides frames: the time of each frame, the shape of pixels, and
/// the sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    frame_rate: FrameRate,
    /// The frame times, if the rate is not constant.
    uneven: Option<FrameTimes>,
    sound: Option<Sound>,
    pixel_aspect: PixelAspect,
}

impl Timeline {
    /// A constant rate, with square pixels and without sound.
    #[must_use]
    pub fn even(frame_rate: FrameRate) -> Self {
        Self { frame_rate, uneven: None, sound: None, pixel_aspect: PixelAspect::SQUARE }
    }

    /// The frame times of a video, with square pixels and without sound.
    #[must_use]
    pub fn of(video: &VideoInfo) -> Self {
        Self { uneven: video.times.clone(), ..Self::even(video.frame_rate) }
    }

    /// Sets the shape of the pixels.
    #[must_use]
    pub fn with_pixel_aspect(self, pixel_aspect: PixelAspect) -> Self {
        Self { pixel_aspect, ..self }
    }

    /// The shape of the pixels. Cropping and resizing both sides alike do not change it.
    #[must_use]
    pub fn pixel_aspect(&self) -> PixelAspect {
        self.pixel_aspect
    }

    /// Sets the frame times; `None` for a constant rate.
    #[must_use]
    pub fn with_times(self, times: Option<FrameTimes>) -> Self {
        Self { uneven: times, ..self }
    }

    /// Replaces the frame times by those of `video`, whose first frame must be the same. Sound and pixel shape stay.
    #[must_use]
    pub fn with_frames(self, video: &VideoInfo) -> Self {
        Self { sound: self.sound, pixel_aspect: self.pixel_aspect, ..Self::of(video) }
    }

    pub(crate) fn with_sound(self, sound: Option<Sound>) -> Self {
        Self { sound, ..self }
    }

    /// The average frame rate.
    #[must_use]
    pub fn frame_rate(&self) -> FrameRate {
        self.frame_rate
    }

    /// The frame times, if the rate is not constant.
    #[must_use]
    pub fn times(&self) -> Option<&FrameTimes> {
        self.uneven.as_ref()
    }

    /// Whether all frames last equally long.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.uneven.is_none()
    }

    /// Removes the sound.
    pub(crate) fn silent(self) -> Self {
        Self { sound: None, ..self }
    }

    pub(crate) fn sound(&self) -> Option<&Sound> {
        self.sound.as_ref()
    }

    /// The frame times in a container whose times have a resolution of `finest` seconds (`None`: constant rates only).
    /// Times that are too fine for it become their average rate.
    pub(crate) fn pace(&self, finest: Option<f64>) -> Pace {
        let starts_with_sound = self.sound.as_ref().is_none_or(|sound| sound.lead() == 0);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn rate(num: u32, den: u32) -> FrameRate {
        FrameRate::new(num, den).unwrap()
    }

    fn uneven(ticks: &[i64]) -> Timeline {
        let times = FrameTimes::new((1, 1000), ticks);
        Timeline::of(&VideoInfo { width: 2, height: 2, frame_rate: rate(25, 1), frames: ticks.len() as u64, times })
    }

    #[test]
    fn times_too_fine_for_a_container_become_their_average_rate() {
        let uneven = uneven(&[0, 5, 80, 100, 125]);
        assert!(matches!(uneven.pace(Some(0.001)), Pace::Times(_)));
        for finest in [Some(0.01), None] {
            assert_eq!(uneven.pace(finest), Pace::Even(rate(32, 1)));
        }
    }

    #[test]
    fn a_late_start_matters_only_with_sound() {
        let sound = Sound::of(Path::new("a"), &["Stream #0:1: Audio: aac".to_owned()]).unwrap().with_lead(80_000);
        let late = Timeline::even(rate(25, 1)).with_sound(Some(sound));
        let Pace::Times(times) = late.pace(Some(0.0)) else { panic!("lost its start") };
        assert_eq!((times.tick(), times.get(3)), ((1, 25 * 256), Some(3 * 256)));
        assert_eq!(late.silent().pace(Some(0.0)), Pace::Even(rate(25, 1)));
    }
}
