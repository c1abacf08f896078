//! Training of video tokenizers.
//!
//! A [`Trainer`] takes steps on batches of clips. [`train`] runs one as a configuration says, stage by stage, with data
//! loading, validation, logs, curves and checkpoints to resume from.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok::{Config, Tokenizer};
//! use vidtok_data::Batch;
//! use vidtok_train::{Losses, TrainConfig, Trainer};
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
//! let losses = Losses::new(&train.loss, None, Device::Cpu);
//! let mut trainer = Trainer::new(Tokenizer::init(config, 0, Device::Cpu)?, losses, train);
//! let clips = Tensor::zeros([2, 3, 5, 16, 16], (Kind::Float, Device::Cpu));
//! let report = trainer.step(&[Batch { clips, names: vec!["black".to_owned(); 2] }])?;
//! assert!(report.loss.is_finite());
//! # Ok::<(), vidtok_train::TrainError>(())
//! ```

mod config;
mod error;
mod run;
mod step;

pub use config::data::{DataConfig, ImagesConfig, take_videos};
pub use config::losses::LossConfig;
pub use config::stages::{Stage, check_overrides, read_recipe};
pub use config::teacher::TeacherConfig;
pub use config::{CheckpointConfig, Precision, TrainConfig, ValidationConfig, ValidationVideos};
pub use error::TrainError;
pub use run::observer::{Observer, Start};
pub use run::options::RunOptions;
pub use run::plan::{MemoryEstimate, StagePlan, TrainingPlan};
pub use run::records::log::LogEntry;
pub use run::summary::{StageSummary, TrainingSummary};
pub use run::validation::{Scores, Validation, Validator};
pub use run::{check_processes, check_resume, resume, train};
pub use step::losses::{LossParts, Losses};
pub use step::report::{GanReport, StepReport};
pub use step::teacher::Teacher;
pub use step::trainer::Trainer;
pub use vidtok_optim::{Adam, AdamConfig, Decay, Ema, Muon, MuonConfig, Optimizer, Schedule};
