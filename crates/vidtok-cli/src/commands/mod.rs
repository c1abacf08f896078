//! One command a file.

pub(crate) mod convert;
pub(crate) mod decode;
pub(crate) mod detokenize;
pub(crate) mod encode;
pub(crate) mod evaluate;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod metrics;
pub(crate) mod reconstruct;
pub(crate) mod tokenize;
pub(crate) mod train;
pub(crate) mod verify;
