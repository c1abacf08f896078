//! PyTorch checkpoints.

use vidtok::Weights;
use vidtok::checkpoint::read_checkpoint;
use vidtok_torch::{TensorFile, write_tensors};

use super::tensor_file::{bytes, bytes_of_all};
use crate::{Format, Outcome, Target, repository, scratch};

pub(super) const TARGET: Target = Target { name: "checkpoint", format: Format::Zip, seeds, read };

/// Files that `torch.save` wrote.
pub(super) fn files() -> [Vec<u8>; 3] {
    ["types.pt", "lightning.ckpt", "lightning_protocol5.ckpt"]
        .map(|name| repository::bytes(&format!("crates/vidtok/src/files/checkpoint/testdata/{name}")))
}

/// The most bytes of tensors per byte of the file. Tensors may share memory, and strides of 0 repeat it.
const TENSOR_BYTES_PER_BYTE: usize = 8;

fn seeds() -> Vec<Vec<u8>> {
    files().into()
}

/// Checks that the tensors can be written as safetensors and read again.
fn read(file: &[u8]) -> Outcome {
    scratch::with_file("a.ckpt", file, |path| {
        let read = read_checkpoint(path)?;
        assert!(!read.tensors.is_empty());
        let size = bytes_of_all(read.tensors.values());
        assert!(size <= TENSOR_BYTES_PER_BYTE * file.len(), "{size} bytes of tensors in a file of {}", file.len());
        let converted = path.with_extension("safetensors");
        write_tensors(&converted, read.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)), [])?;
        let again = TensorFile::open(&converted)?.tensors()?;
        assert!(read.tensors.keys().eq(again.keys()));
        for (name, tensor) in &read.tensors {
            let found = &again[name];
            assert_eq!((found.kind(), found.size()), (tensor.kind(), tensor.size()), "{name:?}");
            assert!(bytes(found) == bytes(tensor), "{name:?}");
        }
        Weights::read(path)?;
        Ok(())
    })
}
