"""Passes without gradients through the tokenizer of any package: encode, decode, or both.

A tokenizer has `encode(video)`, which returns a latent and its indices (`None` for a continuous latent), and
`decode(latent)` and `decode_indices(indices)`, which return the video. Its attributes are `codes` (`None` for a continuous
latent), `channels` (of the latent), and `factors` (frames and pixels of a latent position).
"""

import torch

import formula
from measuring import memory_before_work, memory_peak, time_repeats

# The number of values that are compared of a tensor.
SAMPLES = 32


def works(make):
    """The works of a program; `make` returns its tokenizer for the arguments."""
    return {work: lambda arguments, work=work: measure(work, make(arguments), arguments) for work in PASSES}


def encode(tokenizer, video):
    latent, indices = tokenizer.encode(video)
    return {"latent": latent} if indices is None else {"indices": indices}


def decode(tokenizer, latent):
    decoded = tokenizer.decode(latent) if tokenizer.codes is None else tokenizer.decode_indices(latent)
    return {"reconstruction": decoded}


def encode_decode(tokenizer, video):
    latent, indices = tokenizer.encode(video)
    found = {"reconstruction": tokenizer.decode(latent)}
    return found | ({"latent": latent} if indices is None else {"indices": indices})


def input_video(_, arguments):
    shape = (arguments.batch, 3, arguments.frames, arguments.size, arguments.size)
    return torch.from_numpy(formula.unit("input", shape)) * 0.8


def input_latent(tokenizer, arguments):
    """A latent, or indices, of the size that the video would have."""
    time, space = tokenizer.factors
    size = (-(-arguments.frames // time), arguments.size // space, arguments.size // space)
    if tokenizer.codes is None:
        return torch.from_numpy(formula.unit("latent", (arguments.batch, tokenizer.channels, *size)))
    # Exact in float32, as the number of codes is a power of two.
    values = torch.from_numpy(formula.unit("latent", (arguments.batch, *size)))
    return ((values + 1) * (tokenizer.codes / 2)).int()


PASSES = {"encode": (encode, input_video), "decode": (decode, input_latent), "encode-decode": (encode_decode, input_video)}


@torch.no_grad()
def measure(work, tokenizer, arguments):
    """The first pass is for its result, the others are timed."""
    run, make_input = PASSES[work]
    given = make_input(tokenizer, arguments)
    base = memory_before_work()
    found = run(tokenizer, given)
    indices = found.pop("indices", torch.empty(0)).flatten().tolist()
    # Version 1.1 also returns the copies that it puts before the first frame.
    first = {name: summary(tensor[:, :, -arguments.frames :]) for name, tensor in found.items()}
    del found
    seconds = time_repeats(arguments.steps, lambda: run(tokenizer, given))
    return {"seconds": seconds, "base_mb": base, "peak_mb": memory_peak(), "first": first, "indices": indices}


def summary(tensor):
    """The mean, the mean of absolute values, and evenly spaced values from the first to the last."""
    values = tensor.flatten()
    positions = [i * (len(values) - 1) // (SAMPLES - 1) for i in range(SAMPLES)]
    return [values.mean().item(), values.abs().mean().item(), *values[positions].tolist()]
