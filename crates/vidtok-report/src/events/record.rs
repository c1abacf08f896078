//! The framing of TFRecord files: length, checksum of the length, content, checksum of the content
//! (<https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>).

use crc::{CRC_32_ISCSI, Crc};

const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Bytes before the content of a record.
#[cfg(test)]
pub(super) const HEADER: usize = 12;

pub(super) fn frame(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), content, &masked_crc(content)].concat()
}

/// The format's checksum: CRC-32C, rotated and offset, since the CRC of data that contains CRCs is weak.
fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    CRC32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The contents of all records. Panics if the framing or a checksum is wrong.
    pub(in crate::events) fn contents(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let content = &bytes[HEADER..HEADER + length];
            assert_eq!(bytes[8..HEADER], masked_crc(&bytes[..8]));
            assert_eq!(bytes[HEADER + length..HEADER + length + 4], masked_crc(content));
            all.push(content.to_vec());
            bytes = &bytes[HEADER + length + 4..];
        }
        all
    }

    #[test]
    fn the_checksum_matches_the_published_check_value() {
        // The check value of CRC-32C, RFC 3720 B.4.
        assert_eq!(CRC32C.checksum(b"123456789"), 0xe306_9283);
        assert_eq!(CRC32C.checksum(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn records_are_framed_one_after_the_other() {
        let bytes = [frame(b""), frame(b"abc")].concat();
        assert_eq!(bytes.len(), 2 * 16 + 3);
        assert_eq!(contents(&bytes), [&b""[..], b"abc"]);
    }
}
