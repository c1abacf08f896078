//! Looking at a video once: its size as shown, its rate, and its number of frames.
//!
//! Neither a header nor the number of packets gives an exact count (edit lists, hidden frames, cut files), so the
//! whole video is decoded once, without converting or copying pixels. That finds damage at the same time.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use vidtok_core::{FrameRate, VideoError, VideoInfo};

use super::process::{Log, Process};
use super::reader::{check_file, decode_error, input_options};
use super::{Ffmpeg, file_url};

/// What the list of decoded frames says.
#[derive(Debug, Default, PartialEq)]
struct Listing {
    /// `[width, height]`.
    size: Option<[i64; 2]>,
    /// Seconds per tick, as (numerator, denominator).
    tick: Option<(u32, u32)>,
    frames: u64,
    /// Ticks between two frames where that never changes.
    step: Option<u32>,
}

/// Decodes all of `path` and describes it.
pub(super) fn probe(ffmpeg: &Ffmpeg, path: &Path) -> Result<VideoInfo, VideoError> {
    check_file(path)?;
    let io_error = |source| VideoError::Io { path: path.to_owned(), source };
    let decode_error = |message: &str| decode_error(path, message);
    let mut command = ffmpeg.command("info");
    command.args(input_options()).arg("-i").arg(file_url(path));
    command.args(["-map", "0:V:0"]).args(ffmpeg.passthrough());
    // The "encoder" hands each frame's address on, and the "container" lists one line a frame.
    command.args(["-c:v", "wrapped_avframe", "-f", "framecrc", "pipe:1"]);
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
    if listing.frames == 0 {
        return Err(VideoError::Empty { path: path.to_owned() });
    }
    let Some([width, height]) = listing.size else {
        return Err(decode_error("ffmpeg did not tell the size"));
    };
    let Some(frame_rate) = frame_rate(&listing, &log) else {
        return Err(decode_error("ffmpeg did not tell the frame rate"));
    };
    Ok(VideoInfo { width, height, frame_rate, frames: listing.frames })
}

/// Reads the `framecrc` format: `#key 0: value` lines, then `stream, dts, pts, duration, size, checksum` lines.
fn read_listing(output: impl Read) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut last: Option<i64> = None;
    let mut steady = true;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(header) = line.strip_prefix('#') {
            match header.split_once(" 0: ") {
                Some(("dimensions", size)) => listing.size = pair(size, 'x').map(|(w, h)| [w.into(), h.into()]),
                Some(("tb", tick)) => listing.tick = pair(tick, '/'),
                _ => {}
            }
            continue;
        }
        listing.frames += 1;
        let time = line.split(',').nth(2).and_then(|pts| pts.trim().parse::<i64>().ok());
        if let (Some(before), Some(now)) = (last, time) {
            let step = now.checked_sub(before).and_then(|step| u32::try_from(step).ok());
            steady &= step.is_some_and(|step| step > 0) && (listing.frames == 2 || listing.step == step);
            listing.step = step;
        }
        steady &= time.is_some();
        last = time;
    }
    listing.step = listing.step.filter(|_| steady);
    Ok(listing)
}

fn pair(text: &str, separator: char) -> Option<(u32, u32)> {
    let (a, b) = text.trim().split_once(separator)?;
    a.parse().ok().zip(b.parse().ok())
}

/// The exact rate of evenly spaced frames; else the average that ffmpeg states (to two decimals); else one frame a
/// tick, as for a single frame.
fn frame_rate(listing: &Listing, log: &Log) -> Option<FrameRate> {
    let (seconds, ticks) = listing.tick?;
    let every = |step: u32| FrameRate::new(ticks, seconds.checked_mul(step)?);
    let even = listing.step.and_then(every);
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
        assert_eq!((even.size, even.frames), (Some([176, 144]), 3));
        let rounded = description(&["Stream #0:0: Video: h264, 29.97 fps", "Stream mapping:", "Stream #0:0 -> #0:0"]);
        assert_eq!(frame_rate(&even, &rounded), FrameRate::new(30000, 1001));
    }

    #[test]
    fn uneven_time_stamps_give_the_stated_average_of_the_right_stream() {
        let uneven = listing("#tb 0: 1/100\n0, 0, 0, 5, 4, 0x0\n0, 5, 5, 2, 4, 0x0\n0, 7, 7, 2, 4, 0x0\n");
        assert_eq!(uneven.step, None);
        let log = description(&[
            "  Stream #0:10: Video: mjpeg, 8 fps, 100 tbr",
            "  Stream #0:1[0x2](und): Video: gif, bgra, 200x150, 12.5 fps, 100 tbr",
            "Stream mapping:",
            "  Stream #0:1 -> #0:0 (gif (native) -> wrapped_avframe (native))",
        ]);
        assert_eq!(frame_rate(&uneven, &log), FrameRate::from_f64(12.5));
    }
}
