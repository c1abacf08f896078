//! Codecs by name, as the command line accepts them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::codecs::downsample::Downsample;
use crate::codecs::h264::H264;
use crate::codecs::jpeg::Jpeg;
use crate::codecs::klt::Klt;
use crate::error::EvalError;

/// A codec with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecSpec {
    /// A one-file model.
    Model(PathBuf),
    /// [`Identity`](crate::Identity).
    Identity,
    /// [`Jpeg`](crate::Jpeg) at this quality.
    Jpeg(u8),
    /// [`H264`](crate::H264) at this bitrate in kilobits per second.
    H264(u32),
    /// [`Downsample`](crate::Downsample) by these factors in time and space.
    Downsample(i64, i64),
    /// [`Klt`](crate::Klt) with this many coefficients of a block.
    Klt(i64),
    /// [`TorchScript`](crate::TorchScript) with these files of encoder and decoder.
    TorchScript(PathBuf, PathBuf),
}

impl FromStr for CodecSpec {
    type Err = EvalError;

    fn from_str(text: &str) -> Result<Self, EvalError> {
        let unknown = || EvalError::Spec { text: text.to_owned() };
        let (kind, setting) = text.split_once(':').unwrap_or((text, ""));
        let parsed = match kind {
            "identity" if setting.is_empty() => Some(Self::Identity),
            "jpeg" => setting.parse().ok().map(Self::Jpeg),
            "h264" => setting.strip_suffix('k').and_then(|rate| rate.parse().ok()).map(Self::H264),
            "down" => setting
                .split_once('x')
                .and_then(|(time, space)| Some(Self::Downsample(time.parse().ok()?, space.parse().ok()?))),
            "klt" => setting.parse().ok().map(Self::Klt),
            "torchscript" => {
                setting.split_once(',').map(|(encoder, decoder)| Self::TorchScript(encoder.into(), decoder.into()))
            }
            _ if Path::new(text).is_file() => Some(Self::Model(text.into())),
            _ => None,
        };
        let spec = parsed.ok_or_else(unknown)?;
        match spec {
            Self::Jpeg(quality) => Jpeg::check(quality)?,
            Self::H264(kilobits) => H264::check(kilobits)?,
            Self::Downsample(time, space) => Downsample::check(time, space)?,
            Self::Klt(numbers) => Klt::check(numbers)?,
            Self::Model(_) | Self::Identity | Self::TorchScript(..) => (),
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_parsed_and_anything_else_is_refused_in_one_line() {
        for (text, spec) in [
            ("identity", CodecSpec::Identity),
            ("jpeg:75", CodecSpec::Jpeg(75)),
            ("h264:500k", CodecSpec::H264(500)),
            ("down:2x4", CodecSpec::Downsample(2, 4)),
            ("klt:16", CodecSpec::Klt(16)),
            ("torchscript:a.jit,b.jit", CodecSpec::TorchScript("a.jit".into(), "b.jit".into())),
        ] {
            assert_eq!(text.parse::<CodecSpec>().unwrap(), spec);
        }
        for text in ["", "jpeg", "jpeg:", "jpeg:x", "h264:500", "down:2", "torchscript:a.jit", "no/such.safetensors"] {
            let error = text.parse::<CodecSpec>().unwrap_err().to_string();
            assert!(error.contains("expected a model file") && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        for (text, range) in [
            ("jpeg:0", "1 to 100"),
            ("jpeg:101", "1 to 100"),
            ("h264:0k", "1k to 1000000k"),
            ("h264:1000001k", "1k to 1000000k"),
            ("down:0x2", "1 to 1024"),
            ("klt:0", "1 to 16"),
            ("klt:17", "1 to 16"),
            ("down:4x9223372036854775807", "1 to 1024"),
        ] {
            let error = text.parse::<CodecSpec>().unwrap_err().to_string();
            assert!(error.contains(range), "{error}");
        }
        // Numbers that do not fit their type are refused too.
        assert!("jpeg:256".parse::<CodecSpec>().is_err() && "down:1x9223372036854775808".parse::<CodecSpec>().is_err());
    }
}
