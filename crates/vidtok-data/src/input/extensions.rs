//! The file extensions of videos and images.

use std::ffi::OsStr;
use std::path::Path;

/// Extensions of videos that ffmpeg reads: containers, and raw streams of one codec. Formats that mostly hold sound
/// (ogg, mp4a), or whose size ffmpeg would have to be given (yuv), are excluded.
pub(crate) const VIDEOS: [&str; 61] = [
    "264", "265", "3g2", "3gp", "amv", "asf", "avi", "bik", "cine", "dav", "divx", "drc", "dv", "f4v", "flv", "gif",
    "gxf", "h264", "h265", "hevc", "ismv", "ivf", "m1v", "m2t", "m2ts", "m2v", "m4v", "mj2", "mjpeg", "mjpg", "mk3d",
    "mkv", "mov", "mp4", "mpe", "mpeg", "mpg", "mpv", "mts", "mxf", "nsv", "nut", "obu", "ogm", "ogv", "qt", "rm",
    "rmvb", "roq", "tod", "trp", "ts", "vob", "webm", "wmv", "wtv", "xmv", "y4m", "yop", "mqv", "vro",
];

/// Extensions of images.
pub(crate) const IMAGES: [&str; 3] = ["jpeg", "jpg", "png"];

pub(crate) fn is_video(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    VIDEOS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Whether a path has the extension of an image.
pub(crate) fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    IMAGES.iter().any(|known| extension.eq_ignore_ascii_case(known))
}
