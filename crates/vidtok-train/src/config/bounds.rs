//! The ranges of the numbers in a `[train]` table. The limits are far beyond any training, yet small enough that nothing
//! computed from them overflows.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::config::TrainConfig;

/// Steps, which optimizers count in 32 bits.
const STEPS: u64 = i32::MAX as u64;
/// Clips, batches, videos and states.
const COUNT: u64 = 1 << 20;
const FRAMES: u64 = 1 << 16;
const SIDE: i64 = 1 << 14;
const THREADS: usize = 256;
/// 16 TiB.
const CACHE_MIB: u64 = 1 << 24;
/// Rates, weights and norms.
const LARGE: f64 = 1e9;
const FPS: f64 = 1000.0;

/// Checks all numbers; the error names the first that is out of its range, and the range.
pub(crate) fn check(train: &TrainConfig) -> Result<(), String> {
    let TrainConfig { optimizer, validation, checkpoints, data, loss, .. } = train;
    within("steps", train.steps, 1..=STEPS)?;
    within("batch_size", train.batch_size as u64, 1..=COUNT)?;
    within("accumulate", train.accumulate, 1..=COUNT)?;
    within("max_skipped", train.max_skipped, 0..=STEPS)?;
    within("schedule.warmup_steps", train.schedule.warmup_steps, 0..=STEPS)?;
    within("validation.every", validation.every, 1..=STEPS)?;
    within("validation.clips", validation.clips as u64, 0..=COUNT)?;
    within("checkpoints.every", checkpoints.every, 1..=STEPS)?;
    within("checkpoints.keep", checkpoints.keep as u64, 0..=COUNT)?;
    within("linear_batches", train.linear_batches as u64, 1..=COUNT)?;
    above_zero("clip_norm", train.clip_norm, LARGE)?;
    above_zero("optimizer.lr", optimizer.lr, LARGE)?;
    above_zero("optimizer.eps", optimizer.eps, LARGE)?;
    within("optimizer.weight_decay", optimizer.weight_decay, 0.0..=LARGE)?;
    let decays = [("optimizer.beta1", optimizer.beta1), ("optimizer.beta2", optimizer.beta2)];
    let momentum = train.muon.as_ref().map(|muon| ("muon.momentum", muon.momentum));
    for (key, value) in decays.into_iter().chain(momentum).chain(train.ema_decay.map(|decay| ("ema_decay", decay))) {
        if !(0.0..1.0).contains(&value) {
            return Err(format!("{key} is {value}; it must be at least 0 and below 1"));
        }
    }
    within("teacher.weight", train.teacher.as_ref().map_or(1.0, |teacher| teacher.weight), 0.0..=LARGE)?;
    within("loss.mse", loss.mse, 0.0..=LARGE)?;
    within("loss.quantizer", loss.quantizer, 0.0..=LARGE)?;
    if let Some(perceptual) = &loss.perceptual {
        within("loss.perceptual.weight", perceptual.weight, 0.0..=LARGE)?;
        within("loss.perceptual.frames", perceptual.frames.unwrap_or(1), 1..=FRAMES as i64)?;
    }
    if let Some(gan) = &loss.gan {
        within("loss.gan.start", gan.start, 0..=STEPS)?;
        within("loss.gan.weight", gan.weight, 0.0..=LARGE)?;
        within("loss.gan.lecam_weight", gan.lecam_weight, 0.0..=LARGE)?;
    }
    within("data.frames", data.frames as u64, 1..=FRAMES)?;
    within("data.size (height)", data.size[0], 1..=SIDE)?;
    within("data.size (width)", data.size[1], 1..=SIDE)?;
    within("data.shorter_side", data.shorter_side.unwrap_or(1), 1..=SIDE)?;
    let images = data.images.as_ref();
    within("data.images.shorter_side", images.and_then(|images| images.shorter_side).unwrap_or(1), 1..=SIDE)?;
    within("data.scenes", data.scenes as u64, 1..=COUNT)?;
    within("data.held_out", data.held_out as u64, 0..=COUNT)?;
    within("data.workers", data.workers, 1..=THREADS)?;
    within("data.cache_mib", data.cache_mib, 0..=CACHE_MIB)?;
    above_zero("data.sample_fps", data.sample_fps.unwrap_or(1.0), FPS)?;
    let videos = validation.videos.as_ref();
    above_zero("validation.videos.sample_fps", videos.map_or(1.0, |videos| videos.sample_fps), FPS)
}

fn within<T: PartialOrd + Display>(key: &str, value: T, allowed: RangeInclusive<T>) -> Result<(), String> {
    match allowed.contains(&value) {
        true => Ok(()),
        false => Err(format!("{key} is {value}; it must be from {} to {}", allowed.start(), allowed.end())),
    }
}

fn above_zero(key: &str, value: f64, most: f64) -> Result<(), String> {
    match value > 0.0 && value <= most {
        true => Ok(()),
        false => Err(format!("{key} is {value}; it must be above 0 and at most {most}")),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::parse;

    #[test]
    fn every_number_out_of_range_is_named_with_its_range() {
        for (key, found, allowed) in [
            ("steps", "0", "from 1 to 2147483647"),
            ("steps", "9223372036854775807", "from 1 to 2147483647"),
            ("batch_size", "4611686018427387904", "from 1 to 1048576"),
            ("accumulate", "9223372036854775807", "from 1 to 1048576"),
            ("max_skipped", "9223372036854775807", "from 0 to 2147483647"),
            ("schedule.warmup_steps", "9223372036854775807", "from 0 to 2147483647"),
            ("validation.every", "0", "from 1 to 2147483647"),
            ("validation.clips", "9223372036854775807", "from 0 to 1048576"),
            ("validation.videos", "{ folder = \"v\", sample_fps = 0.0 }", "above 0 and at most 1000"),
            ("checkpoints.every", "0", "from 1 to 2147483647"),
            ("checkpoints.keep", "9223372036854775807", "from 0 to 1048576"),
            ("clip_norm", "inf", "above 0 and at most 1000000000"),
            ("optimizer.lr", "nan", "above 0 and at most 1000000000"),
            ("optimizer.eps", "0.0", "above 0 and at most 1000000000"),
            ("optimizer.weight_decay", "-1.0", "from 0 to 1000000000"),
            ("optimizer.beta1", "nan", "at least 0 and below 1"),
            ("optimizer.beta2", "1.0", "at least 0 and below 1"),
            ("muon.momentum", "1.0", "at least 0 and below 1"),
            ("ema_decay", "1.0", "at least 0 and below 1"),
            ("ema_decay", "-0.1", "at least 0 and below 1"),
            ("loss.perceptual.weight", "inf", "from 0 to 1000000000"),
            ("loss.perceptual.frames", "0", "from 1 to 65536"),
            ("loss.gan.start", "9223372036854775807", "from 0 to 2147483647"),
            ("loss.gan.weight", "-1.0", "from 0 to 1000000000"),
            ("loss.gan.lecam_weight", "nan", "from 0 to 1000000000"),
            ("data.frames", "0", "from 1 to 65536"),
            ("data.frames", "9223372036854775807", "from 1 to 65536"),
            ("data.size", "[0, 16]", "from 1 to 16384"),
            ("data.size", "[16, 9223372036854775807]", "from 1 to 16384"),
            ("data.shorter_side", "-5", "from 1 to 16384"),
            ("data.scenes", "9223372036854775807", "from 1 to 1048576"),
            ("data.held_out", "9223372036854775807", "from 0 to 1048576"),
            ("data.workers", "0", "from 1 to 256"),
            ("data.workers", "100000", "from 1 to 256"),
            ("data.cache_mib", "9223372036854775807", "from 0 to 16777216"),
            ("data.sample_fps", "inf", "above 0 and at most 1000"),
        ] {
            let error = parse(key, found).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(allowed) && error.lines().count() == 1, "{error}");
        }
        // Negative numbers for unsigned keys are refused by name too.
        for key in ["steps", "batch_size", "data.frames", "data.workers"] {
            let error = parse(key, "-1").unwrap_err().to_string();
            assert!(error.contains("-1") && error.lines().count() == 1, "{error}");
        }
    }
}
