//! Probing a video: its size as shown, frame rate, number of frames, and their times.
//!
//! Neither the header nor the number of packets is exact (edit lists, hidden frames, truncated files), so the whole
//! video is decoded once, without converting or copying pixels. This also finds damage.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;

use vidtok_core::{FrameRate, FrameTimes, VideoError, VideoInfo};

use crate::ffmpeg::program::locate::Ffmpeg;
use crate::ffmpeg::program::messages::{Log, NO_STREAM};
use crate::ffmpeg::program::process::Process;
use crate::ffmpeg::program::source_file::{check_file, decode_error, file_url, input_options};
use crate::ffmpeg::read::stream_format::StreamFormat;
use crate::ffmpeg::sound::Sound;

/// A listing of decoded frames.
#[derive(Debug, Default, PartialEq)]
struct Listing {
    /// `[width, height]`.
    size: Option<[i64; 2]>,
    /// Times in ticks of the rate that ffmpeg guesses, which undoes the container's rounding.
    guessed: Times,
    /// Times in the container's own ticks.
    stored: Times,
    /// Whether each listed frame or packet is a key frame.
    keys: Vec<bool>,
}

/// The presentation times of frames.
#[derive(Debug, Default, PartialEq)]
struct Times {
    /// Seconds per tick, as (numerator, denominator).
    tick: Option<(u32, u32)>,
    ticks: Vec<Option<i64>>,
}

impl Times {
    /// All times in ascending order. Frames without a time, or whose time is not later than that of the frame before,
    /// are spaced evenly between their neighbours; at the ends of the video they are `step` ticks apart. `None` if no
    /// frame has a time, or the ticks are too coarse.
    fn ascending(&self, step: i64) -> Option<Vec<i64>> {
        // The index and time of each frame that is later than all before it.
        let mut known: Vec<(usize, i64)> = Vec::new();
        for (index, tick) in self.ticks.iter().enumerate() {
            if let Some(tick) = *tick
                && known.last().is_none_or(|(_, latest)| tick > *latest)
            {
                known.push((index, tick));
            }
        }
        let (&(first, start), &(last, end)) = (known.first()?, known.last()?);
        let steps = |frames: usize| step.saturating_mul(frames as i64);
        let mut times = Vec::with_capacity(self.ticks.len());
        times.extend((1..=first).rev().map(|frames| start.saturating_sub(steps(frames))));
        for pair in known.windows(2) {
            let [(index, tick), (next_index, next)] = [pair[0], pair[1]];
            let (frames, distance) = (next_index - index, i128::from(next) - i128::from(tick));
            let advance = |frame: usize| distance * frame as i128 / frames as i128;
            // The result lies between two 64-bit numbers.
            times.extend((0..frames).map(|frame| (i128::from(tick) + advance(frame)) as i64));
        }
        times.extend((0..self.ticks.len() - last).map(|frames| end.saturating_add(steps(frames))));
        times.is_sorted_by(|a, b| a < b).then_some(times)
    }

    /// The number of ticks between frames, if it is constant.
    fn step(&self) -> Option<u32> {
        let times = self.ascending(1)?;
        let mut steps = times.windows(2).map(|pair| pair[1].checked_sub(pair[0]));
        let first = steps.next()??;
        steps.all(|step| step == Some(first)).then(|| u32::try_from(first).ok().filter(|step| *step > 0)).flatten()
    }
}

/// The description of a probed video.
#[derive(Debug)]
pub(crate) struct Probed {
    pub(crate) info: VideoInfo,
    pub(crate) format: StreamFormat,
    pub(crate) sound: Option<Sound>,
    /// A demuxer's warning about lost data, although all frames are present.
    pub(crate) doubt: Option<String>,
}

/// Probes a video by decoding all of it.
pub(crate) fn probe(ffmpeg: &Ffmpeg, path: &Path) -> Result<Probed, VideoError> {
    check_file(path)?;
    let mut command = ffmpeg.command("info");
    command.args(input_options()).arg("-i").arg(file_url(path));
    command.args(["-map", "0:V:0", "-map", "0:V:0"]).args(ffmpeg.passthrough());
    // The encoder wrapped_avframe passes frames by address; framecrc prints one line per frame, here for two outputs.
    command.args(["-c:v", "wrapped_avframe", "-enc_time_base:v:1", ffmpeg.demuxer_ticks()]);
    command.args(["-f", "framecrc", "pipe:1"]);
    let (listing, log) = list(ffmpeg, path, &mut command)?;
    let frames = listing.guessed.ticks.len() as u64;
    if frames == 0 {
        return Err(VideoError::Empty { path: path.to_owned() });
    }
    let Some([width, height]) = listing.size else {
        return Err(decode_error(path, "ffmpeg reported no size"));
    };
    let Some(mut frame_rate) = frame_rate(&listing, &log) else {
        return Err(decode_error(path, "ffmpeg reported no frame rate"));
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
    let (format, sound) = (StreamFormat::read(&log.description), Sound::of(path, &log.description));
    Ok(Probed { info, format, sound, doubt: log.doubt })
}

/// Runs ffmpeg and reads its listing in the `framecrc` format.
fn list(ffmpeg: &Ffmpeg, path: &Path, command: &mut Command) -> Result<(Listing, Log), VideoError> {
    let mut process = Process::start(ffmpeg, command)?;
    let listing = process.output().map(read_listing).transpose();
    let log = process.end_of_reading(path).map_err(|error| plain(error, path))?;
    let listing = listing.map_err(|source| VideoError::Io { path: path.to_owned(), source })?;
    Ok((listing.unwrap_or_default(), log))
}

/// Reads the `framecrc` format: `#key stream: value` lines, then lines of `stream, dts, pts, duration, size, checksum`,
/// with flags at the end unless the frame is a plain key frame.
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

/// Whether the flags of a packet, such as "F=0x3", mark a key frame.
fn is_key(flags: &str) -> bool {
    const KEY: u32 = 1;
    flags
        .strip_prefix("F=0x")
        .and_then(|flags| u32::from_str_radix(flags, 16).ok())
        .is_some_and(|flags| flags & KEY > 0)
}

/// The stored times, if they are usable and deviate from the constant rate.
fn uneven_times(stored: &Times, rate: FrameRate) -> Option<FrameTimes> {
    let tick = stored.tick?;
    let step = (f64::from(tick.1) / f64::from(tick.0) / rate.as_f64()).round() as i64;
    let times = FrameTimes::new(tick, &stored.ascending(step.max(1))?)?;
    (!times.are_steady(rate)).then_some(times)
}

/// Whether no frame was lost despite a demuxer's warning: the video has a frame for each packet, and each gap in time
/// ends with a key frame, as after a pause or where two recordings were joined.
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

/// Microseconds from the start of the sound or the video, whichever is first, to the first frame of the video.
pub(crate) fn lead(ffmpeg: &Ffmpeg, path: &Path, sound: &Sound) -> Result<i64, VideoError> {
    let mut command = ffmpeg.command("warning");
    command.args(input_options()).arg("-i").arg(file_url(path));
    command.args(["-map", "0:V:0"]).args(ffmpeg.passthrough());
    command.args(["-frames:v", "1", "-c:v", "wrapped_avframe", "-enc_time_base:v", "1:1000000"]);
    command.args(["-f", "framecrc", "pipe:1"]);
    // A separate output: within one output, the first stream that is complete ends the others.
    command.args(sound.maps(0)).args(["-frames:a", "1", "-c", "copy", "-f", "null", "-"]);
    let (listing, _) = list(ffmpeg, path, &mut command)?;
    match listing.guessed.ticks[..] {
        [Some(micros)] => Ok(micros),
        _ => Err(decode_error(path, "the sound cannot be read")),
    }
}

fn pair(text: &str, separator: char) -> Option<(u32, u32)> {
    let (a, b) = text.trim().split_once(separator)?;
    a.parse().ok().zip(b.parse().ok())
}

/// The exact rate of evenly spaced frames; otherwise the average that ffmpeg states (to two decimals); otherwise one
/// frame per tick, as for a single frame.
fn frame_rate(listing: &Listing, log: &Log) -> Option<FrameRate> {
    let (seconds, ticks) = listing.guessed.tick?;
    let every = |step: u32| FrameRate::new(ticks, seconds.checked_mul(step)?);
    let even = listing.guessed.step().and_then(every);
    even.or_else(|| stated_rate(&log.description)).or_else(|| every(1))
}

/// The rate in the description of the decoded input stream, such as "25 fps".
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

/// Rewords frequent errors.
fn plain(error: VideoError, path: &Path) -> VideoError {
    match error {
        VideoError::Decode { message, .. }
            if message.starts_with(NO_STREAM) && message.contains("matches no streams") =>
        {
            decode_error(path, "no video stream")
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
    fn even_time_stamps_yield_the_exact_rate() {
        let even = listing(&format!("{HEAD}0, 2, 2, 1, 4, 0x0\n0, 3, 3, 1, 4, 0x0\n0, 4, 4, 1, 4, 0x0\n"));
        assert_eq!((even.size, even.guessed.ticks.len()), (Some([176, 144]), 3));
        let rounded = description(&["Stream #0:0: Video: h264, 29.97 fps", "Stream mapping:", "Stream #0:0 -> #0:0"]);
        assert_eq!(frame_rate(&even, &rounded), FrameRate::new(30000, 1001));
    }

    #[test]
    fn uneven_time_stamps_yield_the_stated_average_of_the_decoded_stream() {
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
    fn stored_times_are_kept_only_if_they_deviate_from_the_guessed_rate() {
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
    fn frames_without_a_later_time_are_spaced_between_their_neighbours() {
        let ascending = |ticks: &[Option<i64>]| Times { tick: Some((1, 1000)), ticks: ticks.to_vec() }.ascending(40);
        let known = |ticks: &[i64]| ticks.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(ascending(&known(&[0, 40, 40, 120])), Some(vec![0, 40, 80, 120]));
        assert_eq!(ascending(&known(&[0, 42, 42, 41, 45])), Some(vec![0, 42, 43, 44, 45]));
        assert_eq!(ascending(&[None, Some(100), None, Some(160), None]), Some(vec![60, 100, 130, 160, 200]));
        // No room between two ticks, and no times at all.
        assert_eq!(ascending(&known(&[0, 1, 1, 2])), None);
        assert_eq!(ascending(&[None, None]), None);
    }

    #[test]
    fn key_frames_are_recognised_by_their_flags() {
        let keys =
            listing("0, 0, 0, 1, 4, 0x0\n0, 1, 1, 1, 4, 0x0, F=0x0\n0, 2, 2, 1, 4, 0x0, F=0x3, S=1, 8, 0x1\n").keys;
        assert_eq!(keys, [true, false, true]);
    }
}
