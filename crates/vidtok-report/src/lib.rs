//! Reports of runs: TensorBoard events, curves, grids of images, and the HTML page of an evaluation.
//!
//! This crate knows nothing of networks or training, and each part is usable alone. Images are uint8 `[h, w, 3]` RGB
//! tensors.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use vidtok_report::{Curves, EventWriter, GridRow, GridSize, Series, difference, grid, save_png};
//!
//! let folder = tempfile::tempdir()?;
//!
//! // Clips [3, t, h, w] in [-1, 1].
//! let input = Tensor::rand([3, 17, 32, 32], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
//! let reconstruction = &input * 0.9;
//! let error = difference(&input, &reconstruction, 4.0)?;
//! let caption = "street.mp4: input, reconstruction, 4 x difference";
//! let row = GridRow { caption, clips: &[&input, &reconstruction, &error] };
//! let image = grid(&[row], GridSize::default())?;
//! save_png(folder.path().join("clips.png"), &image)?;
//!
//! // `tensorboard --logdir FOLDER` shows these.
//! let mut events = EventWriter::create(folder.path())?;
//! events.scalar("psnr/held_out", 100, 27.3)?;
//! events.image("clips", 100, &image)?;
//! events.flush()?;
//!
//! let psnr = Series::new("psnr/held_out", vec![(0, 8.1), (100, 27.3)]);
//! let curves = Curves::of_tags("a run", [psnr]);
//! curves.save_svg(folder.path().join("curves.svg"))?;
//! curves.save_png(folder.path().join("curves.png"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canvas;
mod curves;
mod error;
mod events;
mod grid;
mod page;
mod png;

pub use curves::{Curves, Panel, Series};
pub use error::ReportError;
pub use events::EventWriter;
pub use grid::{GridRow, GridSize, difference, grid};
pub use page::{EvaluationPage, PageMetric, PageModel, PageVideo};
pub use png::{encode_png, save_png};
