//! Distillation: a decoder learns to decode the latents of a larger model, the teacher.
//!
//! The student has the teacher's encoder and quantizer, which stay as they are, so both models read and write the same
//! latents. The decoder is trained on the reconstruction losses to the clip and to the teacher's reconstruction.

use std::path::PathBuf;

use tch::no_grad;
use vidtok::{Tokenizer, TokenizerBuilder};

use crate::config::teacher::TeacherConfig;
use crate::error::TrainError;

/// The prefixes of the parameters that make latents.
pub(crate) const LATENT_PARTS: [&str; 2] = ["encoder.", "regularization."];

/// A model whose latents a student decodes.
#[derive(Debug)]
pub struct Teacher {
    path: PathBuf,
    pub(crate) tokenizer: Tokenizer,
    /// The weight of the losses to its reconstruction.
    pub(crate) weight: f64,
}

impl Teacher {
    /// Loads the teacher of a configuration with `builder`.
    ///
    /// # Errors
    /// If the model cannot be loaded.
    pub fn open(config: &TeacherConfig, builder: &TokenizerBuilder) -> Result<Self, TrainError> {
        let tokenizer = builder.open(&config.model)?;
        Ok(Self { path: config.model.clone(), tokenizer, weight: config.weight })
    }

    /// Gives `student` the teacher's encoder and quantizer.
    ///
    /// # Errors
    /// If those of the configurations differ.
    pub(crate) fn copy_encoder_to(&self, student: &Tokenizer) -> Result<(), TrainError> {
        let (own, other) = (self.tokenizer.config(), student.config());
        if !own.model.has_encoder_of(&other.model) || own.quantizer != other.quantizer {
            return Err(self.differs("its encoder or quantizer has another shape than that of the configuration"));
        }
        no_grad(|| self.pairs(student).for_each(|(own, student)| student.shallow_clone().copy_(own)));
        Ok(())
    }

    /// Checks that `student` has the teacher's encoder and quantizer.
    ///
    /// # Errors
    /// If a parameter differs.
    pub(crate) fn check(&self, student: &Tokenizer) -> Result<(), TrainError> {
        let names = |tokenizer: &Tokenizer| -> Vec<String> {
            let all = tokenizer.parameters().names().map(str::to_owned);
            all.filter(|name| LATENT_PARTS.iter().any(|part| name.starts_with(part))).collect()
        };
        let same = names(&self.tokenizer) == names(student) && self.pairs(student).all(|(own, other)| own == other);
        if same { Ok(()) } else { Err(self.differs("its encoder differs from that of the model in training")) }
    }

    /// The parameters that make latents, of the teacher and of `student`.
    fn pairs<'a>(&'a self, student: &'a Tokenizer) -> impl Iterator<Item = (&'a tch::Tensor, &'a tch::Tensor)> {
        let own = self.tokenizer.parameters().iter();
        let own = own.filter(|(name, _)| LATENT_PARTS.iter().any(|part| name.starts_with(part)));
        own.filter_map(|(name, tensor)| Some((tensor, student.parameters().get(name)?)))
    }

    fn differs(&self, message: &str) -> TrainError {
        TrainError::Teacher { path: self.path.clone(), message: message.to_owned() }
    }
}
