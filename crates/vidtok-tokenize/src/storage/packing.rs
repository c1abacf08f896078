//! Codebook indices in as few bits as they need.
//!
//! Index i of width k takes the bits i*k to i*k + k - 1 of the stream, its lowest bit first. Bit n of the stream is bit
//! n % 8 of byte n / 8, counted from the lowest. The last byte is padded with zeros. This is NumPy's `packbits(...,
//! bitorder="little")`.

/// The widest index, in bits: indices are below 2^31.
const MAX_BITS: u32 = 31;

/// The bits per index of a codebook with this many codes, from 1 to 31.
#[must_use]
pub fn bits_per_index(codes: i64) -> u32 {
    let largest = (codes - 1).max(1).unsigned_abs();
    (u64::BITS - largest.leading_zeros()).clamp(1, MAX_BITS)
}

/// The bytes that this many indices of `bits` bits take; on overflow, a number that is larger than any file.
#[must_use]
pub fn packed_bytes(count: u64, bits: u32) -> u64 {
    count.saturating_mul(bits.into()).div_ceil(8)
}

/// Packs a stream of indices.
#[derive(Clone, Debug)]
pub struct Packer {
    bits: u32,
    /// Bits that do not fill a byte yet.
    pending: u64,
    /// The number of those bits.
    filled: u32,
}

impl Packer {
    /// A packer for indices of `bits` bits, from 1 to 31.
    #[must_use]
    pub fn new(bits: u32) -> Self {
        Self { bits: bits.clamp(1, MAX_BITS), pending: 0, filled: 0 }
    }

    /// Appends indices, and returns the bytes that are now complete. Bits of an index above the width are dropped.
    #[must_use]
    pub fn push(&mut self, indices: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mask = (1_u64 << self.bits) - 1;
        for index in indices {
            self.pending |= (u64::from(index) & mask) << self.filled;
            self.filled += self.bits;
            while self.filled >= 8 {
                bytes.push((self.pending & 0xff) as u8);
                self.pending >>= 8;
                self.filled -= 8;
            }
        }
        bytes
    }

    /// Returns the last byte, padded with zeros, if there are bits that do not fill one.
    #[must_use]
    pub fn finish(self) -> Option<u8> {
        (self.filled > 0).then_some((self.pending & 0xff) as u8)
    }
}

/// Unpacks `count` indices of `bits` bits (1 to 31), the first of which begins at bit `start` of `bytes`. Bits past the
/// end are 0.
#[must_use]
pub fn unpack(bytes: &[u8], bits: u32, start: u64, count: usize) -> Vec<u32> {
    let bits = bits.clamp(1, MAX_BITS);
    let mut source = bytes.iter().skip((start / 8) as usize);
    let mut next = || u64::from(source.next().copied().unwrap_or(0));
    let skipped = (start % 8) as u32;
    let (mut pending, mut filled) = if skipped > 0 { (next() >> skipped, 8 - skipped) } else { (0, 0) };
    let mask = (1_u64 << bits) - 1;
    let index = |_| {
        while filled < bits {
            pending |= next() << filled;
            filled += 8;
        }
        let index = (pending & mask) as u32;
        pending >>= bits;
        filled -= bits;
        index
    };
    (0..count).map(index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pseudorandom indices below 2^bits, including the largest and the smallest.
    fn indices(bits: u32, count: usize) -> Vec<u32> {
        let mut state = u64::from(bits);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32 & ((1 << bits) - 1)
        };
        let mut all: Vec<u32> = (0..count).map(|_| next()).collect();
        if let [first, .., last] = all.as_mut_slice() {
            (*first, *last) = ((1 << bits) - 1, 0);
        }
        all
    }

    fn pack(indices: &[u32], bits: u32, chunk: usize) -> Vec<u8> {
        let mut packer = Packer::new(bits);
        let mut bytes: Vec<u8> =
            indices.chunks(chunk.max(1)).flat_map(|chunk| packer.push(chunk.iter().copied())).collect();
        bytes.extend(packer.finish());
        bytes
    }

    #[test]
    fn indices_packed_in_any_chunks_are_unpacked_from_any_start() {
        for bits in 1..=31 {
            for count in [0, 1, 2, 7, 8, 9, 64, 133] {
                let indices = indices(bits, count);
                let bytes = pack(&indices, bits, 1000);
                assert_eq!(bytes.len() as u64, packed_bytes(count as u64, bits));
                assert!([1, 3, 10].iter().all(|&chunk| pack(&indices, bits, chunk) == bytes), "{bits} {count}");
                for start in [0, 1, 5, count / 2] {
                    let rest = indices.get(start..).unwrap_or_default();
                    let found = unpack(&bytes, bits, start as u64 * u64::from(bits), rest.len());
                    assert_eq!(found, rest, "{bits} {count} {start}");
                }
            }
        }
    }

    #[test]
    fn the_lowest_bit_comes_first() {
        assert_eq!(pack(&[0xabc, 0x123], 12, 1), [0xbc, 0x3a, 0x12]);
        assert_eq!(pack(&[1, 0, 1], 1, 2), [0b101]);
        assert_eq!(pack(&[0x3_ffff, 0], 18, 2), [0xff, 0xff, 0x03, 0, 0]);
    }

    #[test]
    fn the_width_is_that_of_the_largest_index() {
        let widths = [(2, 1), (3, 2), (4, 2), (4096, 12), (4097, 13), (32_768, 15), (262_144, 18), (i64::MAX, 31)];
        for (codes, bits) in widths {
            assert_eq!(bits_per_index(codes), bits, "{codes}");
        }
        assert_eq!((bits_per_index(1), bits_per_index(0)), (1, 1));
    }
}
