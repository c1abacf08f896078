"""Loads the native library, after torch, whose libraries it uses."""

import atexit
import os
from pathlib import Path

TORCH = "2.11"

# The pretrained models of the wheel.
os.environ.setdefault("VIDTOK_MODELS", str(Path(__file__).with_name("models")))

try:
    import torch
except ImportError as error:
    raise ImportError(f"vidtok needs torch {TORCH}: pip install torch=={TORCH}.0") from error

if torch.__version__.split("+")[0].split(".")[:2] != TORCH.split("."):
    raise ImportError(f"vidtok needs torch {TORCH}, found {torch.__version__}: pip install torch=={TORCH}.0")

from torch.utils.dlpack import from_dlpack, to_dlpack

from . import _vidtok
from ._vidtok import (
    DatasetError,
    InputError,
    MemoryLimitError,
    ModelError,
    StreamClosedError,
    VideoError,
    VidTokError,
    __version__,
)

# Computations that Ctrl-C has left behind must end before torch does.
atexit.register(_vidtok.shut_down)


def give(tensor, what, dimensions):
    """A torch tensor as the native library takes it. Both share memory."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{what}: expected a torch.Tensor, found {type(tensor).__name__}")
    if tensor.dim() != dimensions:
        raise InputError(f"{what}: expected {dimensions} dimensions, found {list(tensor.shape)}")
    if tensor.is_sparse or tensor.is_quantized or tensor.is_complex() or tensor.device.type not in ("cpu", "cuda"):
        raise InputError(f"{what}: expected a dense real tensor on a CPU or a CUDA device, found {tensor.dtype} {tensor.device}")
    return to_dlpack(tensor.detach())


def give_float(tensor, what, dimensions):
    """As `give`, for floating-point tensors."""
    capsule = give(tensor, what, dimensions)
    if not tensor.is_floating_point():
        raise InputError(f"{what}: expected floats, found {tensor.dtype}")
    return capsule


def take(capsule):
    """A tensor of the native library as a torch tensor. Both share memory."""
    return None if capsule is None else from_dlpack(capsule)


__all__ = [
    "DatasetError",
    "InputError",
    "MemoryLimitError",
    "ModelError",
    "StreamClosedError",
    "VidTokError",
    "VideoError",
    "__version__",
    "_vidtok",
    "give",
    "give_float",
    "take",
]
