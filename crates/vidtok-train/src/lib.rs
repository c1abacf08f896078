//! Training of video tokenizers.
//!
//! A [`Trainer`] takes steps on batches of clips and knows nothing of files; [`train`] runs one from a configuration:
//! data, log, checkpoints, and what a person looks at in the end.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok::{Config, Tokenizer};
//! use vidtok_loss::L1;
//! use vidtok_train::{TrainConfig, Trainer};
//!
//! let config = Config::parse(
//!     r#"
//!     name = "tiny"
//!     [model]
//!     causality = "v1.0"
//!     ch = 8
//!     ch_mult = [1, 1]
//!     num_res_blocks = 1
//!     spatial_down = [0]
//!     spatial_up = [1]
//!     temporal_down = [0]
//!     temporal_up = [1]
//!     [quantizer]
//!     kind = "kl"
//!     z_channels = 4
//!     [train]
//!     steps = 100
//!     batch_size = 2
//!     optimizer.lr = 1e-3
//!     [train.data]
//!     frames = 5
//!     size = [16, 16]
//!     "#,
//! )?;
//! let train = TrainConfig::of(&config)?;
//! let mut trainer = Trainer::new(Tokenizer::init(config, 0, Device::Cpu)?, Box::new(L1), train);
//! let clips = Tensor::zeros([2, 3, 5, 16, 16], (Kind::Float, Device::Cpu));
//! let report = trainer.step(&clips)?;
//! assert!(report.loss.is_finite());
//! # Ok::<(), vidtok_train::TrainError>(())
//! ```

mod adam;
mod config;
mod error;
mod example_video;
mod run;
mod run_folder;
mod schedule;
mod trainer;

pub use adam::{Adam, AdamConfig};
pub use config::{DataConfig, TrainConfig};
pub use error::TrainError;
pub use run::{Observer, Start, Summary, train};
pub use schedule::{Decay, Schedule};
pub use trainer::{StepReport, Trainer};
