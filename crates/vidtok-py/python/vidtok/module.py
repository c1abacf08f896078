"""A tokenizer as a torch.nn.Module, for training with torch's optimizers."""

from __future__ import annotations

from typing import NamedTuple, Optional

import torch

from ._native import give, give_float, take


class TrainingOutput(NamedTuple):
    """What `TokenizerModule.forward` returns."""

    reconstruction: torch.Tensor
    """`[b, 3, t, h, w]`, with gradients."""
    loss: torch.Tensor
    """The quantizer's own loss with its published weight, a scalar with gradients: add it to those of the reconstruction."""
    indices: Optional[torch.Tensor]
    """The codebook indices of a discrete model, int32 `[b, t, h, w]`."""


class TokenizerModule(torch.nn.Module):
    """The networks of a tokenizer: `Tokenizer.module` makes it.

    Its parameters have the published names and share their memory with the tokenizer, so that what an optimizer changes is
    what `Tokenizer.encode` computes with. The forward and the backward pass run in this library; second derivatives, hooks on
    inner layers and gradients of the video do not exist. It stays on the tokenizer's device and in its number type.
    """

    def __init__(self, tokenizer):
        super().__init__()
        self._tokenizer = tokenizer
        trained = set(tokenizer._native.trained())
        self._trained = []
        for name, tensor in tokenizer.state_dict().items():
            *path, last = name.split(".")
            owner = self
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, torch.nn.Module())
                owner = owner._modules[part]
            if name in trained:
                parameter = torch.nn.Parameter(tensor)
                owner.register_parameter(last, parameter)
                self._trained.append(parameter)
            else:
                owner.register_buffer(last, tensor)

    @property
    def tokenizer(self):
        """The tokenizer that computes with these parameters."""
        return self._tokenizer

    def forward(self, video: torch.Tensor, step: int = 0) -> TrainingOutput:
        """The forward pass of training step `step` (for annealed weights) on a clip `[b, 3, t, h, w]` in [-1, 1]."""
        return TrainingOutput(*_Pass.apply(self._tokenizer._native, video, step, *self._trained))

    def _apply(self, function, recurse=True):
        probe = function(torch.empty(0, dtype=self._trained[0].dtype, device=self._trained[0].device))
        if probe.dtype != self._trained[0].dtype or probe.device != self._trained[0].device:
            raise RuntimeError("a TokenizerModule stays where it is: open the tokenizer with another device or dtype")
        return super()._apply(function, recurse)


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(context, native, video, step, *parameters):
        reconstruction, loss, indices, context.graph = native.forward_train(give_float(video, "video", 5), step)
        reconstruction, loss, indices = take(reconstruction), take(loss), take(indices)
        if indices is not None:
            context.mark_non_differentiable(indices)
        return reconstruction, loss, indices

    @staticmethod
    def backward(context, reconstruction, loss, _):
        gradients = context.graph.backward(give(reconstruction.contiguous(), "gradient", 5), give(loss, "gradient", 0))
        return None, None, None, *map(take, gradients)
