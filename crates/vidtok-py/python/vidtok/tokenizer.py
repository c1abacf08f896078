"""The tokenizer."""

from __future__ import annotations

import os
import re
from os import PathLike, fspath
from typing import NamedTuple, Optional, Union

import torch

from ._native import _vidtok, give, give_float, take
from ._progress import Progress
from .encoded import Encoded, Padding, Window
from .streams import StreamDecoder, StreamEncoder

Path = Union[str, PathLike]
# OWNER/NAME, but no file.
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(?<!\.safetensors)(?<!\.ckpt)(?<!\.pth)(?<!\.pt)")


class LatentStatistics(NamedTuple):
    """The mean and the standard deviation of each channel of the latent, `[z]`."""

    mean: torch.Tensor
    std: torch.Tensor


class Tokenizer:
    """A video tokenizer: a model with its weights.

    Several threads may use one tokenizer at the same time. Computations do not hold Python's global lock, and Ctrl-C
    interrupts the wait for them.
    """

    def __init__(self, native):
        self._native = native

    @classmethod
    def from_pretrained(
        cls,
        model: Optional[Path] = None,
        *,
        device: Union[str, torch.device] = "cpu",
        dtype: torch.dtype = torch.float32,
        progress: bool = True,
    ) -> Tokenizer:
        """Opens a model.

        `model` is a one-file model, a folder of diffusers, the name of a built-in or published model, or
        `hf:OWNER/NAME[:FILE][@REVISION]` (or just `OWNER/NAME`) on the Hugging Face hub; by default the small built-in one.
        A bar shows the progress of a download.

        Raises `ModelError` if it cannot be found, downloaded or read.
        """
        name = None if model is None else fspath(model)
        if isinstance(model, str) and _REPOSITORY.fullmatch(model) and not os.path.exists(model):
            name = f"hf:{model}"
        bar = Progress(progress, unit="B", unit_scale=True)
        try:
            return cls(_vidtok.Tokenizer(name, str(device), str(dtype).removeprefix("torch."), bar))
        finally:
            bar.finish()

    @property
    def name(self) -> str:
        """The model's name."""
        return self._native.name

    @property
    def config(self) -> str:
        """The model's configuration as TOML."""
        return self._native.config

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the weights, in hexadecimal."""
        return self._native.weights_sha256

    @property
    def causality(self) -> str:
        """How the networks treat time: "v1.0", "v1.1" or "noncausal"."""
        return self._native.causality

    @property
    def compression(self) -> tuple[int, int, int]:
        """Frames, rows and columns that a latent position represents."""
        return self._native.compression

    @property
    def latent_channels(self) -> int:
        """Channels of the latent."""
        return self._native.latent_channels

    @property
    def codebook_size(self) -> Optional[int]:
        """The number of codes of a discrete model; None for a continuous one."""
        return self._native.codebook_size

    @property
    def latent_statistics(self) -> Optional[LatentStatistics]:
        """The statistics of the latent, if the model states them (`vidtok stats` adds them)."""
        found = self._native.latent_statistics
        return None if found is None else LatentStatistics(*(torch.tensor(values) for values in found))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The parameters by their published names. They share their memory with the model."""
        return {name: take(capsule) for name, capsule in self._native.parameters()}

    def module(self):
        """The networks as a `torch.nn.Module`, whose parameters share their memory with this tokenizer."""
        from .module import TokenizerModule

        return TokenizerModule(self)

    def encode(
        self, video: torch.Tensor, *, seed: Optional[int] = None, window: Optional[Window] = None
    ) -> Encoded:
        """Encodes a clip `[b, 3, t, h, w]` in [-1, 1] of any size.

        With a `seed`, a continuous latent is sampled; otherwise it is the mean. With a `window`, a non-causal model takes
        the clip in windows; otherwise as a whole.

        Raises `InputError` if the clip has another shape or values far outside [-1, 1].
        """
        return Encoded(self._native.encode(give_float(video, "video", 5), seed, window))

    def decode(
        self,
        encoded: Union[Encoded, torch.Tensor],
        *,
        padding: Optional[Padding] = None,
        window: Optional[Window] = None,
    ) -> torch.Tensor:
        """Decodes a clip to `[b, 3, t, h, w]`, float32 and about in [-1, 1].

        `encoded` is what `encode` returned, the latent `[b, z, t, h, w]` of a continuous model, or the indices
        `[b, t, h, w]` of a discrete one. For these, `padding` is what decoding crops; by default that of a clip of natural
        size, such as 17 frames of 64x64.
        """
        return take(self._native.decode(self._clip(encoded, padding, window)))

    def _clip(self, encoded, padding, window):
        if isinstance(encoded, Encoded):
            return encoded._native
        if isinstance(encoded, torch.Tensor) and encoded.dim() == 4:
            return self._native.clip(None, give(encoded, "indices", 4), padding, window)
        return self._native.clip(give_float(encoded, "latent", 5), None, padding, window)

    def reconstruct(self, video: torch.Tensor) -> torch.Tensor:
        """Encodes and decodes a clip `[b, 3, t, h, w]` in [-1, 1]; the result has its shape."""
        return self.decode(self.encode(video))

    def encode_video(
        self,
        path: Path,
        *,
        fps: Optional[float] = None,
        shorter_side: Optional[int] = None,
        crop: Optional[tuple[int, int]] = None,
        max_frames: Optional[int] = None,
        seed: Optional[int] = None,
        overlap: int = 0,
        max_memory: Optional[int] = None,
    ) -> Encoded:
        """Encodes a video file, or a folder of frames, chunk by chunk.

        `fps` drops frames to about this rate, `shorter_side` resizes, and `crop` (height, width) takes the centre.
        `max_memory` limits the memory of this process in bytes; by default nearly all that is free.

        Raises `VideoError` if the video cannot be read, and `MemoryLimitError` if the limit is too low for it.
        """
        sizes = (fps, shorter_side, crop, max_frames)
        return Encoded(self._native.encode_video(fspath(path), *sizes, seed, overlap, max_memory))

    def save_encoded(self, encoded: Encoded, path: Path, *, normalized: bool = False) -> None:
        """Writes an encoded clip to a `.safetensors` file, as `vidtok encode` does."""
        self._native.save_clip(encoded._native, fspath(path), normalized)

    def load_encoded(self, path: Path) -> Encoded:
        """Reads an encoded clip from a `.safetensors` file."""
        return Encoded(self._native.load_clip(fspath(path)))

    def save_pretrained(self, path: Path, *, origin: str = "", diffusers: bool = False) -> None:
        """Writes a one-file model (`.safetensors`), or a folder for diffusers' `AutoencoderVidTok`."""
        self._native.save(fspath(path), origin, diffusers)

    def stream_encoder(
        self, height: int, width: int, *, seed: Optional[int] = None, window: Optional[Window] = None
    ) -> StreamEncoder:
        """An encoder of frames of this size that arrive in chunks."""
        return StreamEncoder(self._native.stream_encoder(height, width, seed, window))

    def stream_decoder(
        self, *, padding: Optional[Padding] = None, window: Optional[Window] = None
    ) -> StreamDecoder:
        """A decoder of latents that arrive in chunks; `padding` is the stream encoder's."""
        return StreamDecoder(self._native.stream_decoder(padding, window))

    def restore_stream_encoder(self, path: Path) -> StreamEncoder:
        """Continues an encoder from its saved state."""
        return StreamEncoder(self._native.restore_encoder(fspath(path)))

    def restore_stream_decoder(self, path: Path) -> StreamDecoder:
        """Continues a decoder from its saved state."""
        return StreamDecoder(self._native.restore_decoder(fspath(path)))

    def tokenize(
        self,
        data: Path,
        out: Path,
        *,
        fps: Optional[float] = None,
        shorter_side: Optional[int] = None,
        crop: Optional[tuple[int, int]] = None,
        shard_videos: int = 256,
        format: str = "safetensors",
        max_memory: int = 4 << 30,
        decoders: int = 2,
        rank: int = 0,
        world_size: int = 1,
        progress: bool = True,
    ) -> tuple[int, int]:
        """Tokenizes a folder of videos, or those that a CSV lists, into a dataset; see `vidtok tokenize`.

        Returns how many videos and frames this call has tokenized. After an interruption, the same call continues. A bar shows
        the progress, and the logger `vidtok` warns of videos that are skipped.

        Raises `DatasetError` if the folder holds a dataset of other settings, or a file cannot be written.
        """
        settings = tokenize_settings(fps, shorter_side, crop, shard_videos, format, max_memory, decoders)
        bar = Progress(progress, unit="video")
        try:
            return self._native.tokenize((fspath(data), fspath(out)), settings, rank, world_size, bar)
        finally:
            bar.finish()

    def __repr__(self):
        return f"Tokenizer({self.name!r}, compression={self.compression}, latent_channels={self.latent_channels})"


def tokenize_settings(fps, shorter_side, crop, shard_videos, format, max_memory, decoders):
    """The settings of a token dataset as the native library takes them."""
    if format not in ("safetensors", "webdataset"):
        raise ValueError(f"format: expected safetensors or webdataset, found {format!r}")
    return fps, shorter_side, crop, shard_videos, format == "webdataset", max_memory, decoders
