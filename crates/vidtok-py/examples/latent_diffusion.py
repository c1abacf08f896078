"""Trains a small diffusion model on cached latents for a minute, and decodes a sample.

python latent_diffusion.py VIDEOS TOKENS SAMPLE.safetensors

VIDEOS is a folder of videos, which is tokenized into the dataset TOKENS first. The model is a toy: it shows how latents are
cached, normalised, batched and decoded.
"""

import json
import sys
import time
from pathlib import Path

import torch
import vidtok
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader

FRAMES = 3  # Latent frames of a training clip.
SIZE = 64  # Pixels of its sides.
SECONDS = 60


class Denoiser(nn.Module):
    """Predicts the noise of latents `[b, z, t, h, w]` at times `[b]` in [0, 1]."""

    def __init__(self, channels, width=64, depth=4):
        super().__init__()
        self.first = nn.Conv3d(channels, width, 3, padding=1)
        self.time = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        block = lambda: nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv3d(width, width, 3, padding=1))
        self.blocks = nn.ModuleList(block() for _ in range(depth))
        self.last = nn.Conv3d(width, channels, 3, padding=1)

    def forward(self, latent, time):
        x = self.first(latent) + self.time(time[:, None])[:, :, None, None, None]
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


def main(videos, tokens, sample):
    tokenizer = vidtok.Tokenizer.from_pretrained()
    tokenizer.tokenize(videos, tokens, shorter_side=SIZE, crop=(SIZE, SIZE))
    statistics = json.loads((Path(tokens) / "manifest.json").read_text())["latent"]
    mean, std = (torch.tensor(statistics[name]).float().view(1, -1, 1, 1, 1) for name in ("mean", "std"))
    dataset = vidtok.TokenDataset(tokens, frames=FRAMES)
    model = Denoiser(tokenizer.latent_channels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses, start = [], time.monotonic()
    while time.monotonic() - start < SECONDS:
        for batch in DataLoader(dataset, batch_size=8, shuffle=True, num_workers=2):
            latent = (batch["mean"].float() - mean) / std
            noise, at = torch.randn_like(latent), torch.rand(len(latent))
            # Rectified flow: a straight line from the latent to the noise, whose direction is predicted.
            mixed = torch.lerp(latent, noise, at.view(-1, 1, 1, 1, 1))
            loss = (model(mixed, at) - (noise - latent)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    tenth = max(1, len(losses) // 10)
    print(f"{len(losses)} steps, loss {sum(losses[:tenth]) / tenth:.3f} to {sum(losses[-tenth:]) / tenth:.3f}")
    with torch.no_grad():
        latent = torch.randn(1, tokenizer.latent_channels, FRAMES, SIZE // 8, SIZE // 8)
        steps = 50
        for step in reversed(range(steps)):
            latent -= model(latent, torch.tensor([(step + 1) / steps])) / steps
        save_file({"video": tokenizer.decode(latent * std + mean).clamp(-1, 1)}, sample)


if __name__ == "__main__":
    main(*sys.argv[1:])
