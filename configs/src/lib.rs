//! The configurations of the published VidTok models, and where their checkpoints lie on the Hugging Face hub.
//!
//! ```
//! let model = vidtok_configs::find("vidtok_kl_causal_488_4chn").unwrap();
//! assert!(model.config.contains("causality = \"v1.0\""));
//! assert_eq!(model.checkpoint(), "checkpoints/vidtok_kl_causal_488_4chn.ckpt");
//! ```

/// The repository of the checkpoints on the hub.
pub const REPOSITORY: &str = "microsoft/VidTok";

/// A published model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The model's name.
    pub name: &'static str,
    /// Its configuration, in TOML.
    pub config: &'static str,
}

impl Published {
    /// The path of its checkpoint in [`REPOSITORY`]. Not all checkpoints of version 1.1 have been uploaded yet.
    #[must_use]
    pub fn checkpoint(&self) -> String {
        let folder = if self.name.ends_with("_v1_1") { "checkpoints/vidtok_v1_1" } else { "checkpoints" };
        format!("{folder}/{}.ckpt", self.name)
    }
}

macro_rules! published {
    ($($name:literal,)*) => {
        &[$(Published { name: $name, config: include_str!(concat!("../", $name, ".toml")) },)*]
    };
}

/// All published models, sorted by name.
pub const ALL: &[Published] = published![
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
];

/// The published model of a name.
#[must_use]
pub fn find(name: &str) -> Option<Published> {
    ALL.iter().copied().find(|model| model.name == name)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_configuration_of_a_published_model_is_listed_under_its_name() {
        let files = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
        let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".toml").map(str::to_owned)).collect();
        // The small models of this project are published with it.
        names.retain(|name| name.starts_with("vidtok_") && !name.starts_with("vidtok_lite_"));
        names.sort();
        assert_eq!(ALL.iter().map(|model| model.name).collect::<Vec<_>>(), names);
        for model in ALL {
            assert!(model.config.contains(&format!("name = {:?}", model.name)), "{}", model.name);
        }
    }
}
