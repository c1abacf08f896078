//! Tensors from raw bytes.

use tch::{Kind, TchError, Tensor};

/// The CPU tensor of this shape and kind whose elements are these bytes, in the machine's byte order.
///
/// Unlike `Tensor::f_from_data_size`, it checks the number of bytes.
///
/// # Errors
/// If the number of bytes does not fit the shape, or libtorch has no memory for the tensor.
pub fn tensor_from_bytes(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<Tensor, TchError> {
    let element = i64::try_from(kind.elt_size_in_bytes()).ok();
    let length = shape.iter().try_fold(element, |length, &n| (n >= 0).then(|| length?.checked_mul(n)));
    if length.flatten() != i64::try_from(bytes.len()).ok() {
        return Err(TchError::Shape(format!("{} bytes do not fit a {kind:?} tensor {shape:?}", bytes.len())));
    }
    Tensor::f_from_data_size(bytes, shape, kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_a_tensor_only_if_their_number_fits_the_shape() {
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
