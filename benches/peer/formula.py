"""Weights and inputs that are functions of their names: the same numbers as those of the crate vidtok-golden.

Element i of the tensor `name` comes from the splitmix64 mix (Steele, Lea, Flood 2014) of crc32(name) * 2^32 + i: its
upper 24 bits, as a float32 in [-1, 1).
"""

import math
import zlib

import numpy
import torch

U64 = numpy.uint64
GOLDEN_GAMMA = U64(0x9E3779B97F4A7C15)
MULTIPLIERS = (U64(0xBF58476D1CE4E5B9), U64(0x94D049BB133111EB))


def unit(name, shape):
    """Values in [-1, 1), float32 of `shape`."""
    state = numpy.arange(math.prod(shape), dtype=U64)
    state += U64(zlib.crc32(name.encode()) << 32)
    state += GOLDEN_GAMMA
    for shift, multiplier in zip((30, 27), MULTIPLIERS):
        state ^= state >> U64(shift)
        state *= multiplier
    state ^= state >> U64(31)
    bits = (state >> U64(40)).astype(numpy.float32)
    return (bits * numpy.float32(2.0**-23) - numpy.float32(1)).reshape(shape)


def weight(name, shape):
    """A plausible parameter, float32 of `shape`: the last part of its name and its shape choose the range."""
    values = unit(name, shape)
    leaf = name.rpartition(".")[2]
    if leaf == "mix_factor":
        values = 2.0 + 0.5 * values
    elif leaf == "running_var":
        values = 1.0 + 0.2 * abs(values)
    elif leaf in ("logvar", "bias", "running_mean"):
        values = 0.1 * values
    elif len(shape) <= 1:
        values = 1.0 + 0.1 * values
    else:
        values = math.sqrt(3.0 / math.prod(shape[1:])) * values
    return numpy.asarray(values, dtype=numpy.float32)


def fill(model):
    """Overwrites the parameters and running statistics of a PyTorch model."""
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if isinstance(tensor, torch.nn.Parameter) or name.endswith(("running_mean", "running_var")):
                # torch.compile adds this to the names of the modules it wraps.
                published = name.replace("_orig_mod.", "")
                tensor.copy_(torch.from_numpy(weight(published, tuple(tensor.shape))))
