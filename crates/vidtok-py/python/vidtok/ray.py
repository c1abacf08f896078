"""Encoding videos on a Ray cluster.

`Encode` is a callable for `ray.data.Dataset.map_batches`, whose results go wherever Ray Data writes. `tokenize` makes a token
dataset, with the files that `vidtok tokenize` writes with as many threads as Ray gives a worker (`num_cpus`), to the byte. Videos and datasets may lie on any file system of pyarrow or fsspec.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pyarrow.fs as pafs
import torch

from ._native import _vidtok
from .tokenizer import Tokenizer, tokenize_settings

# The files of a dataset that are not of one shard.
_PLAN = ("dataset.json", "videos.jsonl")
_SUMMARY = (*_PLAN, "skipped.jsonl", "codes.safetensors", "manifest.json")
_STATISTICS = "statistics"
_SHARDS = "shards"


class Encode:
    """Encodes the videos that a column of a batch names.

    >>> paths = ray.data.from_items([{"path": "bucket/a.mp4"}, {"path": "bucket/b.mp4"}])
    >>> encoded = paths.map_batches(
    ...     vidtok.ray.Encode, fn_constructor_kwargs={"filesystem": s3}, batch_size=4, num_gpus=1,
    ...     compute=ray.data.ActorPoolStrategy(size=2)
    ... )
    >>> encoded.write_parquet("latents")

    It adds the columns `indices`, int32 `[t, h, w]`, or `latent` and `logvar`, float16 `[z, t, h, w]`; `padding` (front, back,
    bottom, right); `frame_rate` (0 if unknown); and `error`, which says why a video could not be used, with empty tensors, or
    is empty. `video` are the keyword arguments of `Tokenizer.encode_video`.
    """

    def __init__(
        self,
        model: Optional[str] = None,
        *,
        column: str = "path",
        filesystem: Any = None,
        device: Optional[str] = None,
        dtype: torch.dtype = torch.float32,
        video: Optional[dict[str, Any]] = None,
    ):
        self.tokenizer = Tokenizer.from_pretrained(model, device=device or _device(), dtype=dtype)
        self.column, self.filesystem, self.video = column, filesystem, video or {}

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        rows = [self._row(str(path)) for path in batch[self.column]]
        columns = {name: _column([row[name] for row in rows]) for name in rows[0]} if rows else {}
        return {**batch, **columns}

    def _row(self, path):
        is_discrete = self.tokenizer.codebook_size is not None
        row = {"padding": np.zeros(4, np.int64), "frame_rate": 0.0, "error": ""}
        empty = {"indices": np.zeros((0, 0, 0), np.int32)} if is_discrete else {
            name: np.zeros((self.tokenizer.latent_channels, 0, 0, 0), np.float16) for name in ("latent", "logvar")
        }
        filesystem, path = _resolve(path, self.filesystem)
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(path).name
            try:
                _download(filesystem, path, local)
                encoded = self.tokenizer.encode_video(local, **self.video)
            except (OSError, _vidtok.VidTokError) as error:
                return {**row, **empty, "error": f"{path}: {error}"}
        row |= {"padding": np.array(encoded.padding, np.int64), "frame_rate": float(encoded.frame_rate or 0)}
        if is_discrete:
            return {**row, "indices": encoded.indices[0].cpu().numpy()}
        return {**row, **{name: getattr(encoded, name)[0].half().cpu().numpy() for name in ("latent", "logvar")}}


def tokenize(
    model: Optional[str],
    data: str,
    out: str,
    *,
    filesystem: Any = None,
    out_filesystem: Any = None,
    concurrency: int = 1,
    num_cpus: float = 1,
    num_gpus: float = 0,
    device: Optional[str] = None,
    dtype: torch.dtype = torch.float32,
    fps: Optional[float] = None,
    shorter_side: Optional[int] = None,
    crop: Optional[tuple[int, int]] = None,
    shard_videos: int = 256,
    format: str = "safetensors",
    max_memory: int = 4 << 30,
    decoders: int = 2,
) -> dict[str, Any]:
    """Tokenizes the videos of the folder `data` into a dataset in the folder `out`, shard by shard on a Ray cluster.

    Shards are the unit of work: a worker downloads the videos of one, and uploads its file and then its statistics, which mark it
    as finished. Ray repeats the work of workers that die. After an interruption, the same call continues.

    Returns the number of shards that this call has tokenized, and the dataset's manifest.
    """
    import json

    import ray

    settings = tokenize_settings(fps, shorter_side, crop, shard_videos, format, max_memory, decoders)
    source, data = _resolve(data, filesystem)
    target, out = _resolve(out, out_filesystem)
    with tempfile.TemporaryDirectory() as temporary:
        plan, names = Path(temporary) / "plan", Path(temporary) / "names"
        _fetch_state(target, out, plan)
        folders = (str(names), str(plan))
        native = Tokenizer.from_pretrained(model, dtype=dtype)._native
        shards = native.plan_shards(folders, settings, _videos(source, data, names))
        for name in _PLAN:
            _upload(target, plan / name, f"{out}/{name}")
        texts = {name: (plan / name).read_bytes() for name in _PLAN}
        kwargs = dict(
            model=model, device=device, dtype=dtype, settings=settings, plan=texts, source=source, data=data, target=target, out=out
        )
        if shards:
            # A block for each shard, made here: workers may take all of the cluster.
            rows = [{"shard": shard, "videos": videos} for shard, videos in shards]
            done = ray.data.from_items(rows, override_num_blocks=len(shards)).map_batches(
                _TokenizeShards,
                fn_constructor_kwargs=kwargs,
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=concurrency),
                num_cpus=num_cpus,
                num_gpus=num_gpus,
            )
            skipped = sorted((row["shard"], row["skipped"]) for row in done.iter_rows())
            with open(plan / "skipped.jsonl", "a") as file:
                file.writelines(text for _, text in skipped)
        _fetch_state(target, out, plan)
        native.finish_dataset(folders, settings)
        for name in _SUMMARY:
            if (plan / name).exists():
                _upload(target, plan / name, f"{out}/{name}")
        return {"shards": len(shards), "manifest": json.loads((plan / "manifest.json").read_text())}


class _TokenizeShards:
    """Tokenizes shards of a plan, one a row."""

    def __init__(self, model, device, dtype, settings, plan, source, data, target, out):
        self.tokenizer = Tokenizer.from_pretrained(model, device=device or _device(), dtype=dtype)
        self.settings, self.plan = settings, plan
        self.source, self.data, self.target, self.out = source, data, target, out

    def __call__(self, batch):
        shards = [int(shard) for shard in batch["shard"]]
        return {"shard": shards, "skipped": [self._tokenize(*row) for row in zip(shards, batch["videos"])]}

    def _tokenize(self, shard, videos):
        with tempfile.TemporaryDirectory() as temporary:
            local, videos_folder = Path(temporary) / "out", Path(temporary) / "videos"
            local.mkdir()
            for name, text in self.plan.items():
                (local / name).write_bytes(text)
            for video in videos:
                _download(self.source, f"{self.data}/{video}", videos_folder / video)
            self.tokenizer._native.tokenize_shard((str(videos_folder), str(local)), self.settings, shard)
            # The statistics last: they say that the shard is finished.
            for folder in (_SHARDS, _STATISTICS):
                for path in (local / folder).iterdir():
                    _upload(self.target, path, f"{self.out}/{folder}/{path.name}")
            skipped = local / "skipped.jsonl"
            return skipped.read_text() if skipped.exists() else ""


def _device():
    """The GPU that Ray has assigned to this worker, if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _column(values):
    """A column of a batch; tensors of several sizes need an array of objects."""
    if not isinstance(values[0], np.ndarray) or len({value.shape for value in values}) == 1:
        return np.array(values)
    column = np.empty(len(values), object)
    column[:] = values
    return column


def _resolve(path, filesystem):
    """The file system of pyarrow and the path in it."""
    if filesystem is None:
        if "://" in path:
            return pafs.FileSystem.from_uri(path)
        return pafs.LocalFileSystem(), os.path.abspath(path)
    if not isinstance(filesystem, pafs.FileSystem):
        filesystem = pafs.PyFileSystem(pafs.FSSpecHandler(filesystem))
    return filesystem, path.rstrip("/")


def _download(filesystem, path, local):
    """Copies a file to this machine, with its time."""
    local.parent.mkdir(parents=True, exist_ok=True)
    with filesystem.open_input_stream(path) as source, open(local, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    modified = filesystem.get_file_info(path).mtime_ns
    if modified is not None:
        os.utime(local, ns=(modified, modified))


def _upload(filesystem, local, path):
    """Copies a file there; nobody sees a part of it under its name."""
    if not isinstance(filesystem, pafs.LocalFileSystem):
        # Object stores show an object when it is complete.
        with open(local, "rb") as source, filesystem.open_output_stream(path) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{uuid.uuid4().hex}.tmp"
    shutil.copyfile(local, temporary)
    os.replace(temporary, path)


def _fetch_state(filesystem, out, plan):
    """Copies what is there of a dataset, but for its shards, to the folder `plan`."""
    plan.mkdir(exist_ok=True)
    for name in (*_PLAN, "skipped.jsonl"):
        if not (plan / name).exists() and filesystem.get_file_info(f"{out}/{name}").type == pafs.FileType.File:
            _download(filesystem, f"{out}/{name}", plan / name)
    for info in filesystem.get_file_info(pafs.FileSelector(f"{out}/{_STATISTICS}", allow_not_found=True)):
        local = plan / _STATISTICS / info.base_name
        if info.type == pafs.FileType.File and info.extension == "safetensors" and not local.exists():
            _download(filesystem, info.path, local)


def _videos(filesystem, data, names):
    """The videos of a folder in the order of `vidtok tokenize`, which looks at their names only."""
    names.mkdir()
    for info in filesystem.get_file_info(pafs.FileSelector(data, recursive=True)):
        if info.type == pafs.FileType.File:
            local = names / os.path.relpath(info.path, data)
            local.parent.mkdir(parents=True, exist_ok=True)
            local.touch()
    return _vidtok.list_videos(str(names))
