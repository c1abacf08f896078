//! Notes on standard error about what a conversion changes or loses in a video.

use std::collections::HashSet;
use std::fmt::Display;
use std::mem::{Discriminant, discriminant};

use vidtok_data::Notice;

/// Prints the notices of one video.
pub(crate) fn print(video: impl Display, notices: &[Notice]) {
    for notice in notices {
        eprintln!("{}", line(&video, notice));
    }
}

/// Limits notices about many videos to the first of each kind.
#[derive(Debug, Default)]
pub(crate) struct FirstNotices {
    seen: HashSet<Discriminant<Notice>>,
}

impl FirstNotices {
    /// The line to print; `None` if there was already a notice of this kind.
    pub(crate) fn line(&mut self, video: impl Display, notice: &Notice) -> Option<String> {
        let is_new = self.seen.insert(discriminant(notice));
        is_new.then(|| format!("{} (reported for the first such video only)", line(video, notice)))
    }
}

fn line(video: impl Display, notice: &Notice) -> String {
    let advice = match notice {
        Notice::ToneMapped(_) => "; use --hdr keep to keep its signal as it is",
        Notice::Interlaced => "; use --deinterlace to make whole frames of them",
        Notice::FullChroma(_) => "; use --player-friendly to make the size even",
        _ => "",
    };
    format!("note: {video}: {notice}{advice}")
}

#[cfg(test)]
mod tests {
    use vidtok_data::HdrTransfer;

    use super::*;

    #[test]
    fn each_kind_of_notice_is_reported_for_its_first_video_only() {
        let mut notices = FirstNotices::default();
        let first = notices.line("a.mp4", &Notice::ToneMapped(HdrTransfer::Pq)).unwrap();
        assert!(first.contains("a.mp4") && first.contains("--hdr keep"), "{first}");
        assert_eq!(notices.line("b.mp4", &Notice::ToneMapped(HdrTransfer::Hlg)), None);
        assert!(notices.line("b.mp4", &Notice::Interlaced).is_some());
    }
}
