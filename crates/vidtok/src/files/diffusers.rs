//! Models as folders of the Python library diffusers, whose class `AutoencoderVidTok` has the published parameter names:
//! `config.json` and `diffusion_pytorch_model.safetensors`.
//!
//! The class computes causal models as version 1.1 always, so there are no folders of version 1.0.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vidtok_arch::{ArchConfig, Causality, Patch, Resample};
use vidtok_core::{one_line, write_atomically};
use vidtok_quant::{FsqConfig, KlConfig, QuantizerConfig};
use vidtok_torch::write_tensors;

use crate::config::Config;
use crate::error::Error;
use crate::latent_statistics::LatentStatistics;
use crate::tokenizer::Tokenizer;

const CLASS: &str = "AutoencoderVidTok";
const CONFIG: &str = "config.json";
/// Files with the weights, of which the first that exists is read. The first is written.
const WEIGHTS: [&str; 3] =
    ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bin"];
/// The levels of every channel of the class's FSQ.
const LEVELS: i64 = 8;

/// The arguments of the Python class, with its defaults, and the statistics of the latent as other classes call them.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Arguments {
    #[serde(rename = "_class_name")]
    class: String,
    in_channels: i64,
    out_channels: i64,
    ch: i64,
    ch_mult: Vec<i64>,
    z_channels: i64,
    double_z: bool,
    num_res_blocks: i64,
    spatial_ds: Option<Vec<usize>>,
    spatial_us: Option<Vec<usize>>,
    tempo_ds: Option<Vec<usize>>,
    tempo_us: Option<Vec<usize>>,
    regularizer: String,
    codebook_size: i64,
    is_causal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    latents_mean: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latents_std: Option<Vec<f64>>,
    /// The inverse of the standard deviation over all channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    scaling_factor: Option<f64>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            class: String::new(),
            in_channels: 3,
            out_channels: 3,
            ch: 128,
            ch_mult: vec![1, 2, 4, 4],
            z_channels: 4,
            double_z: true,
            num_res_blocks: 2,
            spatial_ds: None,
            spatial_us: None,
            tempo_ds: None,
            tempo_us: None,
            regularizer: "kl".to_owned(),
            codebook_size: 262_144,
            is_causal: true,
            latents_mean: None,
            latents_std: None,
            scaling_factor: None,
        }
    }
}

/// The configuration in a folder, and the file with its weights.
pub(crate) fn read(folder: &Path) -> Result<(Config, PathBuf), Error> {
    let path = folder.join(CONFIG);
    let wrong = |problem: String| Error::Diffusers { path: path.clone(), problem: one_line(&problem) };
    let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => wrong("not there, so that the folder is no model".to_owned()),
        _ => wrong(error.to_string()),
    })?;
    let arguments: Arguments = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let name = folder.canonicalize().ok().and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()));
    let config = arguments.config(name.unwrap_or_else(|| CLASS.to_owned())).map_err(wrong)?;
    config.model.validate().map_err(|error| wrong(error.to_string()))?;
    config.quantizer.validate().map_err(|error| wrong(error.to_string()))?;
    let weights = WEIGHTS.map(|name| folder.join(name)).into_iter().find(|path| path.exists());
    Ok((config, weights.ok_or_else(|| wrong(format!("there are no weights beside it: expected {}", WEIGHTS[0])))?))
}

impl Tokenizer {
    /// Writes the model as a folder of the Python library diffusers, for `AutoencoderVidTok.from_pretrained`. Each file is
    /// written atomically, the configuration last.
    ///
    /// # Errors
    /// If the class cannot compute this model (version 1.0, small networks, other levels than 8), or a file cannot be
    /// written.
    pub fn save_diffusers(&self, folder: impl AsRef<Path>) -> Result<(), Error> {
        let folder = folder.as_ref();
        let cannot =
            |problem: &str| Error::NotForDiffusers { name: self.config().name.clone(), problem: problem.into() };
        let arguments = Arguments::new(self.config()).map_err(cannot)?;
        let path = folder.join(CONFIG);
        let file = |source| Error::ConfigFile { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(file)?;
        let format = [("format", "pt".to_owned())];
        write_tensors(&folder.join(WEIGHTS[0]), self.parameters().iter(), format)?;
        let text = serde_json::to_string_pretty(&arguments).map_err(|error| file(error.into()))? + "\n";
        write_atomically(&path, |temporary| fs::write(temporary, &text)).map_err(file)
    }
}

impl Arguments {
    fn new(config: &Config) -> Result<Self, &'static str> {
        let Config { model, quantizer, latent_statistics, .. } = config;
        let small = ArchConfig {
            patch: Patch::default(),
            resample: Resample::default(),
            middle: true,
            linear: false,
            decoder: None,
            ..model.clone()
        };
        if model.causality == Causality::V1_0 {
            return Err("the class computes causal models as version 1.1, which gives other pixels than version 1.0");
        }
        if *model != small {
            return Err("the class has no options for small networks");
        }
        let (regularizer, z_channels, codebook_size) = match quantizer {
            QuantizerConfig::Kl(kl) => ("kl", kl.z_channels, Self::default().codebook_size),
            QuantizerConfig::Fsq(fsq) if fsq.levels.iter().all(|&level| level == LEVELS) => {
                ("fsq", fsq.levels.len() as i64, fsq.levels.iter().product())
            }
            QuantizerConfig::Fsq(_) => return Err("the class's FSQ has 8 levels in every channel"),
            QuantizerConfig::Custom(_) => return Err("the class has no custom quantizers"),
        };
        let statistics = latent_statistics.as_ref();
        Ok(Self {
            class: CLASS.to_owned(),
            ch: model.ch,
            ch_mult: model.ch_mult.clone(),
            z_channels,
            double_z: regularizer == "kl",
            num_res_blocks: model.num_res_blocks,
            spatial_ds: Some(model.spatial_down.clone()),
            spatial_us: Some(model.spatial_up.clone()),
            tempo_ds: Some(model.temporal_down.clone()),
            tempo_us: Some(model.temporal_up.clone()),
            regularizer: regularizer.to_owned(),
            codebook_size,
            is_causal: model.causality.is_causal(),
            latents_mean: statistics.map(|statistics| statistics.mean.clone()),
            latents_std: statistics.map(|statistics| statistics.std.clone()),
            scaling_factor: statistics.map(|statistics| 1.0 / statistics.std_of_all()),
            ..Self::default()
        })
    }

    fn config(self, name: String) -> Result<Config, String> {
        let expect = |what: &str, expected: &str, found: &str| match expected == found {
            true => Ok(()),
            false => Err(format!("{what}: expected {expected}, found {found}")),
        };
        expect("_class_name", CLASS, &self.class)?;
        expect("in_channels", "3", &self.in_channels.to_string())?;
        expect("out_channels", "3", &self.out_channels.to_string())?;
        let quantizer = match self.regularizer.as_str() {
            "kl" => QuantizerConfig::Kl(KlConfig { z_channels: self.z_channels, sample: true }),
            "fsq" => QuantizerConfig::Fsq(FsqConfig::new(vec![LEVELS; self.z_channels.clamp(0, 64) as usize])),
            other => return Err(format!("regularizer: expected kl or fsq, found {other:?}")),
        };
        expect("double_z", &(self.regularizer == "kl").to_string(), &self.double_z.to_string())?;
        let levels = self.ch_mult.len();
        let from_last = |below: [usize; 2]| below.into_iter().filter_map(|below| levels.checked_sub(below)).collect();
        let model = ArchConfig {
            causality: if self.is_causal { Causality::V1_1 } else { Causality::NonCausal },
            ch: self.ch,
            num_res_blocks: self.num_res_blocks,
            spatial_down: self.spatial_ds.unwrap_or_else(|| (0..levels.saturating_sub(1)).collect()),
            spatial_up: self.spatial_us.unwrap_or_else(|| (1..levels).collect()),
            temporal_down: self.tempo_ds.unwrap_or_else(|| from_last([2, 3])),
            temporal_up: self.tempo_us.unwrap_or_else(|| vec![1, 2]),
            ch_mult: self.ch_mult,
            patch: Patch::default(),
            resample: Resample::default(),
            middle: true,
            linear: false,
            decoder: None,
        };
        let latent_statistics = match (self.latents_mean, self.latents_std, self.scaling_factor) {
            (Some(mean), Some(std), _) => Some(LatentStatistics { mean, std }),
            (None, None, Some(factor)) => {
                let channels = self.z_channels.clamp(0, 65_536) as usize;
                Some(LatentStatistics { mean: vec![0.0; channels], std: vec![1.0 / factor; channels] })
            }
            (None, None, None) => None,
            _ => return Err("latents_mean and latents_std: expected both or neither".to_owned()),
        };
        Ok(Config { name, model, quantizer, latent_statistics, train: None })
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::config::tests::TINY;
    use crate::files::weights::Weights;
    use crate::stream::EncodeOptions;

    const TINY_FSQ: &str = include_str!("../../../../configs/tiny_fsq.toml");

    fn tokenizer(text: &str, causality: &str) -> Tokenizer {
        let config = Config::parse(&text.replace("\"v1.0\"", &format!("{causality:?}"))).unwrap();
        Tokenizer::init(config, 0, Device::Cpu).unwrap()
    }

    #[test]
    fn a_folder_holds_the_same_model() {
        for (text, causality) in [(TINY, "v1.1"), (TINY_FSQ, "v1.1"), (TINY, "noncausal")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("tiny_model");
            let tokenizer = tokenizer(text, causality);
            tokenizer.save_diffusers(&path).unwrap();
            let loaded = Tokenizer::open(&path, Device::Cpu, Kind::Float).unwrap();
            assert_eq!(loaded.config().name, "tiny_model");
            assert_eq!(loaded.config().model, tokenizer.config().model);
            assert!(loaded.config().quantizer.same_latents(&tokenizer.config().quantizer));
            let video = Tensor::rand([1, 3, 16, 16, 24], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
            let latent = |tokenizer: &Tokenizer| tokenizer.encode(&video, EncodeOptions::default()).unwrap().latent;
            assert!(latent(&loaded).equal(&latent(&tokenizer)), "{causality}");
        }
    }

    #[test]
    fn the_defaults_of_the_python_class_are_the_published_4x8x8_networks() {
        let arguments: Arguments = serde_json::from_str(r#"{"_class_name": "AutoencoderVidTok"}"#).unwrap();
        let published = include_str!("../../../../configs/vidtok_kl_causal_488_4chn_v1_1.toml");
        let published = Config::parse(published).unwrap();
        let config = arguments.config("defaults".to_owned()).unwrap();
        let sorted = |levels: &[usize]| {
            let mut levels = levels.to_vec();
            levels.sort_unstable();
            levels
        };
        let [a, b] = [&config, &published].map(|Config { model, .. }| {
            let levels = [&model.spatial_down, &model.spatial_up, &model.temporal_down, &model.temporal_up];
            (model.ch, model.ch_mult.clone(), model.num_res_blocks, levels.map(|levels| sorted(levels)))
        });
        assert_eq!(a, b);
        assert!(config.quantizer.same_latents(&published.quantizer));
    }

    #[test]
    fn statistics_are_stored_as_diffusers_spells_them() {
        let mut config = Config::parse(&TINY.replace("\"v1.0\"", "\"v1.1\"")).unwrap();
        let statistics = LatentStatistics { mean: vec![1.0, -1.0, 1.0, -1.0], std: vec![2.0; 4] };
        config.latent_statistics = Some(statistics.clone());
        let json = serde_json::to_value(Arguments::new(&config).unwrap()).unwrap();
        assert_eq!(json["latents_mean"], serde_json::json!([1.0, -1.0, 1.0, -1.0]));
        // The variance of all channels together is 4 within each and 1 between them.
        assert!((json["scaling_factor"].as_f64().unwrap() - 1.0 / 5.0_f64.sqrt()).abs() < 1e-12);
        let arguments: Arguments = serde_json::from_value(json).unwrap();
        assert_eq!(arguments.config(String::new()).unwrap().latent_statistics, Some(statistics));
        let scaled = Arguments { class: CLASS.into(), scaling_factor: Some(0.5), ..Arguments::default() };
        let statistics = scaled.config(String::new()).unwrap().latent_statistics.unwrap();
        assert_eq!((statistics.mean, statistics.std), (vec![0.0; 4], vec![2.0; 4]));
    }

    #[test]
    fn models_that_the_class_cannot_compute_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let lite = include_str!("../../../../configs/vidtok_lite_kl_causal_488_16chn.toml");
        let noncausal_lite = lite.replace("linear = true", "linear = false");
        let levels = TINY_FSQ.replace("[8, 8, 8]", "[8, 5, 8]");
        for (text, causality, word) in [
            (TINY, "v1.0", "version 1.0"),
            (&noncausal_lite, "noncausal", "small networks"),
            (&levels, "v1.1", "8 levels"),
        ] {
            let path = folder.path().join("model");
            let error = tokenizer(text, causality).save_diffusers(&path).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("tiny") | error.contains("lite"), "{error}");
            assert!(!path.exists());
        }
    }

    #[test]
    fn folders_that_hold_no_such_model_are_refused_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let error = || {
            let error = Weights::read(folder.path()).unwrap_err().to_string();
            assert_eq!(error.lines().count(), 1);
            error
        };
        assert!(error().contains("config.json: not there"));
        for (text, word) in [
            ("{", "EOF"),
            (r#"{"_class_name": "AutoencoderKL"}"#, "expected AutoencoderVidTok, found AutoencoderKL"),
            (r#"{"_class_name": "AutoencoderVidTok", "regularizer": "vq"}"#, "expected kl or fsq, found \"vq\""),
            (r#"{"_class_name": "AutoencoderVidTok", "ch": 0}"#, "ch"),
            (r#"{"_class_name": "AutoencoderVidTok", "z_channels": -1}"#, "z_channels"),
            (r#"{"_class_name": "AutoencoderVidTok", "latents_std": [1.0]}"#, "expected both or neither"),
            (r#"{"_class_name": "AutoencoderVidTok"}"#, "there are no weights"),
        ] {
            fs::write(folder.path().join(CONFIG), text).unwrap();
            assert!(error().contains(word), "{text}: {}", error());
        }
    }
}
