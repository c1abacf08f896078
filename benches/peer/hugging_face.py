"""Measures the VidTok of Hugging Face's diffusers and prints a line of JSON.

`cargo xtask peer ... --diffusers` starts it, in turn with reference.py, with the same arguments. diffusers keeps the
reference's parameter names, so the formula weights are the same. diffusers is not in requirements.txt.
"""

import torch
from diffusers import AutoencoderVidTok
from omegaconf import OmegaConf

import formula
import measuring
import passes

# The options of the networks that diffusers has.
KNOWN = ("ch", "ch_mult", "z_channels", "double_z", "num_res_blocks", "spatial_ds", "spatial_us", "tempo_ds", "tempo_us")


class HuggingFace:
    """The model of diffusers in the form that passes.py expects."""

    def __init__(self, arguments):
        config = OmegaConf.to_container(measuring.read_config(arguments), resolve=True)["model"]["params"]
        networks = {**config["encoder_config"]["params"], **config["decoder_config"]["params"]}
        options = {name: networks[name] for name in KNOWN if name in networks}
        if levels := config["regularizer_config"].get("params", {}).get("levels"):
            options |= {"regularizer": "fsq", "codebook_size": torch.tensor(levels).prod().item()}
        model = AutoencoderVidTok(**options, is_causal=True).eval()
        formula.fill(model)
        self.model = model
        self.codes = options.get("codebook_size")
        self.channels = networks["z_channels"]
        self.factors = [2 ** len(model.encoder.tempo_ds), 2 ** len(model.encoder.spatial_ds)]

    def encode(self, video):
        # The model's own `forward` pads in the same way before it encodes.
        copies = self.factors[0] - 1
        video = torch.nn.functional.pad(video, (0, 0, 0, 0, copies, 0), mode="replicate")
        found = self.model.encode(video)
        return (found.latent_dist.mode(), None) if self.codes is None else found

    def decode(self, latent):
        return self.model.decode(latent)

    def decode_indices(self, indices):
        return self.model.decode(indices, decode_from_indices=True)


if __name__ == "__main__":
    measuring.run(__doc__.splitlines()[0], passes.works(HuggingFace))
