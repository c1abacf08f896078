//! File formats as parts that are mutated separately, and joined with correct lengths and checksums.

mod safetensors;
mod tar;
mod zip;

pub(crate) use safetensors::{Entry, file as safetensors};
pub(crate) use tar::file as tar;
pub(crate) use zip::record as zip_record;

/// The format of a file or of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Arbitrary bytes.
    Bytes,
    /// Lines of text that contain numbers.
    Text,
    /// A JSON value, whose strings may themselves be JSON.
    Json,
    /// Lines that are JSON values.
    JsonLines,
    /// A safetensors file: a length, a JSON header, and bytes.
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
    /// The parts of a file; `None` if the format has no parts or the file is damaged.
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

    /// The file that consists of these parts.
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

    /// Corrects checksums after arbitrary bytes were changed.
    pub(crate) fn repair(self, file: &mut [u8]) {
        if self == Self::Tar {
            tar::repair(file);
        }
    }
}
