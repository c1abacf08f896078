//! Whole clips, chunk by chunk in bounded memory, so that a computation can be stopped between two chunks.

use tch::Tensor;
use vidtok::{
    EncodeOptions, Encoded, Error, MemoryPlan, StreamDecoder, StreamEncoder, Tokenizer, Work, default_budget,
};
use vidtok_data::{Ffmpeg, Preparation, PreparedVideo};

use crate::worker::Stop;

/// Encodes a clip `[b, 3, t, h, w]`.
pub(crate) fn encode(
    tokenizer: &Tokenizer,
    video: &Tensor,
    options: EncodeOptions,
    stop: &Stop,
) -> Result<Encoded, Error> {
    let size = video.size();
    let &[_, 3, t, h, w] = size.as_slice() else { return tokenizer.encode(video, options) };
    // The library says what is wrong.
    if size.contains(&0) {
        return tokenizer.encode(video, options);
    }
    let plan = plan(tokenizer, Work::Encode, [t, h, w], options, None)?;
    let mut encoder = StreamEncoder::new(tokenizer, [t, h, w], options).in_strips(plan.rows);
    let mut parts = Vec::new();
    for frames in video.split(plan.frames, 2) {
        if stop.is_set() {
            break;
        }
        parts.extend(encoder.push(&frames)?);
    }
    Encoded::join(&parts, encoder.padding(), encoder.window())
}

/// Decodes a clip to `[b, 3, t, h, w]`.
pub(crate) fn decode(tokenizer: &Tokenizer, encoded: &Encoded, stop: &Stop) -> Result<Tensor, Error> {
    let Encoded { latent, padding, window, .. } = encoded;
    // Checks the latent and its padding too.
    tokenizer.decoded_size(encoded)?;
    let [_, _, t, h, w] = latent.size()[..] else { return tokenizer.decode(encoded) };
    let model = &tokenizer.config().model;
    let (f_t, f_s) = (model.temporal_factor(), model.spatial_factor());
    let options = EncodeOptions { seed: None, window: *window };
    let plan = plan(tokenizer, Work::Decode, [t * f_t, h * f_s, w * f_s], options, None)?;
    let mut decoder = StreamDecoder::new(tokenizer, t, *padding, *window).in_strips(plan.rows);
    let mut parts = Vec::new();
    for chunk in latent.split((plan.frames / f_t).max(1), 2) {
        if stop.is_set() {
            break;
        }
        parts.extend(decoder.push(&chunk)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(&parts, 2) })
}

/// Encodes a video file or a folder of frames.
pub(crate) fn encode_video(
    tokenizer: &Tokenizer,
    video: (&std::path::Path, &Preparation),
    options: EncodeOptions,
    max_memory: Option<u64>,
    stop: &Stop,
) -> Result<Encoded, Error> {
    let mut video = PreparedVideo::open(&Ffmpeg::locate()?, video.0, video.1)?;
    let ([h, w], t) = (video.size(), video.frames() as i64);
    let plan = plan(tokenizer, Work::Encode, [t, h, w], options, max_memory)?;
    let mut encoder = StreamEncoder::new(tokenizer, [t, h, w], options).in_strips(plan.rows);
    let mut parts = Vec::new();
    while let Some(frames) = video.next(plan.frames.unsigned_abs() as usize)? {
        if stop.is_set() {
            break;
        }
        parts.extend(encoder.push(&frames)?);
    }
    let encoded = Encoded::join(&parts, encoder.padding(), encoder.window())?;
    let (frame_rate, pixel_aspect) = (Some(video.frame_rate()), video.pixel_aspect());
    Ok(Encoded { frame_rate, frame_times: video.times().cloned(), pixel_aspect, ..encoded })
}

fn plan(
    tokenizer: &Tokenizer,
    work: Work,
    clip: [i64; 3],
    options: EncodeOptions,
    max_memory: Option<u64>,
) -> Result<MemoryPlan, Error> {
    let budget = max_memory.or_else(|| default_budget(tokenizer.device()));
    MemoryPlan::fit(tokenizer, work, clip, options.window, budget)
}
