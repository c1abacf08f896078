//! A lossless codec: the ceiling of every metric.

use vidtok_core::{Codec, FrameRate, Reconstructor};

use crate::codecs::WINDOW;
use crate::codecs::reconstructors::EachPush;

/// Returns its input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl Codec for Identity {
    fn name(&self) -> &str {
        "identity"
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn start(&self, _clip: [i64; 3], _frame_rate: FrameRate) -> Box<dyn Reconstructor + '_> {
        Box::new(EachPush { codec: "identity", code: |clip: &tch::Tensor| Ok((clip.shallow_clone(), None)) })
    }
}
