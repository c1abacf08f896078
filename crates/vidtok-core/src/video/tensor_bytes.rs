//! Tensors of numbers that lie as bytes.

use tch::{Kind, TchError, Tensor};

/// The tensor of this shape whose numbers are these bytes, on the CPU.
///
/// tch's own function reads as many bytes as the shape says, however many there are.
///
/// # Errors
/// If there are not as many bytes as the shape says, or libtorch has no memory for it.
pub fn tensor_from_bytes(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<Tensor, TchError> {
    let element = i64::try_from(kind.elt_size_in_bytes()).ok();
    let length = shape.iter().try_fold(element, |length, &n| (n >= 0).then(|| length?.checked_mul(n)));
    if length.flatten() != i64::try_from(bytes.len()).ok() {
        return Err(TchError::Shape(format!("{} bytes are no tensor {shape:?} of {kind:?}", bytes.len())));
    }
    Tensor::f_from_data_size(bytes, shape, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_a_tensor_only_of_their_own_length() {
        let bytes = [0, 0, 128, 63, 0, 0, 0, 64];
        let tensor = tensor_from_bytes(&bytes, &[1, 2], Kind::Float).unwrap();
        assert_eq!(Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap(), [1.0, 2.0]);
        assert_eq!(tensor_from_bytes(&[], &[2, 0], Kind::Float).unwrap().size(), [2, 0]);
        for shape in [&[3][..], &[1], &[], &[-2], &[-1, -2], &[1 << 62, 4], &[0], &[1 << 32, 1 << 32]] {
            assert!(tensor_from_bytes(&bytes, shape, Kind::Float).is_err(), "{shape:?}");
        }
        assert!(tensor_from_bytes(&bytes, &[2], Kind::Double).is_err());
    }
}
