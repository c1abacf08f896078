//! Whole videos, from a frame source and to a frame sink, in bounded memory.

use tch::Device;
use vidtok_core::{FrameSink, FrameSource, to_frames, to_model_range};

use crate::coding::encoded::Encoded;
use crate::error::Error;
use crate::memory::free::{free_bytes, resident_bytes};
use crate::memory::plan::{MemoryPlan, Work};
use crate::stream::EncodeOptions;
use crate::stream::decoder::StreamDecoder;
use crate::stream::encoder::StreamEncoder;
use crate::tokenizer::Tokenizer;

impl Tokenizer {
    /// Encodes a video from its next frame to its end, in chunks. Only its latent is held as a whole.
    ///
    /// A [`MemoryPlan`] cuts the work so that the process holds at most `max_memory` bytes (on a GPU, beside the
    /// weights); by default nearly all memory that is free. The plan does not change the result. Non-causal models take a
    /// whole clip at once, unless `options.window` says otherwise.
    ///
    /// # Errors
    /// If the video cannot be read or has fewer frames than it states, the memory is not enough, or as for
    /// [`encode`](Self::encode).
    pub fn encode_video<S: FrameSource + ?Sized>(
        &self,
        source: &mut S,
        options: EncodeOptions,
        max_memory: Option<u64>,
    ) -> Result<Encoded, Error> {
        let info = source.info().clone();
        let clip = [i64::try_from(info.frames).unwrap_or(i64::MAX), info.height, info.width];
        let budget = max_memory.or_else(|| self.nearly_all_free_memory());
        let plan = MemoryPlan::fit(self, Work::Encode, clip, options.window, budget)?;
        let mut encoder = StreamEncoder::new(self, clip, options).in_strips(plan.rows);
        let mut parts = Vec::new();
        while let Some(frames) = source.next_frames(plan.frames.unsigned_abs() as usize)? {
            parts.extend(encoder.push(&to_model_range(&frames))?);
        }
        parts.extend(encoder.finish()?);
        let encoded = Encoded::join(&parts, encoder.padding(), encoder.window())?;
        Ok(Encoded { frame_rate: Some(info.frame_rate), frame_times: info.times, ..encoded })
    }

    /// Decodes one clip into a video, in chunks, and finishes the video. The sink must be made for frames of the clip's
    /// size, [`decoded_size`](Self::decoded_size).
    ///
    /// `max_memory` is as for [`encode_video`](Self::encode_video).
    ///
    /// # Errors
    /// If `encoded` is a batch of several clips, the memory is not enough, the video cannot be written, or as for
    /// [`decode`](Self::decode).
    pub fn decode_video<S: FrameSink + ?Sized>(
        &self,
        encoded: &Encoded,
        sink: &mut S,
        max_memory: Option<u64>,
    ) -> Result<(), Error> {
        let Encoded { latent, padding, window, .. } = encoded;
        self.model().check_latent(latent)?;
        self.model().check_padding(latent, *padding)?;
        let [b, _, t, h, w] = latent.size()[..] else { return Ok(()) };
        if b != 1 {
            return Err(Error::Shape { what: "the latent", expected: "one clip".into(), found: format!("{b} clips") });
        }
        let model = &self.config().model;
        let (f_t, f_s) = (model.temporal_factor(), model.spatial_factor());
        let budget = max_memory.or_else(|| self.nearly_all_free_memory());
        let plan = MemoryPlan::fit(self, Work::Decode, [t * f_t, h * f_s, w * f_s], *window, budget)?;
        let mut decoder = StreamDecoder::new(self, t, *padding, *window).in_strips(plan.rows);
        for chunk in latent.split((plan.frames / f_t).max(1), 2) {
            if let Some(frames) = decoder.push(&chunk)? {
                sink.write(&to_frames(&frames))?;
            }
        }
        Ok(sink.finish()?)
    }

    /// What the process may hold if nobody says otherwise, in bytes; `None` if the system does not report its memory.
    fn nearly_all_free_memory(&self) -> Option<u64> {
        let held = if self.device() == Device::Cpu { resident_bytes().unwrap_or(0) } else { 0 };
        free_bytes(self.device()).map(|free| free / 10 * 9 + held)
    }
}
