"""Metrics of two clips `[b, 3, t, h, w]` in [0, 1], as means over frames."""

import torch

from ._native import _vidtok, give_float


def _measure(name, reference, clip):
    return _vidtok.frame_metric(name, give_float(reference, "reference", 5), give_float(clip, "clip", 5))


def psnr(reference: torch.Tensor, clip: torch.Tensor) -> float:
    """The peak signal-to-noise ratio in dB."""
    return _measure("psnr", reference, clip)


def ssim(reference: torch.Tensor, clip: torch.Tensor) -> float:
    """The structural similarity, at most 1."""
    return _measure("ssim", reference, clip)


def ms_ssim(reference: torch.Tensor, clip: torch.Tensor) -> float:
    """The multi-scale structural similarity, at most 1."""
    return _measure("ms_ssim", reference, clip)
