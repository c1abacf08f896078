//! Tar archives: a header block and the contents for each member.

use super::{Format, Part};

const BLOCK: usize = 512;
/// The positions of the contents' size and of the header's checksum, both octal.
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// The position and the start of the magic number.
const MAGIC: (usize, &[u8]) = (257, b"ustar");

/// Alternating headers and contents.
pub(super) fn split(file: &[u8]) -> Option<Vec<Part>> {
    let (mut parts, mut rest) = (Vec::new(), file);
    while rest.first().is_some_and(|&byte| byte != 0) {
        let (header, after) = rest.split_at_checked(BLOCK)?;
        let digits = std::str::from_utf8(&header[SIZE]).ok()?.trim_matches([' ', '\0']);
        let size = usize::from_str_radix(digits, 8).ok()?;
        let contents = after.get(..size)?;
        let name = header.split(|&byte| byte == 0).next().unwrap_or_default();
        let format = if name.ends_with(b".json") { Format::Json } else { Format::Bytes };
        parts.extend([Part::new(header, Format::Bytes), Part::new(contents, format)]);
        rest = after.get(size.next_multiple_of(BLOCK)..)?;
    }
    (!parts.is_empty()).then_some(parts)
}

pub(super) fn join(parts: &[Part]) -> Vec<u8> {
    let mut file = Vec::new();
    for pair in parts.chunks(2) {
        let [header, contents] = pair else { break };
        let start = file.len();
        file.extend(&header.bytes);
        file.resize(start + BLOCK, 0);
        let size = format!("{:011o}\0", contents.bytes.len());
        file[start..][SIZE].copy_from_slice(size.as_bytes());
        file.extend(&contents.bytes);
        file.resize(file.len().next_multiple_of(BLOCK), 0);
    }
    file.resize(file.len() + 2 * BLOCK, 0);
    repair(&mut file);
    file
}

/// Corrects the checksums of all headers.
pub(super) fn repair(file: &mut [u8]) {
    let (magic, word) = MAGIC;
    for header in file.chunks_exact_mut(BLOCK).filter(|block| block[magic..].starts_with(word)) {
        header[CHECKSUM].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// An archive with these files.
pub(crate) fn file(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut parts = Vec::new();
    for (name, contents) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_mode(0o644);
        // This fails only for long names.
        let _ = header.set_path(name);
        parts.extend([Part::new(header.as_bytes().as_slice(), Format::Bytes), Part::new(*contents, Format::Bytes)]);
    }
    join(&parts)
}
