"""Measures the reference, microsoft/VidTok, in a process of its own and prints a line of JSON.

`cargo xtask peer` starts it, in turn with our program that does the same (benches/examples/peer):

    python reference.py train-step --reference CLONE --config NAME --ch 32 --frames 17 --size 64 --batch 1 --steps 3 \
        --threads 2

It runs the clone's own code with these changes: weights come from a formula instead of a download, KL returns the mean,
the discriminator starts at once, and the parts of Lightning's trainer that a training step uses are replaced. --compile
turns on the reference's own switch for torch.compile.
"""

import sys
from types import ModuleType, SimpleNamespace

import torch
import torchvision
from omegaconf import OmegaConf

import formula
import measuring
import passes

# The reference's names of the logged numbers of a training step, and ours.
LOGGED = {
    "total_loss": "loss",
    "nll_loss": "nll",
    "rec_loss": "rec",
    "p_loss": "lpips",
    "kl_loss": "quantizer",
    "aux_loss": "quantizer",
    "g_loss": "generator",
    "d_weight": "adaptive_weight",
    "disc_loss": "discriminator",
    "non_saturated_d_loss": "discriminator_logits",
    "lecam_loss": "lecam",
    "logits_real": "logits_real",
    "logits_fake": "logits_fake",
}


class Trainer:
    """The parts of Lightning's trainer that a training step uses: optimizers, backward, and the number of updates."""

    def __init__(self, optimizers):
        self.optimizers = optimizers
        self.strategy = SimpleNamespace(
            _lightning_optimizers=optimizers, backward=lambda loss, optimizer: loss.backward()
        )
        self.global_step = 0
        for optimizer in optimizers:
            optimizer.register_step_post_hook(self.count)

    def count(self, *_):
        self.global_step += 1


def build(arguments):
    """The clone's model of that name with formula weights, in float32."""
    import lightning.pytorch  # noqa: F401  It may use the modules that are replaced below.

    # The reference uses these for printing and downloading only.
    rich = ModuleType("rich")
    rich.print = lambda *_, **__: None
    sys.modules.update(rich=rich, requests=ModuleType("requests"))
    sys.path.insert(0, str(arguments.reference))
    from vidtok.modules.lpips import LPIPS
    from vidtok.modules.util import instantiate_from_config

    vgg16 = torchvision.models.vgg16
    torchvision.models.vgg16 = lambda pretrained: vgg16(weights=None, init_weights=False)
    LPIPS.load_from_pretrained = lambda self: None

    config = deterministic_config(arguments)
    model = instantiate_from_config(config.model)
    model.learning_rate = config.model.base_learning_rate
    formula.fill(model)
    return model


def deterministic_config(arguments):
    """The clone's configuration without randomness in a step."""
    config = measuring.read_config(arguments)
    OmegaConf.update(config, "model.params.loss_config.params.disc_start", 0)
    OmegaConf.update(config, "model.params.compile_model", arguments.compile, force_add=True)
    if config.model.params.regularizer_config.target.endswith(".DiagonalGaussianRegularizer"):
        OmegaConf.update(config, "model.params.regularizer_config.params.sample", False, force_add=True)
    return config


class Reference:
    """The clone's model in the form that passes.py expects."""

    def __init__(self, arguments):
        self.model = build(arguments).eval()
        self.codes = getattr(self.model.regularization, "codebook_size", None)
        encoder = self.model.encoder
        self.channels = measuring.read_config(arguments).model.params.decoder_config.params.z_channels
        halvings = getattr(encoder, "spatial_ds", range(encoder.num_resolutions - 1))
        self.factors = [2 ** len(encoder.tempo_ds), 2 ** len(halvings)]

    def encode(self, video):
        latent, log = self.model.encode(video, return_reg_log=True)
        return latent, log.get("indices")

    def decode(self, latent):
        return self.model.decode(latent)

    def decode_indices(self, indices):
        return self.model.decode(indices, decode_from_indices=True)


def train_step(arguments):
    """Whole training steps: the first one is for its losses, the others are timed."""
    model = build(arguments)
    shape = (arguments.batch, 3, arguments.frames, arguments.size, arguments.size)
    batch = {model.input_key: torch.from_numpy(formula.unit("input", shape)) * 0.8}
    logged = []
    model.log = lambda *_, **__: None
    model.log_dict = lambda values, **_: logged.append({name: float(value.detach()) for name, value in values.items()})

    base = measuring.memory_before_work()
    # PyTorch's optimizers allocate their state in the first step, so the peak includes it.
    optimizers, _ = model.configure_optimizers()
    model.trainer = Trainer(optimizers)
    model.training_step(batch, 0)
    seconds = measuring.time_repeats(arguments.steps, lambda: model.training_step(batch, 0))
    first = {LOGGED[name]: [logged[0][f"train/{name}"]] for name in LOGGED if f"train/{name}" in logged[0]}
    return {"seconds": seconds, "base_mb": base, "peak_mb": measuring.memory_peak(), "first": first}


if __name__ == "__main__":
    measuring.run(__doc__.splitlines()[0], {"train-step": train_step, **passes.works(Reference)})
