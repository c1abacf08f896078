//! The native part of the Python package `vidtok`. Its Python part, in `python/vidtok`, is what users see.
//!
//! Tensors cross as DLPack capsules (`dlpack`), and computations run in threads of their own (`worker`).

mod chunks;
mod dataset;
mod dlpack;
mod encoded;
mod error;
mod metrics;
mod progress;
mod stream;
mod tokenizer;
mod training;
mod worker;

use pyo3::prelude::*;

/// The native part of vidtok.
#[pymodule]
fn _vidtok(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<tokenizer::Tokenizer>()?;
    module.add_class::<encoded::Clip>()?;
    module.add_class::<stream::Encoder>()?;
    module.add_class::<stream::Decoder>()?;
    module.add_class::<training::Graph>()?;
    module.add_class::<dataset::TokenShard>()?;
    module.add_function(wrap_pyfunction!(dataset::open_dataset, module)?)?;
    module.add_function(wrap_pyfunction!(dataset::list_videos, module)?)?;
    module.add_function(wrap_pyfunction!(metrics::frame_metric, module)?)?;
    module.add_function(wrap_pyfunction!(worker::shut_down, module)?)?;
    let py = module.py();
    module.add("VidTokError", py.get_type::<error::VidTokError>())?;
    module.add("ModelError", py.get_type::<error::ModelError>())?;
    module.add("InputError", py.get_type::<error::InputError>())?;
    module.add("VideoError", py.get_type::<error::VideoError>())?;
    module.add("DatasetError", py.get_type::<error::DatasetError>())?;
    module.add("MemoryLimitError", py.get_type::<error::MemoryLimitError>())?;
    module.add("StreamClosedError", py.get_type::<error::StreamClosedError>())
}
