//! The count of executed operations. It belongs to the process, so this test program has a single test.

use tch::{Device, Kind, Tensor};
use vidtok_torch::{
    CausalContext, Conv1d, Conv2d, Conv3d, ConvInit, ParamPath, Pointwise, RowEdges, TemporalConvConfig, attention,
    flops_executed,
};

fn executed(work: impl FnOnce() -> Tensor) -> u64 {
    let before = flops_executed();
    let _ = work();
    flops_executed() - before
}

#[test]
fn layers_count_two_operations_per_multiply_accumulate() {
    let x = Tensor::zeros([2, 5, 6, 7, 3], (Kind::Float, Device::Cpu));
    let positions = 2 * 5 * 6 * 7;
    let root = ParamPath::fresh(Device::Cpu);
    let halving = TemporalConvConfig { kernel: 3, stride: 2, padding: 0 };

    let conv = Conv2d::new(&root.sub("2d"), 3, 8, Conv2d::SAME, ConvInit::Default);
    assert_eq!(executed(|| conv.forward(&x)), 2 * positions * 8 * 3 * 9);
    // Four kernels of 2x2, each with an extra row and column of outputs that is cut off.
    assert_eq!(executed(|| conv.forward_upsampled(&x, RowEdges::Zeros)), 2 * 4 * (2 * 5 * 7 * 8) * 8 * 3 * 4);
    let conv = Conv1d::new(&root.sub("1d"), 3, 8, halving, ConvInit::Default);
    assert_eq!(executed(|| conv.forward(&x)), 2 * (2 * 2 * 6 * 7) * 8 * 3 * 3);
    let conv = Conv3d::new(&root.sub("3d"), 3, 8, halving, ConvInit::Default);
    assert_eq!(executed(|| conv.forward(&x)), 2 * (2 * 2 * 6 * 7) * 8 * 3 * 27);
    let pointwise = Pointwise::new(&root.sub("pointwise"), 3, 8, 2);
    assert_eq!(executed(|| pointwise.forward(&x)), 2 * positions * 8 * 3);

    // Tiles of 4x4 outputs from 6x6 points, where the Winograd kernel is faster.
    let x = Tensor::zeros([1, 1, 32, 32, 32], (Kind::Float, Device::Cpu));
    let conv = Conv2d::new(&root.sub("middle"), 32, 32, Conv2d::SAME, ConvInit::Default);
    let expected = if has_kernel() { 8 * 8 * 36 } else { 32 * 32 * 9 };
    assert_eq!(executed(|| conv.forward(&x)), 2 * expected * 32 * 32);

    if has_kernel() {
        let x = Tensor::zeros([1, 1, 32, 32, 64], (Kind::Float, Device::Cpu));
        let conv = Conv2d::new(&root.sub("wide"), 64, 64, Conv2d::SAME, ConvInit::Default);
        assert_eq!(executed(|| conv.forward(&x)), 2 * (8 * 8 * 36) * 64 * 64);
        // Nine products for the four pixels of a source. For the pairs of three frames after one, 3 * 4 - 2.
        let upsampled = executed(|| conv.forward_upsampled(&x, RowEdges::Zeros));
        assert_eq!(upsampled, 2 * (32 * 32 * 9) * 64 * 64);
        let causal = TemporalConvConfig { kernel: 3, stride: 1, padding: 0 };
        let x = Tensor::zeros([1, 4, 32, 32, 64], (Kind::Float, Device::Cpu));
        let conv = Conv3d::new(&root.sub("wide_3d"), 64, 64, causal, ConvInit::Default);
        let upsampled = executed(|| conv.forward_upsampled(&CausalContext::NONE, &x, RowEdges::Zeros));
        assert_eq!(upsampled, 2 * (3 * 4 - 2) * (8 * 8 * 36) * 64 * 64);
        // Four frames after two: four outputs from six products.
        let conv = Conv1d::new(&root.sub("wide_1d"), 64, 64, causal, ConvInit::Default);
        assert_eq!(executed(|| conv.forward_after(&CausalContext::Zeros(2), &x)), 2 * 6 * (32 * 32) * 64 * 64);
    }

    let [q, k] = [4, 10].map(|n| Tensor::zeros([2, 1, n, 16], (Kind::Float, Device::Cpu)));
    assert_eq!(executed(|| attention(&q, &k, &k)), 2 * (2 * 2 * 4 * 10 * 16));
}

/// Whether convolutions of so few channels take the Winograd kernel.
fn has_kernel() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && !is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}
