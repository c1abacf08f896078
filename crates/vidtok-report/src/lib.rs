//! What a person sees of a run: TensorBoard events, curves, grids of pictures, and the page of an evaluation.
//!
//! Nothing of networks or training is in here; each part is usable alone. Pictures are uint8 `[h, w, 3]` RGB tensors.
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
//! let apart = difference(&input, &reconstruction, 4.0)?;
//! let caption = "street.mp4: input, reconstruction, 4 x difference";
//! let row = GridRow { caption, clips: &[&input, &reconstruction, &apart] };
//! let picture = grid(&[row], GridSize::default())?;
//! save_png(folder.path().join("clips.png"), &picture)?;
//!
//! // `tensorboard --logdir FOLDER` shows these.
//! let mut events = EventWriter::create(folder.path())?;
//! events.scalar("psnr/held_out", 100, 27.3)?;
//! events.image("clips", 100, &picture)?;
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
mod image;
mod page;

pub use curves::{Curves, Panel, Series};
pub use error::ReportError;
pub use events::EventWriter;
pub use grid::{GridRow, GridSize, difference, grid};
pub use image::{encode_png, save_png};
pub use page::{EvaluationPage, PageMetric, PageModel, PageVideo};
