//! An encoder and a decoder as TorchScript files, the format of NVIDIA's released Cosmos tokenizers.

use std::path::Path;

use tch::{CModule, Device, IValue, Kind, Tensor};
use vidtok_core::{Codec, FrameRate, Reconstructor};

use crate::codecs::WINDOW;
use crate::codecs::reconstructors::{Coded, WholeClip};
use crate::error::EvalError;
use crate::protocol::file_sha256;

/// Two TorchScript files: the encoder maps clips `[b, 3, t, h, w]` in [-1, 1] to a latent, the decoder maps it back.
///
/// If the encoder returns a tuple, its first tensor goes to the decoder.
#[derive(Debug)]
pub struct TorchScript {
    name: String,
    encoder: CModule,
    decoder: CModule,
    device: Device,
    kind: Kind,
    sha256: String,
}

impl TorchScript {
    /// Loads both files; `kind` is the number type of the clips that they get.
    ///
    /// # Errors
    /// If a file cannot be read or is not TorchScript.
    pub fn open(encoder: &Path, decoder: &Path, device: Device, kind: Kind) -> Result<Self, EvalError> {
        let load = |path: &Path| {
            let module = CModule::load_on_device(path, device);
            let mut module = module.map_err(|source| EvalError::TorchScript { path: path.to_owned(), source })?;
            module.set_eval();
            Ok::<_, EvalError>(module)
        };
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = encoder.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let name = folder.unwrap_or_else(|| stem(encoder));
        let sha256 = format!("{} {}", file_sha256(encoder)?, file_sha256(decoder)?);
        Ok(Self { name, encoder: load(encoder)?, decoder: load(decoder)?, device, kind, sha256 })
    }

    fn code(&self, clip: &Tensor) -> Coded {
        let latent = first_tensor(self.encoder.method_is("forward", &[IValue::Tensor(self.prepared(clip))])?)?;
        let clip = first_tensor(self.decoder.method_is("forward", &[IValue::Tensor(latent)])?)?;
        Ok((clip.to_kind(Kind::Float), None))
    }

    fn prepared(&self, clip: &Tensor) -> Tensor {
        clip.to_device(self.device).to_kind(self.kind).contiguous()
    }
}

fn first_tensor(value: IValue) -> Result<Tensor, String> {
    match value {
        IValue::Tensor(tensor) => Ok(tensor),
        IValue::Tuple(values) | IValue::GenericList(values) => {
            values.into_iter().next().ok_or_else(|| "returned an empty list".to_owned()).and_then(first_tensor)
        }
        IValue::TensorList(tensors) => tensors.into_iter().next().ok_or_else(|| "returned an empty list".to_owned()),
        _ => Err("returned something other than tensors".to_owned()),
    }
}

impl Codec for TorchScript {
    fn name(&self) -> &str {
        &self.name
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("sha256", self.sha256.clone()), ("dtype", format!("{:?}", self.kind))]
    }

    fn window(&self) -> usize {
        WINDOW
    }

    fn start(&self, clip: [i64; 3], _frame_rate: FrameRate) -> Box<dyn Reconstructor + '_> {
        Box::new(WholeClip::new(&self.name, clip[0], |clip: &Tensor| self.code(clip)))
    }
}
