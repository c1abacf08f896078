"""Token datasets, as `vidtok tokenize` writes them, for torch.utils.data.DataLoader."""

from __future__ import annotations

import bisect
import itertools
import json
import random
from os import PathLike, fspath
from typing import Any, Iterator, NamedTuple, Optional, Union

import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from ._native import _vidtok, take


class Sample(NamedTuple):
    """A stretch of a video's tokens."""

    key: str
    """The video's key in the dataset."""
    start: int
    """The first latent frame."""
    tokens: torch.Tensor
    """The indices of a discrete model, int32 `[t, h, w]`, or the means of a continuous one, `[z, t, h, w]`."""
    logvar: Optional[torch.Tensor]
    """The log-variances of a continuous model, `[z, t, h, w]`."""


class TokenDataset(Dataset):
    """The videos of a token dataset in order.

    With `frames`, an item is that many latent frames from a random place (or from `start` in `read`), and shorter videos are
    left out; without it, a whole video. Items are dictionaries of tensors, which torch's collate function can batch when
    all have the same size. Files are opened where they are read, so workers of a DataLoader share nothing.
    """

    def __init__(self, folder: Union[str, PathLike], *, frames: Optional[int] = None):
        self.folder = fspath(folder)
        self.frames = frames
        paths, settings = _vidtok.open_dataset(self.folder)
        self.settings: dict[str, Any] = json.loads(settings)
        """The dataset's settings, `dataset.json`."""
        self._paths = [fspath(path) for path in paths]
        self._videos: list[tuple[int, int, dict[str, Any]]] = []
        for shard, path in enumerate(self._paths):
            for index, text in enumerate(_vidtok.TokenShard(self.folder, path).videos()):
                video = json.loads(text)
                if frames is None or video["tokens"][0] >= frames:
                    self._videos.append((shard, index, video))
        self._open: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._videos)

    def video(self, item: int) -> dict[str, Any]:
        """What is known of a video: its key, path, sizes, frame rate and padding."""
        return self._videos[item][2]

    def read(self, item: int, start: int = 0, frames: Optional[int] = None) -> Sample:
        """`frames` latent frames of a video from `start` on; all that follow by default."""
        shard, index, video = self._videos[item]
        length = video["tokens"][0]
        frames = length - start if frames is None else frames
        if start < 0 or frames < 1 or start + frames > length:
            raise IndexError(f"{video['key']}: latent frames {start} to {start + frames} of {length}")
        tensors = [take(capsule)[0] for capsule in self._shard(shard).tokens(index, start, frames)]
        return Sample(video["key"], start, tensors[0], tensors[1] if len(tensors) > 1 else None)

    def _shard(self, shard: int):
        if shard not in self._open:
            self._open[shard] = _vidtok.TokenShard(self.folder, self._paths[shard])
        return self._open[shard]

    def __getitem__(self, item: int) -> dict[str, Any]:
        length = self._videos[item][2]["tokens"][0]
        # Python's generator is seeded differently in each worker, and by the user in all.
        start = 0 if self.frames is None else random.randint(0, length - self.frames)
        return _as_item(self.read(item, start, self.frames))

    def __getstate__(self):
        return {**self.__dict__, "_open": {}}


class IterableTokenDataset(IterableDataset):
    """The same samples one after the other, shard by shard, which suits large datasets on slow disks.

    Every worker of a DataLoader, and every process of `rank` and `world_size`, takes its own shards. With `shuffle`, the
    shards come in a random order, and samples are drawn from a buffer of that many.
    """

    def __init__(
        self,
        folder: Union[str, PathLike],
        *,
        frames: Optional[int] = None,
        shuffle: int = 0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.dataset = TokenDataset(folder, frames=frames)
        self.shuffle, self.seed, self.rank, self.world_size = shuffle, seed, rank, world_size
        self.epoch = 0
        """Part of the seed: set it before each epoch for another order."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        worker = get_worker_info()
        worker, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        shards = sorted({shard for shard, _, _ in self.dataset._videos})
        order = random.Random(f"{self.seed} {self.epoch}")
        if self.shuffle:
            order.shuffle(shards)
        own = shards[self.rank * workers + worker :: self.world_size * workers]
        return _shuffled(self._samples(own), self.shuffle, random.Random(f"{self.seed} {self.epoch} {self.rank} {worker}"))

    def _samples(self, shards):
        starts = [shard for shard, _, _ in self.dataset._videos]
        for shard in shards:
            first, end = bisect.bisect_left(starts, shard), bisect.bisect_right(starts, shard)
            for item in range(first, end):
                yield self.dataset[item]
            self.dataset._open.pop(shard, None)


def _as_item(sample: Sample) -> dict[str, Any]:
    item = {"key": sample.key, "start": sample.start}
    if sample.logvar is None:
        return {**item, "indices": sample.tokens}
    return {**item, "mean": sample.tokens, "logvar": sample.logvar}


def _shuffled(samples, size, order):
    """The samples in an order that a buffer of `size` allows."""
    samples = iter(samples)
    buffer = list(itertools.islice(samples, size))
    if not buffer:
        yield from samples
    for sample in samples:
        place = order.randrange(len(buffer))
        buffer[place], sample = sample, buffer[place]
        yield sample
    order.shuffle(buffer)
    yield from buffer
