//! Pretrained tokenizers that are small enough to be compiled into a program.
//!
//! Each is a one-file model in float16, with a model card beside it.
//!
//! ```
//! let model = vidtok_models::DEFAULT;
//! assert!(model.bytes.len() <= 8 << 20 && vidtok_models::find(model.name) == Some(model));
//! ```

/// A model that is compiled into the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuiltIn {
    /// The model's name, as its configuration has it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub description: &'static str,
    /// The one-file model, in the safetensors format.
    pub bytes: &'static [u8],
    /// The model card, in Markdown.
    pub card: &'static str,
}

macro_rules! built_in {
    ($name:literal, $description:literal) => {
        BuiltIn {
            name: $name,
            description: $description,
            bytes: include_bytes!(concat!("../", $name, ".safetensors")),
            card: include_str!(concat!("../", $name, ".md")),
        }
    };
}

/// The model to use where none is named.
pub const DEFAULT: BuiltIn = ALL[0];

/// All models.
pub const ALL: [BuiltIn; 1] = [built_in!(
    "vidtok_lite_kl_causal_488_16chn",
    "continuous, 16 channels, 4 x 8 x 8, causal, real time on two CPU cores"
)];

/// The model of a name.
#[must_use]
pub fn find(name: &str) -> Option<BuiltIn> {
    ALL.into_iter().find(|model| model.name == name)
}
