"""Video tokenizers (VidTok, arXiv 2412.13061): from video to a compact latent or tokens, and back.

>>> import torch, vidtok
>>> tokenizer = vidtok.Tokenizer.from_pretrained()
>>> video = torch.rand(1, 3, 17, 64, 64) * 2 - 1
>>> encoded = tokenizer.encode(video)
>>> encoded.latent.shape
torch.Size([1, 16, 5, 8, 8])
>>> tokenizer.decode(encoded).shape
torch.Size([1, 3, 17, 64, 64])

Tensors are torch's own, and share their memory with this library. Videos are `[b, 3, t, h, w]` with pixels in [-1, 1].
"""

from . import metrics
from ._native import (
    DatasetError,
    InputError,
    MemoryLimitError,
    ModelError,
    StreamClosedError,
    VideoError,
    VidTokError,
    __version__,
)
from .dataset import IterableTokenDataset, TokenDataset
from .encoded import Encoded, Padding, Window
from .streams import StreamDecoder, StreamEncoder
from .tokenizer import Tokenizer

__all__ = [
    "DatasetError",
    "Encoded",
    "InputError",
    "IterableTokenDataset",
    "MemoryLimitError",
    "ModelError",
    "Padding",
    "StreamClosedError",
    "StreamDecoder",
    "StreamEncoder",
    "TokenDataset",
    "Tokenizer",
    "VidTokError",
    "VideoError",
    "Window",
    "__version__",
    "metrics",
]
