//! ffmpeg's messages, and what they imply for a video.
//!
//! Only messages about the input count against a video. ffmpeg also reports on its outputs, on filters, and on a system
//! that has run out of something; such messages say nothing about the video.

use std::io::{BufRead, BufReader, Read};

/// The most bytes kept of a message.
const LINE: usize = 300;
/// The most lines kept of the description.
const LINES: usize = 1000;

/// The messages of one run of ffmpeg, by what they imply.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The first message that the input is damaged.
    pub(crate) damage: Option<String>,
    /// The first demuxer warning about lost data. Only the decoded frames show whether anything was lost: packet
    /// counters also jump where two recordings were joined.
    pub(crate) doubt: Option<String>,
    /// The first error of a filter. If no output follows, the filters cannot handle the video.
    pub(crate) unfit: Option<String>,
    /// The first error about an output. It may explain a failure, but says nothing about the video.
    pub(crate) output: Option<String>,
    /// The first message that the system has run out of something, which says nothing about the video.
    pub(crate) shortage: Option<String>,
    /// The description of inputs and outputs.
    pub(crate) description: Vec<String>,
}

impl Log {
    /// The message that explains a failure best.
    pub(crate) fn explanation(self) -> Option<String> {
        self.shortage.or(self.damage).or(self.unfit).or(self.output)
    }

    /// Reads all messages until the end.
    pub(crate) fn listen(messages: impl Read) -> Self {
        let mut log = Self::default();
        let mut messages = BufReader::new(messages);
        let mut line = Vec::new();
        while messages.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line[..line.len().min(LINE)]);
            let Message { speaker, level, text } = Message::parse(text.trim_end());
            let kept = match kind(speaker, level, text) {
                MessageKind::Damage => &mut log.damage,
                MessageKind::Doubt => &mut log.doubt,
                MessageKind::Unfit => &mut log.unfit,
                MessageKind::Output => &mut log.output,
                MessageKind::Shortage => &mut log.shortage,
                MessageKind::Description => {
                    if log.description.len() < LINES {
                        log.description.push(text.to_owned());
                    }
                    line.clear();
                    continue;
                }
            };
            kept.get_or_insert_with(|| text.to_owned());
            line.clear();
        }
        log
    }
}

/// A line such as "[vist#0:0/h264 @ 0x55d1] [dec:h264 @ 0x55d2] [error] no frame!".
#[derive(Debug, PartialEq, Eq)]
struct Message<'a> {
    /// The outermost component that speaks, such as "vist#0:0/h264"; "" if none is named.
    speaker: &'a str,
    /// The level, such as "error"; "" on a line without one.
    level: &'a str,
    text: &'a str,
}

impl<'a> Message<'a> {
    fn parse(line: &'a str) -> Self {
        let (mut speaker, mut rest) = ("", line);
        while let Some((tag, tail)) = rest.strip_prefix('[').and_then(|tagged| tagged.split_once("] ")) {
            match tag {
                "panic" | "fatal" | "error" | "warning" | "info" => return Self { speaker, level: tag, text: tail },
                _ if speaker.is_empty() => speaker = tag.split(" @ ").next().unwrap_or(tag),
                _ => {}
            }
            rest = tail;
        }
        Self { speaker: "", level: "", text: line }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum MessageKind {
    Damage,
    Doubt,
    Unfit,
    Output,
    Shortage,
    Description,
}

/// Prefixes of the names of filters and their graph.
const FILTERS: [&str; 8] = ["fc#", "vf#", "af#", "AVFilterGraph", "Parsed_", "auto_", "graph", "swscaler"];
/// Prefixes of the names of outputs and encoders.
const OUTPUTS: [&str; 7] = ["out#", "vost#", "aost#", "ost#", "enc:", "framecrc", "image2pipe"];
/// Phrases about outputs in messages without a name, or under a name that demuxers share.
const OUTPUT_PHRASES: [&str; 5] =
    ["to muxer", "to the muxer", "av_interleaved_write_frame", "Non-monotonic DTS", "Non-monotonous DTS"];
/// The start of an output's error about a stream that the input lacks.
pub(crate) const NO_STREAM: &str = "Stream map";
/// The system's messages for a shortage of something.
const SHORTAGES: [&str; 5] = [
    "Cannot allocate memory",
    "Out of memory",
    "Resource temporarily unavailable",
    "Too many open files",
    "No space left on device",
];

/// Classifies a message. Decoders conceal errors and go on, so each of their errors is damage. So is a warning about a
/// corrupt frame, since some decoders say no more. A demuxer's warning about a corrupt packet is only a doubt.
fn kind(speaker: &str, level: &str, text: &str) -> MessageKind {
    let is_error = matches!(level, "panic" | "fatal" | "error");
    let begins = |names: &[&str]| names.iter().any(|name| speaker.starts_with(name));
    let says = |texts: &[&str]| texts.iter().any(|phrase| text.contains(phrase));
    let of_output = begins(&OUTPUTS) && !text.starts_with(NO_STREAM) || says(&OUTPUT_PHRASES);
    match level {
        _ if is_error && says(&SHORTAGES) => MessageKind::Shortage,
        _ if is_error && of_output => MessageKind::Output,
        _ if is_error && begins(&FILTERS) => MessageKind::Unfit,
        _ if is_error => MessageKind::Damage,
        "warning" if of_output || begins(&FILTERS) => MessageKind::Description,
        "warning" if says(&["Packet corrupt", "corrupt input packet"]) => MessageKind::Doubt,
        "warning" if text.contains("corrupt") => MessageKind::Damage,
        _ => MessageKind::Description,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(line: &str) -> MessageKind {
        let Message { speaker, level, text } = Message::parse(line);
        kind(speaker, level, text)
    }

    #[test]
    fn messages_are_split_into_speaker_level_and_text() {
        let parse = |line| {
            let Message { speaker, level, text } = Message::parse(line);
            (speaker, level, text)
        };
        assert_eq!(
            parse("[vist#0:0/h264 @ 0x55] [dec:h264 @ 0x56] [error] Decoding error: no data"),
            ("vist#0:0/h264", "error", "Decoding error: no data")
        );
        assert_eq!(parse("[info]   Stream #0:0"), ("", "info", "  Stream #0:0"));
        assert_eq!(parse("plain [error] text"), ("", "", "plain [error] text"));
    }

    #[test]
    fn only_messages_about_the_input_are_damage() {
        for line in [
            "[h264 @ 0x1] [error] error while decoding MB 3 2, bytestream -7",
            "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x1] [error] moov atom not found",
            "[rawvideo @ 0x1] [error] Invalid buffer size, packet size 10 < expected frame_size 20",
            "[vist#0:0/h264 @ 0x1] [warning] corrupt decoded frame",
            "[error] Error while decoding stream #0:0: Invalid data found when processing input",
            "[out#0/framecrc @ 0x1] [fatal] Stream map '' matches no streams.",
        ] {
            assert_eq!(kind_of(line), MessageKind::Damage, "{line}");
        }
        for line in [
            "[rawvideo @ 0x1] [error] Application provided invalid, non monotonically increasing dts to muxer in stream 0: 21 >= 21",
            "[vost#0:0/rawvideo @ 0x1] [error] Error submitting a packet to the muxer: Broken pipe",
            "[out#0/rawvideo @ 0x1] [error] Error writing trailer: Broken pipe",
            "[error] av_interleaved_write_frame(): Broken pipe",
        ] {
            assert_eq!(kind_of(line), MessageKind::Output, "{line}");
        }
        assert_eq!(kind_of("[Parsed_scale_0 @ 0x1] [error] Failed to configure output pad"), MessageKind::Unfit);
        for line in [
            "[in#0/mpegts @ 0x1] [warning] Packet corrupt (stream = 0, dts = 168000).",
            "[in#0/mpegts @ 0x1] [warning] corrupt input packet in stream 0",
        ] {
            assert_eq!(kind_of(line), MessageKind::Doubt, "{line}");
        }
        for line in [
            "[h264 @ 0x1] [error] get_buffer() failed: Cannot allocate memory",
            "[fatal] pthread_create failed: Resource temporarily unavailable",
        ] {
            assert_eq!(kind_of(line), MessageKind::Shortage, "{line}");
        }
        let changed =
            "[vost#0:0/wrapped_avframe @ 0x1] [warning] Non-monotonic DTS; previous: 2, current: 1; changing to 2.";
        assert_eq!(kind_of(changed), MessageKind::Description);
        assert_eq!(kind_of("[h264 @ 0x1] [warning] odd but fine"), MessageKind::Description);
    }

    #[test]
    fn the_first_message_of_each_kind_is_kept() {
        let messages = "[a @ 0x1] [warning] odd but fine\n[b @ 0x2] [warning] corrupt decoded frame\n[error] late\n";
        let log = Log::listen(messages.as_bytes());
        assert_eq!(log.damage.as_deref(), Some("corrupt decoded frame"));
        assert_eq!(log.description, ["odd but fine"]);
    }

    #[test]
    fn long_messages_are_truncated() {
        let mut messages = vec![b'x'; 10_000];
        messages.extend(b"\n".repeat(5000));
        let log = Log::listen(messages.as_slice());
        assert_eq!(log.description[0].len(), LINE);
        assert_eq!(log.description.len(), LINES);
    }
}
