//! Models by name ([`open`]): files, models that are compiled into the program (feature `builtin`), published ones, and
//! any other on the Hugging Face hub, which is called `hf:OWNER/NAME[:FILE][@REVISION]`, downloaded into the hub's cache,
//! and checked.
//!
//! The cache, the token and the server are those of the Python library `huggingface_hub`, with the same environment
//! variables ([`Hub::from_env`]). A download that was interrupted is resumed, and the SHA-256 of large files is compared
//! with the one that the hub states.
//!
//! ```no_run
//! use vidtok_hub::{Hub, HubModel};
//!
//! let model: HubModel = "hf:microsoft/VidTok:checkpoints/vidtok_kl_causal_488_4chn.ckpt".parse()?;
//! let path = Hub::from_env()?.fetch(&model, &mut ())?;
//! # Ok::<(), vidtok_hub::HubError>(())
//! ```

pub mod built_in;
mod choose;
mod error;
mod fetch;
mod hub;
mod name;
mod open;

pub use error::HubError;
pub use hf_hub::api::Progress;
pub use hub::Hub;
pub use name::HubModel;
pub use open::{is_name, open};
