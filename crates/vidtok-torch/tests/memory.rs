//! The allocator. It belongs to the process, so this test program has a single test.

use tch::{Device, Kind, Tensor};
use vidtok_torch::{peak_memory, reset_peak_memory, reuse_freed_memory};

#[test]
fn tensors_in_reused_blocks_keep_their_values_and_count_toward_the_peak() {
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
    drop(held);
    let before = reset_peak_memory();
    for bytes in [8 << 20, 4 << 20] {
        drop(Tensor::zeros([bytes], (Kind::Uint8, Device::Cpu)));
    }
    assert_eq!(peak_memory() - before, if cfg!(target_os = "linux") { 8 << 20 } else { 0 });
    assert_eq!(reset_peak_memory(), before);
}
