//! The machine's peak rate: products of large float32 matrices.

use std::time::Instant;

use tch::{Device, Kind, Tensor};

const SIDES: [i64; 2] = [1024, 1536];
/// Repeats for each side; the first ones wake threads and warm caches.
const REPEATS: usize = 4;

/// The floating-point operations a second of the fastest product, on libtorch's threads.
pub(crate) fn flops_a_second() -> f64 {
    let quickest = SIDES.map(|side| {
        let [a, b] = [(); 2].map(|()| Tensor::rand([side, side], (Kind::Float, Device::Cpu)));
        let seconds = (0..REPEATS).map(|_| {
            let start = Instant::now();
            let _ = a.matmul(&b);
            start.elapsed().as_secs_f64()
        });
        2.0 * (side as f64).powi(3) / seconds.fold(f64::INFINITY, f64::min)
    });
    quickest.into_iter().fold(0.0, f64::max)
}
