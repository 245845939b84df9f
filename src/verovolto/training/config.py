"""What a training run is told. Every field is a flag of `verovolto train` and a key of its TOML file."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from cyclopts import Parameter

from verovolto.core.config import cores
from verovolto.core.errors import InputError
from verovolto.networks.choices import (
    AnyModel,
    BackboneName,
    Bottleneck,
    Density,
    Flips,
    Noise,
    Precision,
    Reduction,
    SecondEncoder,
)

# Keys that may change when a run goes on: they do not change what has been computed so far.
RESUMABLE_CHANGES = frozenset({"out", "epochs"})


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run. A field left out takes the model's published value where there is one."""

    data: Path
    """Face set: a folder real/ fake/, a folder with manifest.csv, or Parquet."""
    model: AnyModel
    """Network and default score; `verovolto models` lists them."""
    out: Path
    """Run folder. A run that was stopped goes on where it was."""
    size: int | None = None
    """Side of the input in pixels: a multiple of 32 (ResNet, frozen features) or 4 (OC-FakeDect). Default: as
    published."""
    latent: int | None = None
    """Latent dimensions. Default: as published."""
    bottleneck: Bottleneck = "flat"
    """Bottleneck of the ResNetOCVAE2 family."""
    second_encoder: SecondEncoder = "shared"
    """OC-FakeDect2: encode reconstructions by the same encoder, or by one of its own."""
    weights: str = "imagenet"
    """Trunk of resnet-ocvae1: imagenet (needs a network once), a .pth or .safetensors file, or none; of lite0-ocvae:
    imagenet (comes with the package) or none."""
    train_split: str = "train"
    """Split to train on; its reals alone are used."""
    val_split: str = "val"
    """Split whose people are cut into `choose` (early stopping, best epoch) and `calibrate` (thresholds)."""
    crop_rule: str | None = None
    """Rule by which the faces were cropped, where the set does not say: ffpp, tight, dfdc, or a JSON file. It goes with
    the detector, which then crops faces out of photos and videos by it."""
    limit: int | None = None
    """Use this many training faces at most, drawn by the seed."""
    trunk: BackboneName = "lite0"
    """region-discriminant: the frozen EfficientNet-Lite that features are taken of."""
    forgeries: int = 3000
    """region-discriminant: forgeries made of the training reals."""
    shrinkage: float = 3.0
    """region-discriminant: how little a direction is trusted along which real faces hardly differ, above 0."""
    wear: float = 1.0
    """region-discriminant: weight of what is no sign of forgery (low resolution, blur, noise, light, compression), 0 or
    more. Without it the ranking is a little better, and small or compressed faces are taken for fakes."""
    reconstruction_weight: float = 10.0
    """resnet-ocvae2-blend: weight of the negative ELBO of real faces, in nats a pixel value, which 10 makes about as
    large as the other head's losses; 0 trains without that head."""
    blend_weight: float = 1.0
    """resnet-ocvae2-blend: weight of the blend map's cross-entropy and of the ranking of pairs; 0 trains without that
    head."""
    channels: int = 100
    """padim: channels of the features that are drawn, of 176."""
    memory: int = 5000
    """patchcore: patches of training faces that are kept, 10 or more. Time to score a face grows with them."""
    density: Density = "gaussian"
    """error-typicality: what the errors of real faces are thought to be spread like."""
    epochs: int = 50
    """Passes over the training reals."""
    batch_size: int | None = None
    """Images a step. Default: as published."""
    lr: float | None = None
    """Adam's learning rate. Default: as published."""
    weight_decay: float = 0.0
    """Adam's L2 penalty."""
    clip_norm: float = 0.0
    """Clip the gradient's norm; 0 does not. With --reduction sum norms of 1e4 are usual."""
    beta: float = 1.0
    """Weight of the KL term."""
    kl_warmup: int = 0
    """Steps over which the KL weight grows from 0 to beta."""
    noise: Noise = "normal"
    """Noise of the reparametrisation; uniform is the quirk of published code."""
    reduction: Reduction = "sum"
    """Sum or mean over pixels and over latent dimensions."""
    flips: Flips | None = None
    """Random mirroring: none, left-right, or also upside down. Default: as published."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Arithmetic of training; auto takes bf16 where the processor has it in hardware."""
    score_precision: Precision = "32"
    """Arithmetic of scoring, kept with the detector."""
    score: str | None = None
    """Default score of the detector. Default: the model's."""
    patience: int = 0
    """Stop after this many epochs without a better loss on the `choose` reals; 0 never does."""
    checkpoint_epochs: int = 10
    """Keep a checkpoint of every so many epochs."""
    checkpoint_steps: int = 200
    """Save the state to resume from every so many steps, besides each epoch's end."""
    max_unreadable: float = 0.01
    """Share of unreadable images past which the run stops."""
    seed: int = 0
    """Seed of everything random."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    workers: int | None = None
    """Processes that decode images. Default: none on a CPU, up to 8 beside a GPU."""
    threads: int | None = None
    """Threads of the arithmetic; weights depend on it in the last bits. Default: all cores."""

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise InputError("; ".join(problems), hint="see verovolto train --help")

    def _problems(self) -> list[str]:
        """All that is wrong with the numbers, so that they can be mended at once."""
        at_least = {
            "size": 4, "latent": 1, "limit": 2, "epochs": 1, "batch_size": 2, "checkpoint_epochs": 1,
            "checkpoint_steps": 1, "patience": 0, "workers": 0, "threads": 1, "kl_warmup": 0, "seed": 0,
            "channels": 1, "memory": 10, "forgeries": 1, "wear": 0.0, "beta": 0.0, "clip_norm": 0.0,
            "weight_decay": 0.0, "max_unreadable": 0.0,
            "reconstruction_weight": 0.0, "blend_weight": 0.0,
        }  # fmt: skip
        at_most = {"threads": 256, "workers": 256, "seed": 2**32 - 1, "max_unreadable": 1.0}
        found = self._not_finite()
        for name, low in at_least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                found.append(f"--{name.replace('_', '-')} {value} is below {low}")
        for name, high in at_most.items():
            value = getattr(self, name)
            if value is not None and value > high:
                found.append(f"--{name.replace('_', '-')} {value} is above {high}")
        if self.train_split == self.val_split:
            found.append(
                f"--train-split and --val-split are both {self.val_split}: thresholds need faces not trained on"
            )
        for name in ("lr", "shrinkage"):
            if (value := getattr(self, name)) is not None and value <= 0:
                found.append(f"--{name} {value} is not above 0")
        if self.reconstruction_weight == self.blend_weight == 0:
            found.append("--reconstruction-weight and --blend-weight are both 0: nothing would be trained")
        return found

    def _not_finite(self) -> list[str]:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return [
            f"--{name.replace('_', '-')} {value} is no finite number"
            for name, value in values.items()
            if isinstance(value, float) and not math.isfinite(value)
        ]


def resolve(config: TrainConfig) -> TrainConfig:
    """Fill what was left open: the model's published values and this machine's device, threads and arithmetic."""
    from verovolto.detectors.vae.scores import VAE_SCORES
    from verovolto.networks.registry import entry

    known = entry(config.model)
    if config.score is not None and config.score not in VAE_SCORES:
        raise InputError(
            f"--score: no score is called {config.score!r}", hint=f"there are {', '.join(VAE_SCORES)}"
        )
    config = on_this_machine(config)
    workers = 0 if config.device == "cpu" else min(8, max(1, cores() - 1))
    return replace(
        config,
        size=config.size or known.size,
        latent=config.latent or known.latent,
        batch_size=config.batch_size or known.batch_size,
        lr=config.lr or known.lr,
        flips=config.flips or known.flips,
        score=config.score or known.score,
        weights=config.weights if known.pretrained else "none",
        workers=workers if config.workers is None else config.workers,
    )


def on_this_machine(config: TrainConfig) -> TrainConfig:
    """Fill device, arithmetic and threads. Raises `InputError` when CUDA is asked for where there is none."""
    import torch

    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: there is no CUDA device here", hint="use --device cpu")
    return replace(
        config,
        device=device,
        precision=_fast_precision(device) if config.precision == "auto" else config.precision,
        threads=config.threads or cores(),
    )


def _fast_precision(device: str) -> Precision:
    import torch

    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "32"
