//! Safetensors files.

use tch::{Device, Tensor};
use vidtok_torch::{TensorFile, write_tensors};

use crate::{Format, Outcome, Target, format, scratch};

pub(super) const TARGET: Target = Target { name: "tensor_file", format: Format::Safetensors, seeds, read };

/// Files with every number type, a scalar and an empty tensor.
fn seeds() -> Vec<Vec<u8>> {
    let numbers: Vec<u8> = (0..48).map(|i| i * 5).collect();
    let types =
        [("F64", 8), ("F32", 4), ("F16", 2), ("BF16", 2), ("I64", 8), ("I32", 4), ("I16", 2), ("I8", 1), ("U8", 1)];
    let mut tensors: Vec<format::Entry<'_>> =
        types.iter().map(|&(name, size)| (name, name, &[2, 3][..], &numbers[..6 * size])).collect();
    tensors.extend([("truth", "BOOL", &[2][..], &[0, 1][..]), ("scalar", "F32", &[], &[0; 4])]);
    tensors.push(("nothing", "F32", &[2, 0, 3], &[]));
    vec![
        format::safetensors(&[("about", "a test"), ("other", "{\"a\": 1}")], &tensors),
        format::safetensors(&[], &tensors[1..2]),
    ]
}

/// Checks that tensors stay the same when they are written and read again.
fn read(file: &[u8]) -> Outcome {
    scratch::with_file("a.safetensors", file, |path| {
        let read = TensorFile::open(path)?;
        let tensors = read.tensors()?;
        assert!(read.names().iter().eq(tensors.keys()) && tensors.keys().all(|name| read.contains(name)));
        assert!(bytes_of_all(tensors.values()) <= file.len());
        let about = read.metadata("about").map(str::to_owned);
        let copy = path.with_file_name("b.safetensors");
        let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        write_tensors(&copy, named, about.iter().map(|about| ("about", about.clone())))?;
        let again = TensorFile::open(&copy)?;
        assert_eq!(again.metadata("about"), about.as_deref());
        assert_eq!(again.names(), read.names());
        for (name, tensor) in &tensors {
            let found = again.tensor(name)?;
            assert_eq!((found.kind(), found.size()), (tensor.kind(), tensor.size()), "{name:?}");
            assert!(bytes(&found) == bytes(tensor), "{name:?}");
        }
        Ok(())
    })
}

/// The bytes of a tensor in memory order, in which NaN equals NaN.
pub(super) fn bytes(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = vec![0; bytes_of_all([tensor])];
    tensor.to_device(Device::Cpu).contiguous().copy_data_u8(&mut bytes, tensor.numel());
    bytes
}

/// The total size of the tensors in bytes, without sharing.
pub(super) fn bytes_of_all<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> usize {
    tensors.into_iter().map(|tensor| tensor.numel() * tensor.kind().elt_size_in_bytes()).sum()
}
