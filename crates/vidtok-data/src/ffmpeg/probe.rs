//! Looking at a video once: its size as shown, its rate, its number of frames, and their times.
//!
//! Neither a header nor the number of packets gives an exact count (edit lists, hidden frames, cut files), so the
//! whole video is decoded once, without converting or copying pixels. That finds damage at the same time.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

use vidtok_core::{FrameRate, FrameTimes, VideoError, VideoInfo};

use crate::ffmpeg::file_url;
use crate::ffmpeg::locate::Ffmpeg;
use crate::ffmpeg::messages::{Log, NO_STREAM};
use crate::ffmpeg::picture::Picture;
use crate::ffmpeg::process::Process;
use crate::ffmpeg::reader::{check_file, decode_error, input_options};
use crate::ffmpeg::timeline::Sound;

/// What the lists of decoded frames say.
#[derive(Debug, Default, PartialEq)]
struct Listing {
    /// `[width, height]`.
    size: Option<[i64; 2]>,
    /// In ticks of the rate that ffmpeg guesses, which undoes what a container rounds.
    guessed: Times,
    /// In the container's own ticks.
    stored: Times,
    /// Whether each line is that of a key frame.
    keys: Vec<bool>,
}

/// When frames are shown.
#[derive(Debug, Default, PartialEq)]
struct Times {
    /// Seconds per tick, as (numerator, denominator).
    tick: Option<(u32, u32)>,
    ticks: Vec<Option<i64>>,
}

impl Times {
    /// All times in ascending order. A frame without a time, or with one that is not later than that of the frame before,
    /// is shown half-way between its neighbours (several such frames at equal distances); at the ends of the video,
    /// `step` ticks from its neighbour. `None` where no frame has a time, or ticks are too coarse for that.
    fn ascending(&self, step: i64) -> Option<Vec<i64>> {
        // Frames that are later than all before, by their places.
        let mut known: Vec<(usize, i64)> = Vec::new();
        for (place, tick) in self.ticks.iter().enumerate() {
            if let Some(tick) = *tick
                && known.last().is_none_or(|(_, latest)| tick > *latest)
            {
                known.push((place, tick));
            }
        }
        let (&(first, start), &(last, end)) = (known.first()?, known.last()?);
        let steps = |frames: usize| step.saturating_mul(frames as i64);
        let mut times = Vec::with_capacity(self.ticks.len());
        times.extend((1..=first).rev().map(|frames| start.saturating_sub(steps(frames))));
        for pair in known.windows(2) {
            let [(place, tick), (next_place, next)] = [pair[0], pair[1]];
            let (frames, distance) = (next_place - place, i128::from(next) - i128::from(tick));
            let share = |frame: usize| distance * frame as i128 / frames as i128;
            // Between two numbers of 64 bits.
            times.extend((0..frames).map(|frame| (i128::from(tick) + share(frame)) as i64));
        }
        times.extend((0..self.ticks.len() - last).map(|frames| end.saturating_add(steps(frames))));
        times.is_sorted_by(|a, b| a < b).then_some(times)
    }

    /// Ticks between two frames where that never changes.
    fn step(&self) -> Option<u32> {
        let times = self.ascending(1)?;
        let mut steps = times.windows(2).map(|pair| pair[1].checked_sub(pair[0]));
        let first = steps.next()??;
        steps.all(|step| step == Some(first)).then(|| u32::try_from(first).ok().filter(|step| *step > 0)).flatten()
    }
}

/// What a video is found to be.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) info: VideoInfo,
    pub(super) picture: Picture,
    pub(super) sound: Option<Sound>,
    /// A demuxer's warning of a loss, although all frames are there.
    pub(super) doubt: Option<String>,
}

/// Decodes all of `path` and describes it.
pub(super) fn probe(ffmpeg: &Ffmpeg, path: &Path) -> Result<Probed, VideoError> {
    check_file(path)?;
    let mut command = ffmpeg.command("info");
    command.args(input_options()).arg("-i").arg(file_url(path));
    command.args(["-map", "0:V:0", "-map", "0:V:0"]).args(ffmpeg.passthrough());
    // The "encoder" hands each frame's address on, and the "container" lists one line a frame, here two.
    command.args(["-c:v", "wrapped_avframe", "-enc_time_base:v:1", ffmpeg.demuxer_ticks()]);
    command.args(["-f", "framecrc", "pipe:1"]);
    let (listing, log) = list(ffmpeg, path, &mut command)?;
    let frames = listing.guessed.ticks.len() as u64;
    if frames == 0 {
        return Err(VideoError::Empty { path: path.to_owned() });
    }
    let Some([width, height]) = listing.size else {
        return Err(decode_error(path, "ffmpeg did not tell the size"));
    };
    let Some(mut frame_rate) = frame_rate(&listing, &log) else {
        return Err(decode_error(path, "ffmpeg did not tell the frame rate"));
    };
    if let Some(doubt) = &log.doubt
        && !is_complete(ffmpeg, path, &listing.stored)?
    {
        return Err(decode_error(path, doubt.as_str()));
    }
    let times = uneven_times(&listing.stored, frame_rate);
    if let Some(average) = times.as_ref().and_then(FrameTimes::average) {
        frame_rate = average;
    }
    let info = VideoInfo { width, height, frame_rate, frames, times };
    let (picture, sound) = (Picture::read(&log.description), Sound::of(path, &log.description));
    Ok(Probed { info, picture, sound, doubt: log.doubt })
}

/// Runs ffmpeg for a listing of the `framecrc` format.
fn list(ffmpeg: &Ffmpeg, path: &Path, command: &mut Command) -> Result<(Listing, Log), VideoError> {
    let mut process = Process::start(ffmpeg, command)?;
    let listing = process.output().map(read_listing).transpose();
    let log = process.end_of_reading(path).map_err(|error| plain(error, path))?;
    let listing = listing.map_err(|source| VideoError::Io { path: path.to_owned(), source })?;
    Ok((listing.unwrap_or_default(), log))
}

/// Reads the `framecrc` format: `#key stream: value` lines, then `stream, dts, pts, duration, size, checksum` lines, with
/// flags at the end of those that are no plain key frames.
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
                listing.keys.push(fields.nth(3).is_none_or(is_key));
            }
        }
    }
    Ok(listing)
}

/// Whether these flags of a packet, such as "F=0x3", are those of a key frame.
fn is_key(flags: &str) -> bool {
    const KEY: u32 = 1;
    flags
        .strip_prefix("F=0x")
        .and_then(|flags| u32::from_str_radix(flags, 16).ok())
        .is_some_and(|flags| flags & KEY > 0)
}

/// Times are kept where they say that the rate is not constant; without usable ones their rate must do.
fn uneven_times(stored: &Times, rate: FrameRate) -> Option<FrameTimes> {
    let tick = stored.tick?;
    let step = (f64::from(tick.1) / f64::from(tick.0) / rate.as_f64()).round() as i64;
    let times = FrameTimes::new(tick, &stored.ascending(step.max(1))?)?;
    (!times.are_steady(rate)).then_some(times)
}

/// Whether nothing was lost of a video although a demuxer says so: there is a frame for each packet, and where the
/// frames' times leave a gap, a key frame follows, as after a pause or where two recordings were joined.
fn is_complete(ffmpeg: &Ffmpeg, path: &Path, stored: &Times) -> Result<bool, VideoError> {
    let mut command = ffmpeg.command("warning");
    command.args(input_options()).arg("-i").arg(file_url(path)).args(["-map", "0:V:0", "-c", "copy"]);
    command.args(["-f", "framecrc", "pipe:1"]);
    let (packets, _) = list(ffmpeg, path, &mut command)?;
    let mut in_order: Vec<_> = packets.guessed.ticks.iter().zip(&packets.keys).collect();
    in_order.sort_by_key(|(time, _)| **time);
    let Some(times) = stored.ascending(1) else { return Ok(false) };
    let steps: Vec<i64> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    let mut sorted = steps.clone();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let is_gap = |step: i64| step > usual.saturating_add(usual / 2);
    let key_at = |frame: usize| in_order.get(frame).is_some_and(|(_, key)| **key);
    Ok(times.len() >= in_order.len() && steps.iter().zip(1..).all(|(step, frame)| !is_gap(*step) || key_at(frame)))
}

/// Microseconds from the start of the sound and the video of `path`, whichever is first, to the video's first frame.
pub(super) fn lead(ffmpeg: &Ffmpeg, path: &Path, sound: &Sound) -> Result<i64, VideoError> {
    let mut command = ffmpeg.command("warning");
    command.args(input_options()).arg("-i").arg(file_url(path));
    command.args(["-map", "0:V:0"]).args(ffmpeg.passthrough());
    command.args(["-frames:v", "1", "-c:v", "wrapped_avframe", "-enc_time_base:v", "1:1000000"]);
    command.args(["-f", "framecrc", "pipe:1"]);
    // An output of its own: within one, the first stream to have its frames ends the others.
    command.args(sound.maps(0)).args(["-frames:a", "1", "-c", "copy", "-f", "null", "-"]);
    let (listing, _) = list(ffmpeg, path, &mut command)?;
    match listing.guessed.ticks[..] {
        [Some(micros)] => Ok(micros),
        _ => Err(decode_error(path, "its sound cannot be read")),
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
fn plain(error: VideoError, path: &Path) -> VideoError {
    match error {
        VideoError::Decode { message, .. }
            if message.starts_with(NO_STREAM) && message.contains("matches no streams") =>
        {
            decode_error(path, "it has no video stream")
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(lines: &[&str]) -> Log {
        Log { description: lines.iter().map(|&line| line.to_owned()).collect(), ..Log::default() }
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
        let uneven = |stored: &str| {
            let times = listing(&format!("#tb 0: 1/25\n#tb 1: 1/1000\n{stored}")).stored;
            uneven_times(&times, rate)
        };
        assert_eq!(uneven("1, 41, 41, 40, 4, 0x0\n1, 80, 80, 40, 4, 0x0\n"), None);
        assert_eq!(uneven("1, 41, 41, 40, 4, 0x0\n1, 84, 84, 40, 4, 0x0\n"), FrameTimes::new((1, 1000), &[41, 84]));
        assert_eq!(uneven("1, 41, 41, 40, 4, 0x0\n1, 84, NOPTS, 40, 4, 0x0\n"), None);
    }

    #[test]
    fn frames_without_a_later_time_lie_between_their_neighbours() {
        let ascending = |ticks: &[Option<i64>]| Times { tick: Some((1, 1000)), ticks: ticks.to_vec() }.ascending(40);
        let known = |ticks: &[i64]| ticks.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(ascending(&known(&[0, 40, 40, 120])), Some(vec![0, 40, 80, 120]));
        assert_eq!(ascending(&known(&[0, 42, 42, 41, 45])), Some(vec![0, 42, 43, 44, 45]));
        assert_eq!(ascending(&[None, Some(100), None, Some(160), None]), Some(vec![60, 100, 130, 160, 200]));
        // No room between two ticks, and no time at all.
        assert_eq!(ascending(&known(&[0, 1, 1, 2])), None);
        assert_eq!(ascending(&[None, None]), None);
    }

    #[test]
    fn key_frames_are_told_by_their_flags() {
        let keys =
            listing("0, 0, 0, 1, 4, 0x0\n0, 1, 1, 1, 4, 0x0, F=0x0\n0, 2, 2, 1, 4, 0x0, F=0x3, S=1, 8, 0x1\n").keys;
        assert_eq!(keys, [true, false, true]);
    }
}
