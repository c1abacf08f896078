//! The memory of FSQ's loss with the largest released codebook. Alone in its process, because it measures the process's
//! peak.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use tch::{Device, Kind, Tensor};
use vidtok_core::{Quantizer, SingleProcess};
use vidtok_quant::{Fsq, FsqConfig};

/// An entry of `/proc/self/status`, in MB.
fn megabytes(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024.0 / 1e6
}

#[test]
fn the_loss_of_262144_codes_at_5120_positions_takes_less_than_200_mb() {
    let fsq = Fsq::new(&FsqConfig::new([8; 6])).unwrap();
    let step = |positions: i64| {
        tch::manual_seed(0);
        let encoded = Tensor::randn([1, 6, 1, 1, positions], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let loss = fsq.regularize(&encoded, 0, &SingleProcess).loss;
        loss.backward();
        assert!(encoded.grad().abs().sum(Kind::Float).double_value(&[]) > 0.0);
    };
    step(8); // libtorch allocates once, at first use
    let before = megabytes("VmRSS");
    step(5120);
    let extra = megabytes("VmHWM") - before;
    assert!(extra < 200.0, "{extra} MB");
}
