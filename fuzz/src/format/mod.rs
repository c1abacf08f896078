//! Formats as parts that can be changed each on its own, and put together again with right lengths and checksums.

mod safetensors;
mod tar;
mod zip;

pub(crate) use safetensors::{Entry, file as safetensors};
pub(crate) use tar::file as tar;
pub(crate) use zip::record as zip_record;

/// What a file, or a part of one, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Anything.
    Bytes,
    /// Lines of text with numbers.
    Text,
    /// A JSON value. Texts in it may be JSON too.
    Json,
    /// A JSON value a line.
    JsonLines,
    /// A length, a header of JSON, and bytes.
    Safetensors,
    /// A zip archive.
    Zip,
    /// A tar archive.
    Tar,
}

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) format: Format,
}

impl Part {
    fn new(bytes: impl Into<Vec<u8>>, format: Format) -> Self {
        Self { name: String::new(), bytes: bytes.into(), format }
    }
}

impl Format {
    /// The parts of a file; `None` if it has none, or is damaged.
    pub(crate) fn split(self, file: &[u8]) -> Option<Vec<Part>> {
        match self {
            Self::Bytes | Self::Text | Self::Json => None,
            Self::JsonLines => {
                Some(file.split(|&byte| byte == b'\n').map(|line| Part::new(line, Self::Json)).collect())
            }
            Self::Safetensors => safetensors::split(file),
            Self::Zip => zip::split(file),
            Self::Tar => tar::split(file),
        }
    }

    /// The file of these parts.
    pub(crate) fn join(self, parts: &[Part]) -> Vec<u8> {
        match self {
            Self::Safetensors => safetensors::join(parts),
            Self::Zip => zip::join(parts),
            Self::Tar => tar::join(parts),
            Self::Bytes | Self::Text | Self::Json | Self::JsonLines => {
                let parts: Vec<&[u8]> = parts.iter().map(|part| part.bytes.as_slice()).collect();
                parts.join(&b'\n')
            }
        }
    }

    /// Makes checksums right after bytes were changed anywhere.
    pub(crate) fn repair(self, file: &mut [u8]) {
        if self == Self::Tar {
            tar::repair(file);
        }
    }
}
