//! The outputs of the reference implementation with formula weights, for each released model.

use safetensors::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

macro_rules! models {
    ($($name:literal),* $(,)?) => {
        const NAMES: &[&str] = &[$($name),*];
        const FILES: &[&[u8]] = &[$(include_bytes!(concat!("../data/", $name, ".safetensors"))),*];
    };
}

// In the order of the bits of data/keys.txt.
models! {
    "vidtok_fsq_causal_41616_262144",
    "vidtok_fsq_causal_41616_262144_v1_1",
    "vidtok_fsq_causal_488_262144",
    "vidtok_fsq_causal_488_32768",
    "vidtok_fsq_causal_488_32768_v1_1",
    "vidtok_fsq_causal_488_4096",
    "vidtok_fsq_causal_888_32768_v1_1",
    "vidtok_fsq_noncausal_41616_262144",
    "vidtok_fsq_noncausal_488_262144",
    "vidtok_kl_causal_288_8chn",
    "vidtok_kl_causal_288_8chn_v1_1",
    "vidtok_kl_causal_41616_16chn_v1_1",
    "vidtok_kl_causal_41616_4chn",
    "vidtok_kl_causal_444_4chn",
    "vidtok_kl_causal_488_16chn",
    "vidtok_kl_causal_488_16chn_v1_1",
    "vidtok_kl_causal_488_4chn",
    "vidtok_kl_causal_488_4chn_v1_1",
    "vidtok_kl_causal_488_8chn",
    "vidtok_kl_noncausal_41616_16chn",
    "vidtok_kl_noncausal_41616_4chn",
    "vidtok_kl_noncausal_488_16chn",
    "vidtok_kl_noncausal_488_4chn",
}

/// The reference outputs of a model, float32 on the CPU unless stated otherwise.
///
/// The weights are `weight("encoder...", .., 0)` and `weight("decoder...", .., 0)` at `ch` base channels; the input is
/// `unit("input", [1, 3, frames, height, width], 0)`. Implementations agree within 1e-4 absolute. An index may differ
/// where the bounded value is within 1e-4 of a rounding boundary.
#[derive(Debug)]
pub struct Golden {
    /// The number of input frames.
    pub frames: i64,
    /// The height of a frame in pixels.
    pub height: i64,
    /// The width of a frame in pixels.
    pub width: i64,
    /// The base channels of the network; the released models have 128.
    pub ch: i64,
    /// The encoder's output `[1, e, t, h, w]`, e = 2z (mean, log-variance) for KL, z for FSQ.
    pub encoder_out: Tensor,
    /// The decoder's input `[1, z, t, h, w]`: the mean for KL, the codes for FSQ.
    pub z: Tensor,
    /// The codebook indices, int32 `[1, t, h, w]`; `None` for KL.
    pub indices: Option<Tensor>,
    /// Every `stride`-th value of the flattened reconstruction `[1, 3, frames, height, width]`, from the first on.
    pub reconstruction_sample: Tensor,
    /// The stride of `reconstruction_sample`, coprime with all extents.
    pub stride: i64,
}

/// The names of the released models, sorted.
#[must_use]
pub fn names() -> &'static [&'static str] {
    NAMES
}

/// The reference outputs of the released model `name`.
///
/// # Panics
/// If no released model has that name.
#[must_use]
pub fn golden(name: &str) -> Golden {
    read(FILES[bit(name)]).unwrap_or_else(|error| panic!("data/{name}.safetensors: {error}"))
}

/// The index of `name` in [`names`].
pub(crate) fn bit(name: &str) -> usize {
    NAMES.binary_search(&name).unwrap_or_else(|_| panic!("no released model is called {name}"))
}

fn read(file: &[u8]) -> Result<Golden, Box<dyn std::error::Error>> {
    let (_, header) = SafeTensors::read_metadata(file)?;
    let metadata = header.metadata().as_ref().ok_or("no metadata")?;
    let number = |key: &str| -> Result<i64, Box<dyn std::error::Error>> {
        Ok(metadata.get(key).ok_or_else(|| format!("no {key} in the metadata"))?.parse()?)
    };
    let tensors = SafeTensors::deserialize(file)?;
    let tensor = |name: &str| -> Result<Tensor, Box<dyn std::error::Error>> {
        let view = tensors.tensor(name)?;
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::I32 => Kind::Int,
            other => return Err(format!("{name} is {other:?}").into()),
        };
        let shape: Vec<i64> = view.shape().iter().map(|&extent| extent as i64).collect();
        Ok(Tensor::from_data_size(view.data(), &shape, kind))
    };
    Ok(Golden {
        frames: number("frames")?,
        height: number("height")?,
        width: number("width")?,
        ch: number("ch")?,
        encoder_out: tensor("encoder_out")?,
        z: tensor("z")?,
        indices: tensors.names().contains(&"indices").then(|| tensor("indices")).transpose()?,
        reconstruction_sample: tensor("reconstruction_sample")?,
        stride: number("stride")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tensors_of_each_model_have_consistent_shapes() {
        assert_eq!(names().len(), 23);
        assert!(names().is_sorted());
        for name in names() {
            let golden = golden(name);
            let z = golden.z.size();
            let discrete = name.contains("_fsq_");
            let encoded = if discrete { z[1] } else { 2 * z[1] };
            assert_eq!(golden.encoder_out.size(), [1, encoded, z[2], z[3], z[4]], "{name}");
            assert_eq!(golden.indices.map(|i| i.size()), discrete.then(|| vec![1, z[2], z[3], z[4]]), "{name}");
            let pixels = 3 * golden.frames * golden.height * golden.width;
            let sample = (pixels + golden.stride - 1) / golden.stride;
            assert_eq!(golden.reconstruction_sample.size(), [sample], "{name}");
        }
    }

    #[test]
    fn the_mean_of_a_kl_model_is_its_latent() {
        let golden = golden("vidtok_kl_causal_444_4chn");
        assert!(golden.encoder_out.narrow(1, 0, 4).equal(&golden.z));
    }

    /// All FSQ levels of this model are 8: a code is (digit - 4) / 4, and the first channel is the lowest digit.
    #[test]
    fn indices_are_the_digits_of_the_codes() {
        let golden = golden("vidtok_fsq_causal_488_32768");
        let digits = golden.z * 4.0 + 4.0;
        let powers = Tensor::from_slice(&[1f32, 8.0, 64.0, 512.0, 4096.0]).view([1, 5, 1, 1, 1]);
        let indices = (digits * powers).sum_dim_intlist(1, false, Kind::Float).to_kind(Kind::Int);
        assert_eq!(Some(indices), golden.indices);
    }

    #[test]
    #[should_panic(expected = "no released model is called vidtok")]
    fn an_unknown_model_panics_with_its_name() {
        let _ = golden("vidtok");
    }
}
