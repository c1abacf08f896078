//! The models that are compiled into this program, with the feature `builtin`.

use vidtok::Weights;

/// A model that is compiled into this program.
pub(crate) struct BuiltIn {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    bytes: &'static [u8],
}

impl BuiltIn {
    pub(crate) fn weights(&self) -> Result<Weights, vidtok::Error> {
        Weights::built_in(self.name, self.bytes)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// All of them; the first is the default.
#[cfg(feature = "builtin")]
pub(crate) fn all() -> Vec<BuiltIn> {
    let built_in = |model: vidtok_models::BuiltIn| {
        let vidtok_models::BuiltIn { name, description, bytes, .. } = model;
        BuiltIn { name, description, bytes }
    };
    vidtok_models::ALL.map(built_in).into()
}

/// All of them; the first is the default.
#[cfg(not(feature = "builtin"))]
pub(crate) fn all() -> Vec<BuiltIn> {
    Vec::new()
}

/// The model of a name.
pub(crate) fn find(name: &str) -> Option<BuiltIn> {
    all().into_iter().find(|model| model.name == name)
}
