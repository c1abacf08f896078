//! IVF, the simplest container with frame times that ffmpeg reads from a pipe: a header, and 12 bytes before each
//! frame. Its only raw pixel format is RGBA.

use crate::ffmpeg::pace::Ticks;

/// The header of a stream of RGBA frames; `None` if the frames are too large for the format.
pub(crate) fn header([height, width]: [i64; 2], times: &Ticks) -> Option<Vec<u8>> {
    const LENGTH: u16 = 32;
    let (numerator, denominator) = times.tick();
    let mut header = b"DKIF\0\0".to_vec();
    header.extend(LENGTH.to_le_bytes());
    header.extend(b"RGBA");
    for side in [width, height] {
        header.extend(u16::try_from(side).ok()?.to_le_bytes());
    }
    for word in [denominator, numerator, 0, 0] {
        header.extend(word.to_le_bytes());
    }
    Some(header)
}

/// One frame of RGB pixels at a tick, stored as RGBA.
pub(crate) fn frame(tick: u64, rgb: &[u8]) -> Vec<u8> {
    let length = rgb.len() / 3 * 4;
    let mut frame = Vec::with_capacity(12 + length);
    frame.extend((length as u32).to_le_bytes());
    frame.extend(tick.to_le_bytes());
    for pixel in rgb.chunks_exact(3) {
        frame.extend([pixel[0], pixel[1], pixel[2], u8::MAX]);
    }
    frame
}

#[cfg(test)]
mod tests {
    use vidtok_core::FrameTimes;

    use super::*;

    #[test]
    fn headers_match_the_format() {
        let times = Ticks::Listed(FrameTimes::new((1001, 30000), &[0, 3]).unwrap());
        let header = header([2, 770], &times).unwrap();
        assert_eq!(header.len(), 32);
        assert_eq!(header[12..24], [2, 3, 2, 0, 0x30, 0x75, 0, 0, 0xe9, 3, 0, 0]);
        assert_eq!(super::header([2, 70_000], &times), None);
        assert_eq!(frame(258, &[7, 8, 9]), [4, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 7, 8, 9, 255]);
    }
}
