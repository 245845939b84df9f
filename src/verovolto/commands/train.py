"""`verovolto train`: real faces in, a calibrated detector out."""

from __future__ import annotations

import math
import shlex
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from verovolto.core.errors import InputError
from verovolto.core.progress import counting_bar
from verovolto.networks.choices import (
    BLEND_VAE,
    DISCRIMINANT,
    ERROR_TYPICALITY,
    MAHALANOBIS,
    PADIM,
    PATCHCORE,
)
from verovolto.training.config import TrainConfig

# What is not trained on real faces alone by the negative ELBO has a module with a `run(config, progress)` of its own.
_TRAINERS = {
    DISCRIMINANT: "verovolto.detectors.region_discriminant.fit",
    BLEND_VAE: "verovolto.experimental.blend.fit",
    ERROR_TYPICALITY: "verovolto.experimental.error_typicality.fit",
    **dict.fromkeys((MAHALANOBIS, PADIM, PATCHCORE), "verovolto.detectors.feature_baseline.fit"),
}


def train(config: TrainConfig, *, from_run: Annotated[Path | None, Parameter(name="--from")] = None) -> None:
    """Train a one-class model on the real faces of a set, choose its epoch, calibrate it, write a detector.

    A run that was stopped, even killed, goes on where it was when the same command is given again. All flags
    can also stand in a TOML file: `--config FILE`, such as the `config.toml` of an earlier run; flags win.

    Parameters
    ----------
    from_run:
        Do not train: take the network of this finished run. For the models that are another one's network with
        another default score: oc-fakedect2 (of oc-fakedect1) and resnet-ocvae-latent (of resnet-ocvae2). For
        error-typicality: fit it to what this VAE makes of the `choose` reals.
    """
    run = derive(config, from_run) if from_run else run_training(config)
    print("\n".join(told(run)))
    print(f"detector: {(run / 'detector').resolve()}")
    print(f"next: {next_step(run, config.data)}")


def run_training(config: TrainConfig) -> Path:
    """Train (or go on) and return the run folder; see `training.fit.run` and the `run` of each of `_TRAINERS`."""
    if (trainer := _TRAINERS.get(config.model)) is not None:
        with counting_bar() as progress:
            return Path(import_module(trainer).run(config, progress))
    from verovolto.training.fit import run

    return run(config)


def told(run: Path) -> list[str]:
    """What a user should know of a finished run, a line each."""
    from verovolto.detectors.registry import load_detector

    metadata = load_detector(run).metadata
    known = metadata["calibrated_on"]
    if "fitted_on" in metadata:
        how = f"a density fitted to the errors of {metadata['fitted_on']['faces']} other reals"
    elif "fitted" in metadata:
        how = f"{metadata['fitted']} kept"
    elif "forgeries" in metadata:
        how = f"{metadata['forgeries']:,} forgeries made of them"
    else:
        how = f"the epoch chosen on {metadata['chosen_on']['faces']} other reals"
    lines = [
        f"trained on {metadata['trained_on']['faces']:,} real faces; {how}, thresholds set on {known['real']} more "
        f"({known['clusters']} clusters by {known['cluster']})"
    ]
    for refused in known["refused_rates"]:
        lines.append(
            f"no threshold at a false-alarm rate of {refused['false_alarm']:g}: that needs {refused['needs']} real "
            "faces to calibrate on"
        )
    return lines


def next_step(run: Path, data: Path) -> str:
    """The command that judges a finished run, at a false-alarm rate that its calibration supports."""
    from verovolto.detectors.registry import load_detector

    known = load_detector(run).metadata["calibrated_on"]
    words = [
        "verovolto",
        "evaluate",
        str(run),
        "--data",
        str(data),
        "--split",
        "test",
        "--out",
        str(run / "test"),
    ]
    if any(refused["false_alarm"] == 0.1 for refused in known["refused_rates"]):
        words += ["--false-alarm", f"{math.ceil(1000 / (known['real'] + 1)) / 1000:g}"]
    return shlex.join(words)


def derive(config: TrainConfig, source: Path) -> Path:
    """Write the detector of a model made of the network of a finished run; nothing is trained."""
    if config.model == ERROR_TYPICALITY:
        from verovolto.experimental.error_typicality import fit as typicality

        with counting_bar() as progress:
            return typicality.derive(config, source, progress)
    from verovolto.detectors.registry import load_detector
    from verovolto.detectors.vae.detector import VAEDetector
    from verovolto.networks.registry import Architecture, entry, shares_network

    trained = load_detector(source)
    if not isinstance(trained, VAEDetector):
        raise InputError(
            f"{config.model} cannot be made of the {trained.name} in {source}", hint="leave out --from"
        )
    asked = Architecture.from_dict({**trained.architecture.to_dict(), "model": config.model})
    known = entry(config.model)
    if config.second_encoder != "shared" or not shares_network(asked) or trained.name != known.twin:
        raise InputError(
            f"{config.model} cannot be made of the {trained.name} in {source}",
            hint=f"it shares the network of {known.twin}"
            if known.twin
            else "train it instead: leave out --from",
        )
    if config.size not in (None, asked.size):
        raise InputError(
            f"--size {config.size} is not the size of {source}, {asked.size}", hint="leave it out"
        )
    if config.out.exists() and any(config.out.iterdir()):
        raise InputError(f"{config.out} is not empty", hint="give a new --out")
    detector = trained.rescored(config.model, config.score or known.score)
    detector.metadata = {**trained.metadata, "network_of": trained.name}
    detector.save(config.out / "detector")
    return config.out
