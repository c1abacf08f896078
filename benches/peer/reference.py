"""A measurement of the reference, microsoft/VidTok, that is taken in a process of its own and printed as a line of JSON.

`cargo xtask peer` starts it, in turn with the program of ours that does the same (benches/examples/peer.rs):

    python reference.py train-step --reference CLONE --config NAME --ch 32 --frames 17 --size 64 --batch 1 --steps 3 \
        --threads 2

The clone's own code runs, of which only this is changed: weights follow from their names instead of being downloaded,
KL gives the mean, the discriminator begins at once, and Lightning's trainer is replaced by the few things that the
training step asks of it.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
import torchvision
from omegaconf import OmegaConf

import formula

# The reference's names of what a training step logs, and ours.
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
    """What a training step asks of Lightning's trainer: optimizers, backward, and the number of updates so far."""

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
    import lightning.pytorch  # noqa: F401  Before the modules that it may use itself are replaced.

    # Only for printing and for downloading, of which nothing is wanted here.
    rich = ModuleType("rich")
    rich.print = lambda *_, **__: None
    sys.modules.update(rich=rich, requests=ModuleType("requests"))
    sys.path.insert(0, str(arguments.reference))
    from vidtok.modules.lpips import LPIPS
    from vidtok.modules.util import instantiate_from_config

    vgg16 = torchvision.models.vgg16
    torchvision.models.vgg16 = lambda pretrained: vgg16(weights=None, init_weights=False)
    LPIPS.load_from_pretrained = lambda self: None

    config = read_config(arguments)
    model = instantiate_from_config(config.model)
    model.learning_rate = config.model.base_learning_rate
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if isinstance(tensor, torch.nn.Parameter) or name.endswith(("running_mean", "running_var")):
                tensor.copy_(torch.from_numpy(formula.weight(name, tuple(tensor.shape))))
    return model


def read_config(arguments):
    """The clone's configuration, narrowed to `--ch`, with nothing random in a step."""
    paths = list((arguments.reference / "configs").rglob(f"{arguments.config}.yaml"))
    if len(paths) != 1:
        sys.exit(f"{arguments.reference}: {len(paths)} configurations are called {arguments.config}")
    config = OmegaConf.load(paths[0])
    # The decoder's parameters refer to the encoder's.
    OmegaConf.update(config, "model.params.encoder_config.params.ch", arguments.ch)
    OmegaConf.update(config, "model.params.loss_config.params.disc_start", 0)
    if config.model.params.regularizer_config.target.endswith(".DiagonalGaussianRegularizer"):
        OmegaConf.update(config, "model.params.regularizer_config.params.sample", False, force_add=True)
    return config


def train_step(arguments):
    """Whole training steps: the first one for its losses, the others for their time."""
    model = build(arguments)
    shape = (arguments.batch, 3, arguments.frames, arguments.size, arguments.size)
    batch = {model.input_key: torch.from_numpy(formula.unit("input", shape)) * 0.8}
    logged = []
    model.log = lambda *_, **__: None
    model.log_dict = lambda values, **_: logged.append({name: float(value.detach()) for name, value in values.items()})

    base = memory_before_work()
    # PyTorch's optimizers make their state in the first step, so all that belongs to them is measured.
    optimizers, _ = model.configure_optimizers()
    model.trainer = Trainer(optimizers)
    seconds = time_repeats(arguments.steps, lambda: model.training_step(batch, 0))
    first = {LOGGED[name]: logged[0][f"train/{name}"] for name in LOGGED if f"train/{name}" in logged[0]}
    return {"seconds": seconds, "base_mb": base, "peak_mb": memory("VmHWM"), "first_step": first}


def time_repeats(repeats, work):
    """Seconds of each repeat, after a first one that is not timed."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def memory_before_work():
    """What the process holds now, in MiB; the system forgets what it held before."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(field):
    """A line of what Linux tells about this process, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


WORK = {"train-step": train_step}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", choices=WORK)
    parser.add_argument("--reference", type=Path, required=True, help="a clone of microsoft/VidTok")
    parser.add_argument("--config", required=True, help="a file name in its folder configs, without .yaml")
    for name in ("ch", "frames", "size", "batch", "steps", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(json.dumps(WORK[arguments.work](arguments)))


if __name__ == "__main__":
    main()
