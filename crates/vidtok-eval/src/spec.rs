//! Codecs by name, as the command line takes them.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::EvalError;

/// The forms of a [`CodecSpec`].
pub(crate) const FORMS: &str =
    "a model file, identity, jpeg:QUALITY, h264:KILOBITSk, down:TIMExSPACE or torchscript:ENCODER,DECODER";

/// Which codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecSpec {
    /// A one-file model.
    Model(PathBuf),
    /// [`Identity`](crate::Identity).
    Identity,
    /// [`Jpeg`](crate::Jpeg) at this quality.
    Jpeg(u8),
    /// [`H264`](crate::H264) at so many thousand bits a second.
    H264(u32),
    /// [`Downsample`](crate::Downsample) by these factors of time and space.
    Downsample(i64, i64),
    /// [`TorchScript`](crate::TorchScript): encoder and decoder.
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
            "torchscript" => {
                setting.split_once(',').map(|(encoder, decoder)| Self::TorchScript(encoder.into(), decoder.into()))
            }
            _ if Path::new(text).is_file() => Some(Self::Model(text.into())),
            _ => None,
        };
        parsed.ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_understood_and_anything_else_refused_in_one_line() {
        for (text, spec) in [
            ("identity", CodecSpec::Identity),
            ("jpeg:75", CodecSpec::Jpeg(75)),
            ("h264:500k", CodecSpec::H264(500)),
            ("down:2x4", CodecSpec::Downsample(2, 4)),
            ("torchscript:a.jit,b.jit", CodecSpec::TorchScript("a.jit".into(), "b.jit".into())),
        ] {
            assert_eq!(text.parse::<CodecSpec>().unwrap(), spec);
        }
        for text in ["", "jpeg", "jpeg:", "jpeg:x", "h264:500", "down:2", "torchscript:a.jit", "no/such.safetensors"] {
            let error = text.parse::<CodecSpec>().unwrap_err().to_string();
            assert!(error.contains("expected a model file") && error.lines().count() == 1, "{error}");
        }
    }
}
