//! What a training loop needs beside losses: [`Adam`] and AdamW, [`Muon`] for kernels, [`Ema`] averages of the weights, and
//! the [`Schedule`] of the learning rate. All of their state can be saved and restored.
//!
//! ```
//! use tch::{Device, Kind};
//! use vidtok_optim::{Adam, AdamConfig, Ema, Optimizer, Schedule};
//! use vidtok_torch::{Init, ParamPath};
//!
//! let root = ParamPath::fresh(Device::Cpu);
//! let x = root.get("x", &[2], Init::Constant(1.0));
//! let parameters = root.finish()?;
//! parameters.set_requires_grad("", true);
//!
//! let (schedule, steps, lr) = (Schedule { warmup_steps: 10, ..Schedule::default() }, 200, 0.1);
//! let mut optimizer = Optimizer::new(Adam::new(AdamConfig::default(), parameters.trained()), None);
//! let mut ema = Ema::new(0.9, &parameters);
//! for step in 0..steps {
//!     optimizer.zero_grad();
//!     x.square().sum(Kind::Float).backward();
//!     let _norm = optimizer.clip_grad_norm(1.0);
//!     optimizer.step(lr * schedule.factor(step, steps));
//!     ema.update(&parameters);
//! }
//! assert!(x.norm().double_value(&[]) < 0.1);
//! let averaged = ema.with_averages(&parameters, || x.norm().double_value(&[]));
//! assert!(averaged < 0.1);
//! # Ok::<(), vidtok_torch::ParameterError>(())
//! ```

mod adam;
mod ema;
mod muon;
mod optimizer;
mod schedule;

pub use adam::{Adam, AdamConfig};
pub use ema::Ema;
pub use muon::{Muon, MuonConfig};
pub use optimizer::Optimizer;
pub use schedule::{Decay, Schedule};
