//! The audio tracks of a file, and how a container stores them.

use std::path::{Path, PathBuf};

use crate::ffmpeg::container::Container;

/// The audio tracks of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sound {
    path: PathBuf,
    /// See [`lead`](Self::lead).
    lead: i64,
    /// The stream index of each track, and ffmpeg's name of its codec.
    tracks: Vec<(u32, String)>,
}

impl Sound {
    /// The tracks in ffmpeg's description of the input `path`; `None` if there are none. They are assumed to start with
    /// the video.
    pub(crate) fn of(path: &Path, description: &[String]) -> Option<Self> {
        let input = description.iter().take_while(|line| line.trim() != "Stream mapping:");
        let mut tracks: Vec<_> = input.filter_map(|line| track(line)).collect();
        // A stream is listed once per program that contains it.
        tracks.sort();
        tracks.dedup();
        (!tracks.is_empty()).then(|| Self { path: path.to_owned(), lead: 0, tracks })
    }

    /// Sets [`lead`](Self::lead).
    pub(crate) fn with_lead(self, lead: i64) -> Self {
        Self { lead, ..self }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Microseconds from the start of the sound or the video, whichever is first, to the first frame of the video.
    pub(crate) fn lead(&self) -> i64 {
        self.lead
    }

    /// The options that map the tracks of ffmpeg's input number `input`.
    pub(crate) fn maps(&self, input: usize) -> impl Iterator<Item = String> {
        self.tracks.iter().flat_map(move |(stream, _)| ["-map".to_owned(), format!("{input}:{stream}")])
    }

    /// The options that copy tracks whose codec the container can hold, and transcode others to ffmpeg's default for
    /// the container.
    pub(crate) fn codecs(&self, container: Container) -> Vec<String> {
        let mut options = Vec::new();
        for (index, (_, codec)) in self.tracks.iter().enumerate() {
            if container.holds(codec) {
                options.extend([format!("-c:a:{index}"), "copy".to_owned()]);
            } else if let Some(filter) = container.audio_filter() {
                options.extend([format!("-filter:a:{index}"), filter.to_owned()]);
            }
        }
        options
    }
}

/// Parses a track: "Stream #0:1[0x2](und): Audio: aac (LC), ..." is (1, "aac"). Tracks without a known codec are
/// skipped.
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
