"""Exchanges models with Hugging Face's diffusers in both directions, and compares what both compute from them.

`cargo xtask agree --python PYTHON --diffusers` starts it in a Python with diffusers (measured with 0.42.1), torch and
safetensors. It fails if a latent or a reconstruction differs by more than the tolerance.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderVidTok
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
OURS = ["run", "--quiet", "--release", "--package", "vidtok-cli", "--"]
# Models and the frames of the clip: the class takes 4k + 1 frames in causal models, and 16 in others.
MODELS = {
    "vidtok_kl_causal_488_4chn_v1_1": 17,
    "vidtok_fsq_causal_488_32768_v1_1": 17,
    "vidtok_kl_noncausal_488_4chn": 16,
}
REFUSED = "vidtok_kl_causal_488_4chn"
SIZE = 64
TOLERANCE = 1e-4


def vidtok(*arguments, fails=False):
    command = [os.environ.get("CARGO", "cargo"), *OURS, *map(str, arguments)]
    finished = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if (finished.returncode != 0) != fails:
        sys.exit(f"error: vidtok {arguments[0]}: {finished.stderr.strip()}")
    return finished.stderr.strip()


def init(name, folder):
    vidtok("init", "--config", f"configs/{name}.toml", folder / "model.safetensors")
    return folder / "model.safetensors"


def theirs(model, video):
    """The latent, the indices if there are any, and the reconstruction, padded as `forward` does."""
    copies = model.temporal_compression_ratio - 1 if model.is_causal else 0
    encoded = model.encode(torch.nn.functional.pad(video, (0, 0, 0, 0, copies, 0), mode="replicate"))
    latent, indices = (encoded.latent_dist.mode(), None) if model.regularizer == "kl" else encoded
    return latent, indices, model.decode(latent)


def ours(folder, model, video):
    clip, encoded, decoded = (folder / name for name in ("clip.safetensors", "encoded.safetensors", "decoded.safetensors"))
    save_file({"video": video}, clip)
    vidtok("encode", "--model", model, clip, encoded)
    vidtok("decode", "--model", model, encoded, decoded)
    return load_file(encoded), load_file(decoded)["video"]


def compare(name, frames, folder):
    """The largest difference of the latents (or the fraction of other indices) and of the reconstructions."""
    converted, saved = folder / "converted", folder / "saved"
    vidtok("convert", "--to", "diffusers", init(name, folder), converted)
    model = AutoencoderVidTok.from_pretrained(converted, low_cpu_mem_usage=False).eval()
    video = torch.rand(1, 3, frames, SIZE, SIZE) * 2 - 1
    latent, indices, reconstruction = theirs(model, video)
    encoded, decoded = ours(folder, converted, video)
    model.save_pretrained(saved)
    again, _ = ours(folder, saved, video)
    if any(not torch.equal(again[key], tensor) for key, tensor in encoded.items()):
        sys.exit(f"error: {name}: the folder that diffusers writes gives other latents")
    if indices is None:
        apart = (latent - encoded["latent"]).abs().max().item()
    else:
        apart = (indices.flatten() != encoded["indices"].flatten()).float().mean().item()
    return apart, (reconstruction - decoded).abs().max().item()


def main():
    torch.manual_seed(0)
    print("| model | latent | reconstruction |\n|---|---|---|")
    worst = 0.0
    with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
        for name, frames in MODELS.items():
            folder = Path(temporary) / name
            folder.mkdir()
            apart = compare(name, frames, folder)
            worst = max(worst, *apart)
            print(f"| {name} | {apart[0]:.1e} | {apart[1]:.1e} |", flush=True)
        refusal = vidtok("convert", "--to", "diffusers", init(REFUSED, Path(temporary)), Path(temporary) / "no", fails=True)
        print(refusal)
    if not worst <= TOLERANCE:
        sys.exit(f"error: a difference of {worst:.1e} is more than {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
