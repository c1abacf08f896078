//! Lines about what is lost or changed of a video on its way, on standard error.

use std::collections::HashSet;
use std::fmt::Display;
use std::mem::{Discriminant, discriminant};

use vidtok_data::Notice;

/// Prints what is to be known of one video.
pub(crate) fn print(video: impl Display, notices: &[Notice]) {
    for notice in notices {
        eprintln!("{}", line(&video, notice));
    }
}

/// Of many videos, says each kind of thing with the first one only.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    said: HashSet<Discriminant<Notice>>,
}

impl Notices {
    /// The line to print, the first time.
    pub(crate) fn line(&mut self, video: impl Display, notice: &Notice) -> Option<String> {
        let is_new = self.said.insert(discriminant(notice));
        is_new.then(|| format!("{} (said of the first such video only)", line(video, notice)))
    }
}

fn line(video: impl Display, notice: &Notice) -> String {
    let advice = match notice {
        Notice::ToneMapped(_) => "; --hdr keep takes its signal as it is",
        Notice::Interlaced => "; --deinterlace makes whole frames of them",
        Notice::FullChroma(_) => "; --player-friendly makes the size even",
        _ => "",
    };
    format!("note: {video}: {notice}{advice}")
}

#[cfg(test)]
mod tests {
    use vidtok_data::HdrTransfer;

    use super::*;

    #[test]
    fn each_kind_is_said_once_with_the_first_video() {
        let mut notices = Notices::default();
        let first = notices.line("a.mp4", &Notice::ToneMapped(HdrTransfer::Pq)).unwrap();
        assert!(first.contains("a.mp4") && first.contains("--hdr keep"), "{first}");
        assert_eq!(notices.line("b.mp4", &Notice::ToneMapped(HdrTransfer::Hlg)), None);
        assert!(notices.line("b.mp4", &Notice::Interlaced).is_some());
    }
}
