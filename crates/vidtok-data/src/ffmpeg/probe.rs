//! Looking at a video once: its size as shown, its rate, its number of frames, and their times.
//!
//! Neither a header nor the number of packets gives an exact count (edit lists, hidden frames, cut files), so the
//! whole video is decoded once, without converting or copying pixels. That finds damage at the same time.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use vidtok_core::{FrameRate, VideoError, VideoInfo};

use super::picture::Picture;
use super::process::{Log, Process};
use super::reader::{check_file, decode_error, input_options};
use super::timeline::{FrameTimes, Sound, Timeline};
use super::{Ffmpeg, file_url};

/// What the lists of decoded frames say.
#[derive(Debug, Default, PartialEq)]
struct Listing {
    /// `[width, height]`.
    size: Option<[i64; 2]>,
    /// In ticks of the rate that ffmpeg guesses, which undoes what a container rounds.
    guessed: Times,
    /// In the container's own ticks.
    stored: Times,
}

/// When frames are shown.
#[derive(Debug, Default, PartialEq)]
struct Times {
    /// Seconds per tick, as (numerator, denominator).
    tick: Option<(u32, u32)>,
    ticks: Vec<Option<i64>>,
}

impl Times {
    /// Ticks between two frames where that never changes.
    fn step(&self) -> Option<u32> {
        let mut steps = self.ticks.windows(2).map(|pair| pair[1]?.checked_sub(pair[0]?));
        let first = steps.next()??;
        steps.all(|step| step == Some(first)).then(|| u32::try_from(first).ok().filter(|step| *step > 0)).flatten()
    }
}

/// Decodes all of `path` and describes it.
pub(super) fn probe(ffmpeg: &Ffmpeg, path: &Path) -> Result<(VideoInfo, Timeline, Picture), VideoError> {
    check_file(path)?;
    let io_error = |source| VideoError::Io { path: path.to_owned(), source };
    let decode_error = |message: &str| decode_error(path, message);
    let mut command = ffmpeg.command("info");
    command.args(input_options()).arg("-i").arg(file_url(path));
    command.args(["-map", "0:V:0", "-map", "0:V:0"]).args(ffmpeg.passthrough());
    // The "encoder" hands each frame's address on, and the "container" lists one line a frame, here two.
    command.args(["-c:v", "wrapped_avframe", "-enc_time_base:v:1", ffmpeg.demuxer_ticks()]);
    command.args(["-f", "framecrc", "pipe:1"]);
    let mut process = Process::start(ffmpeg, &mut command)?;
    let listing = match process.output() {
        Some(output) => read_listing(output).map_err(io_error)?,
        None => Listing::default(),
    };
    let (status, log) = process.end().map_err(io_error)?;
    if let Some(complaint) = &log.complaint {
        return Err(decode_error(plain(complaint)));
    }
    if !status.success() {
        return Err(decode_error(&format!("ffmpeg ended with {status}")));
    }
    let frames = listing.guessed.ticks.len() as u64;
    if frames == 0 {
        return Err(VideoError::Empty { path: path.to_owned() });
    }
    let Some([width, height]) = listing.size else {
        return Err(decode_error("ffmpeg did not tell the size"));
    };
    let Some(frame_rate) = frame_rate(&listing, &log) else {
        return Err(decode_error("ffmpeg did not tell the frame rate"));
    };
    let picture = Picture::read(&log.description);
    let timeline = timeline(&listing.stored, frame_rate, Sound::of(path, &log.description));
    let timeline = timeline.with_pixel_aspect(picture.pixel_aspect);
    Ok((VideoInfo { width, height, frame_rate, frames }, timeline, picture))
}

/// Reads the `framecrc` format: `#key stream: value` lines, then `stream, dts, pts, duration, size, checksum` lines.
fn read_listing(output: impl Read) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        match line.strip_prefix('#').map(|header| header.split_once(": ")) {
            Some(Some(("dimensions 0", size))) => listing.size = pair(size, 'x').map(|(w, h)| [w.into(), h.into()]),
            Some(Some(("tb 0", tick))) => listing.guessed.tick = pair(tick, '/'),
            Some(Some(("tb 1", tick))) => listing.stored.tick = pair(tick, '/'),
            Some(_) => {}
            None => {
                let mut fields = line.split(',').map(str::trim);
                let times = if fields.next() == Some("0") { &mut listing.guessed } else { &mut listing.stored };
                times.ticks.push(fields.nth(1).and_then(|pts| pts.parse().ok()));
            }
        }
    }
    Ok(listing)
}

/// Frames are uneven where their stored times say so; without usable ones their rate must do.
fn timeline(stored: &Times, rate: FrameRate, sound: Option<Sound>) -> Timeline {
    let listed = stored.tick.zip(stored.ticks.iter().copied().collect::<Option<_>>());
    let times = listed.and_then(|(tick, ticks)| FrameTimes::listed(tick, ticks));
    Timeline::new(rate, times.filter(|times| !times.are_steady(rate)), sound)
}

/// Microseconds from the start of the sound and the video of `path`, whichever is first, to the video's first frame.
pub(super) fn lead(ffmpeg: &Ffmpeg, path: &Path, sound: &Sound) -> Result<i64, VideoError> {
    let io_error = |source| VideoError::Io { path: path.to_owned(), source };
    let mut command = ffmpeg.command("warning");
    command.args(input_options()).arg("-i").arg(file_url(path));
    command.args(["-map", "0:V:0"]).args(ffmpeg.passthrough());
    command.args(["-frames:v", "1", "-c:v", "wrapped_avframe", "-enc_time_base:v", "1:1000000"]);
    command.args(["-f", "framecrc", "pipe:1"]);
    // An output of its own: within one, the first stream to have its frames ends the others.
    command.args(sound.maps(0)).args(["-frames:a", "1", "-c", "copy", "-f", "null", "-"]);
    let mut process = Process::start(ffmpeg, &mut command)?;
    let listing = process.output().map(read_listing).transpose().map_err(io_error)?.unwrap_or_default();
    let (status, log) = process.end().map_err(io_error)?;
    match listing.guessed.ticks[..] {
        [Some(micros)] if status.success() => Ok(micros),
        _ => Err(decode_error(path, log.complaint.as_deref().unwrap_or("its sound cannot be read"))),
    }
}

fn pair(text: &str, separator: char) -> Option<(u32, u32)> {
    let (a, b) = text.trim().split_once(separator)?;
    a.parse().ok().zip(b.parse().ok())
}

/// The exact rate of evenly spaced frames; else the average that ffmpeg states (to two decimals); else one frame a
/// tick, as for a single frame.
fn frame_rate(listing: &Listing, log: &Log) -> Option<FrameRate> {
    let (seconds, ticks) = listing.guessed.tick?;
    let every = |step: u32| FrameRate::new(ticks, seconds.checked_mul(step)?);
    let even = listing.guessed.step().and_then(every);
    even.or_else(|| stated_rate(&log.description)).or_else(|| every(1))
}

/// The "25 fps" of the input stream that was decoded.
fn stated_rate(description: &[String]) -> Option<FrameRate> {
    let mapping = description.iter().position(|line| line.trim() == "Stream mapping:")?;
    let (stream, _) = description.get(mapping + 1)?.trim().split_once(" -> ")?;
    let line = description[..mapping].iter().find_map(|line| {
        let rest = line.trim().strip_prefix(stream)?;
        // "Stream #0:1" must not match "Stream #0:10".
        rest.starts_with(['[', '(', ':']).then_some(rest)
    })?;
    line.split(", ").find_map(|field| field.strip_suffix(" fps")?.parse().ok())
}

/// Clearer words for what users meet.
fn plain(complaint: &str) -> &str {
    match complaint.starts_with("Stream map") && complaint.contains("matches no streams") {
        true => "it has no video stream",
        false => complaint,
    }
}

#[cfg(test)]
mod tests {
    use super::super::timeline::Pace;
    use super::*;

    fn description(lines: &[&str]) -> Log {
        Log { complaint: None, description: lines.iter().map(|&line| line.to_owned()).collect() }
    }

    fn listing(text: &str) -> Listing {
        read_listing(text.as_bytes()).unwrap()
    }

    const HEAD: &str = "#software: x\n#tb 0: 1001/30000\n#dimensions 0: 176x144\n#sar 0: 128/117\n";

    #[test]
    fn even_time_stamps_give_the_exact_rate() {
        let even = listing(&format!("{HEAD}0, 2, 2, 1, 4, 0x0\n0, 3, 3, 1, 4, 0x0\n0, 4, 4, 1, 4, 0x0\n"));
        assert_eq!((even.size, even.guessed.ticks.len()), (Some([176, 144]), 3));
        let rounded = description(&["Stream #0:0: Video: h264, 29.97 fps", "Stream mapping:", "Stream #0:0 -> #0:0"]);
        assert_eq!(frame_rate(&even, &rounded), FrameRate::new(30000, 1001));
    }

    #[test]
    fn uneven_time_stamps_give_the_stated_average_of_the_right_stream() {
        let uneven = listing("#tb 0: 1/100\n0, 0, 0, 5, 4, 0x0\n0, 5, 5, 2, 4, 0x0\n0, 7, 7, 2, 4, 0x0\n");
        assert_eq!(uneven.guessed.step(), None);
        let log = description(&[
            "  Stream #0:10: Video: mjpeg, 8 fps, 100 tbr",
            "  Stream #0:1[0x2](und): Video: gif, bgra, 200x150, 12.5 fps, 100 tbr",
            "Stream mapping:",
            "  Stream #0:1 -> #0:0 (gif (native) -> wrapped_avframe (native))",
        ]);
        assert_eq!(frame_rate(&uneven, &log), FrameRate::from_f64(12.5));
    }

    #[test]
    fn stored_times_decide_whether_a_guessed_rate_is_kept_to() {
        let rate = FrameRate::new(25, 1).unwrap();
        let pace = |stored: &str| {
            let times = listing(&format!("#tb 0: 1/25\n#tb 1: 1/1000\n{stored}")).stored;
            timeline(&times, rate, None).pace(Some(0.001))
        };
        assert_eq!(pace("1, 41, 41, 40, 4, 0x0\n1, 80, 80, 40, 4, 0x0\n"), Pace::Even(rate));
        assert!(matches!(pace("1, 41, 41, 40, 4, 0x0\n1, 84, 84, 40, 4, 0x0\n"), Pace::Times(_)));
        assert_eq!(pace("1, 41, 41, 40, 4, 0x0\n1, 84, NOPTS, 40, 4, 0x0\n"), Pace::Even(rate));
    }
}
