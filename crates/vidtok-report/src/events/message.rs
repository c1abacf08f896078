//! The field types of protocol buffers that events need
//! (<https://protobuf.dev/programming-guides/encoding/>).

/// An encoded message, with fields in the order of the calls.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

/// The wire type of a field.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A non-negative int32, int64 or enum.
    pub(super) fn integer(self, field: u32, value: u64) -> Self {
        self.key(field, Wire::Varint).varint(value)
    }

    pub(super) fn double(self, field: u32, value: f64) -> Self {
        self.key(field, Wire::Fixed64).append(&value.to_le_bytes())
    }

    pub(super) fn float(self, field: u32, value: f32) -> Self {
        self.key(field, Wire::Fixed32).append(&value.to_le_bytes())
    }

    /// Bytes or a string.
    pub(super) fn bytes(self, field: u32, value: &[u8]) -> Self {
        self.key(field, Wire::Length).varint(value.len() as u64).append(value)
    }

    pub(super) fn message(self, field: u32, value: Self) -> Self {
        self.bytes(field, &value.0)
    }

    fn key(self, field: u32, wire: Wire) -> Self {
        self.varint(u64::from(field) << 3 | wire as u64)
    }

    /// Seven bits a byte, lowest first; the top bit marks that more follow.
    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn append(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_match_the_published_examples() {
        // From the encoding guide: 150 in field 1, "testing" in field 2, and the first as a message in field 3.
        assert_eq!(Message::default().integer(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().bytes(2, b"testing").into_bytes(), b"\x12\x07testing");
        let nested = Message::default().message(3, Message::default().integer(1, 150));
        assert_eq!(nested.into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn varints_take_seven_bits_a_byte() {
        let length = |value| Message::default().varint(value).into_bytes().len();
        assert_eq!([0, 127, 128, 1 << 14, u64::MAX].map(length), [1, 1, 2, 3, 10]);
    }

    #[test]
    fn floats_are_little_endian() {
        assert_eq!(Message::default().float(2, 1.0).into_bytes(), [0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(Message::default().double(1, 1.0).into_bytes(), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    }
}
