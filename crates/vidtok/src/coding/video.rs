//! Whole videos, from a frame source and to a frame sink, in bounded memory.

use vidtok_core::{FrameSink, FrameSource, to_frames, to_model_range};

use crate::coding::encoded::Encoded;
use crate::error::Error;
use crate::memory::free::default_budget;
use crate::memory::plan::{MemoryPlan, Work};
use crate::stream::EncodeOptions;
use crate::stream::decoder::StreamDecoder;
use crate::stream::encoder::StreamEncoder;
use crate::tokenizer::Tokenizer;

impl Tokenizer {
    /// Encodes a video from its next frame to its end, in chunks. Only its latent is held as a whole.
    ///
    /// A [`MemoryPlan`] cuts the work so that the process holds at most `max_memory` bytes (on a GPU, beside the
    /// weights); by default the [`default_budget`]. The plan does not change the result. Non-causal models take a
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
        let budget = max_memory.or_else(|| default_budget(self.device()));
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
        let budget = max_memory.or_else(|| default_budget(self.device()));
        let plan = MemoryPlan::fit(self, Work::Decode, [t * f_t, h * f_s, w * f_s], *window, budget)?;
        let mut decoder = StreamDecoder::new(self, t, *padding, *window).in_strips(plan.rows);
        for chunk in latent.split((plan.frames / f_t).max(1), 2) {
            if let Some(frames) = decoder.push(&chunk)? {
                sink.write(&to_frames(&frames))?;
            }
        }
        Ok(sink.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::{Device, Kind, Tensor};
    use vidtok_core::{FrameRate, VideoError, VideoInfo};

    use super::*;
    use crate::Causality;
    use crate::config::Config;
    use crate::config::tests::TINY;
    use crate::stream::Window;

    /// A video in memory, uint8 `[t, h, w, 3]`.
    struct Source {
        info: VideoInfo,
        frames: Tensor,
        next: i64,
    }

    impl Source {
        fn new(frames: &Tensor) -> Self {
            let size = frames.size();
            let frame_rate = FrameRate::new(25, 1).unwrap();
            let info = VideoInfo { width: size[2], height: size[1], frame_rate, frames: size[0] as u64, times: None };
            Self { info, frames: frames.shallow_clone(), next: 0 }
        }
    }

    impl FrameSource for Source {
        fn info(&self) -> &VideoInfo {
            &self.info
        }

        fn path(&self) -> &Path {
            Path::new("video")
        }

        fn next_frames(&mut self, max: usize) -> Result<Option<Tensor>, VideoError> {
            // Fewer than asked for, as a reader may return.
            let length = (max as i64).min(3).min(self.frames.size()[0] - self.next);
            self.next += length;
            Ok((length > 0).then(|| self.frames.narrow(0, self.next - length, length)))
        }

        fn frames_at(&self, indices: &[u64]) -> Result<Tensor, VideoError> {
            let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
            Ok(self.frames.index_select(0, &Tensor::from_slice(&indices)))
        }
    }

    #[derive(Default)]
    struct Sink {
        frames: Vec<Tensor>,
        is_finished: bool,
    }

    impl FrameSink for Sink {
        fn write(&mut self, frames: &Tensor) -> Result<(), VideoError> {
            self.frames.push(frames.shallow_clone());
            Ok(())
        }

        fn finish(&mut self) -> Result<(), VideoError> {
            self.is_finished = true;
            Ok(())
        }
    }

    fn tokenizer(causality: Causality) -> Tokenizer {
        let mut config = Config::parse(TINY).unwrap();
        config.model.causality = causality;
        Tokenizer::init(config, 0, Device::Cpu).unwrap()
    }

    fn random_frames() -> Tensor {
        Tensor::randint(256, [19, 12, 15, 3], (Kind::Uint8, Device::Cpu))
    }

    #[test]
    fn a_video_is_encoded_and_decoded_as_its_frames_are() {
        let frames = random_frames();
        let window = Some(Window { frames: 8, overlap: 2 });
        for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
            let tokenizer = tokenizer(causality);
            let options = EncodeOptions { seed: Some(1), window };
            let encoded = tokenizer.encode_video(&mut Source::new(&frames), options, None).unwrap();
            let expected = tokenizer.encode(&to_model_range(&frames), options).unwrap();
            assert!(encoded.latent.allclose(&expected.latent, 1e-5, 1e-5, false), "{causality}");
            assert_eq!((encoded.frame_rate, encoded.padding), (FrameRate::new(25, 1), expected.padding));

            let mut sink = Sink::default();
            let dynamic: &mut dyn FrameSink = &mut sink;
            tokenizer.decode_video(&encoded, dynamic, None).unwrap();
            let expected = to_frames(&tokenizer.decode(&encoded).unwrap());
            let difference = Tensor::cat(&sink.frames, 0).to_kind(Kind::Int) - expected.to_kind(Kind::Int);
            assert!(sink.is_finished && difference.abs().max().int64_value(&[]) <= 1, "{causality}");
        }
    }

    #[test]
    fn a_video_with_too_few_frames_a_batch_and_a_tight_budget_are_errors() {
        let (tokenizer, frames) = (tokenizer(Causality::V1_0), random_frames());
        let mut source = Source::new(&frames);
        source.info.frames += 1;
        let error = tokenizer.encode_video(&mut source, EncodeOptions::default(), None).unwrap_err();
        assert_eq!(error.to_string(), "the clip: expected 20 frames, found 19");
        let error = tokenizer.encode_video(&mut Source::new(&frames), EncodeOptions::default(), Some(1)).unwrap_err();
        assert!(matches!(error, Error::Memory { .. }));
        let clip = to_model_range(&frames);
        let batch = tokenizer.encode(&Tensor::cat(&[&clip, &clip], 0), EncodeOptions::default()).unwrap();
        let error = tokenizer.decode_video(&batch, &mut Sink::default(), None).unwrap_err();
        assert_eq!(error.to_string(), "the latent: expected one clip, found 2 clips");
    }
}
