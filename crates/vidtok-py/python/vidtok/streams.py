"""Clips that arrive in chunks, of any length, with the same result as whole clips.

A stream ends with `finish`, or with an error; then it raises `StreamClosedError`.
"""

from __future__ import annotations

from os import PathLike, fspath
from typing import NamedTuple, Optional, Union

import torch

from ._native import give, give_float, take


class Quantized(NamedTuple):
    """Latent frames of a stream."""

    latent: torch.Tensor
    """The decoder's input, `[b, z, t, h, w]`."""
    logvar: Optional[torch.Tensor]
    """The log-variance of a continuous latent."""
    indices: Optional[torch.Tensor]
    """The codebook indices of a discrete latent, int32 `[b, t, h, w]`."""


class StreamEncoder:
    """An encoder of frames that arrive in chunks: `Tokenizer.stream_encoder` makes one."""

    def __init__(self, native):
        self._native = native

    def push(self, frames: torch.Tensor) -> Optional[Quantized]:
        """Takes the next frames `[b, 3, t, h, w]` in [-1, 1], and returns the latent frames that are now complete, if any."""
        return _quantized(self._native.push(give_float(frames, "frames", 5)))

    def finish(self) -> Optional[Quantized]:
        """Ends the clip, and returns the latent frames that are left, if any."""
        return _quantized(self._native.finish())

    def save(self, path: Union[str, PathLike]) -> None:
        """Writes the state to a `.safetensors` file, from which `Tokenizer.restore_stream_encoder` continues."""
        self._native.save(fspath(path))


class StreamDecoder:
    """A decoder of latents that arrive in chunks: `Tokenizer.stream_decoder` makes one."""

    def __init__(self, native):
        self._native = native

    def push(self, latent: torch.Tensor) -> Optional[torch.Tensor]:
        """Takes the next latent frames `[b, z, t, h, w]`, and returns the frames `[b, 3, t, h, w]` that are now complete."""
        return take(self._native.push(give(latent, "latent", 5)))

    def finish(self, back: int = 0) -> Optional[torch.Tensor]:
        """Ends the clip without its last `back` frames, and returns the frames that are left, if any."""
        return take(self._native.finish(back))

    def save(self, path: Union[str, PathLike]) -> None:
        """Writes the state to a `.safetensors` file, from which `Tokenizer.restore_stream_decoder` continues."""
        self._native.save(fspath(path))


def _quantized(parts):
    return None if parts is None else Quantized(*map(take, parts))
