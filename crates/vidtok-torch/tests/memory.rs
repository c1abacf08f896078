//! The allocator of a whole process, which no other test shares.

use tch::{Device, Kind, Tensor};
use vidtok_torch::reuse_freed_memory;

#[test]
fn tensors_in_used_blocks_are_whole_and_their_own() {
    reuse_freed_memory();
    let cpu = (Kind::Float, Device::Cpu);
    let sizes = [100, 60_000, 70_000, 1 << 22, (1 << 22) - 9000, 1 << 20];
    let mut held = Vec::new();
    for round in 0..40 {
        let size = sizes[round % sizes.len()];
        held.push((round as f64, size, Tensor::full([size], round as f64, cpu)));
        if round % 3 == 2 {
            drop(held.remove(round / 3 % held.len()));
        }
        for (value, size, tensor) in &held {
            assert_eq!(tensor.sum(Kind::Double).double_value(&[]), value * *size as f64);
        }
    }
}
