"""Encoded clips."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple, Optional

import torch

from ._native import take


class Padding(NamedTuple):
    """The padding that was added to a clip before it was encoded."""

    front: int
    """Copies of the first frame before the clip."""
    back: int
    """Copies of the last frame after the clip; only in streams of unknown length."""
    bottom: int
    """Copies of the last row."""
    right: int
    """Copies of the last column."""


class Window(NamedTuple):
    """The frames that a non-causal model takes at a time."""

    frames: int = 16
    """Frames of a window."""
    overlap: int = 0
    """Frames that a window shares with the previous one, where both are blended."""


class Encoded:
    """A clip as the tokenizer's latent, and how to decode it."""

    def __init__(self, native):
        self._native = native

    @property
    def latent(self) -> torch.Tensor:
        """The decoder's input, `[b, z, t, h, w]`: the mean or a sample of a continuous latent, the codes of a discrete one."""
        return take(self._native.latent)

    @property
    def logvar(self) -> Optional[torch.Tensor]:
        """The log-variance of a continuous latent, `[b, z, t, h, w]`."""
        return take(self._native.logvar)

    @property
    def indices(self) -> Optional[torch.Tensor]:
        """The codebook indices of a discrete latent, int32 `[b, t, h, w]`."""
        return take(self._native.indices)

    @property
    def padding(self) -> Padding:
        """The padding that was added before encoding, and that decoding crops."""
        return Padding(*self._native.padding)

    @property
    def window(self) -> Optional[Window]:
        """The window of a non-causal model; None for the whole clip."""
        return None if self._native.window is None else Window(*self._native.window)

    @property
    def frame_rate(self) -> Optional[Fraction]:
        """Frames per second of the video, if known; the average if the rate varies."""
        return None if self._native.frame_rate is None else Fraction(*self._native.frame_rate)

    def __repr__(self):
        what = "latent" if self._native.indices is None else "indices"
        return f"Encoded({what}={list(getattr(self, what).shape)}, padding={self.padding})"
