"""`verovolto reproduce`: the thesis on a set of one's own, as published and as it should be, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from cyclopts import Parameter

MODELS = "oc-fakedect1,resnet-ocvae1,resnet-ocvae2"
Choice = Literal["thesis", "sound", "both"]


def _protocol(_: Any, tokens: Any) -> str:
    """A protocol as it is given, `sound` also by its former name."""
    given = {"honest": "sound"}.get(tokens[0].value, tokens[0].value)
    if given not in get_args(Choice):
        raise ValueError(f"there is no {given}, choose from {', '.join(get_args(Choice))}")
    return str(given)


def reproduce(
    *,
    data: Path,
    out: Path,
    protocol: Annotated[Choice, Parameter(converter=_protocol)] = "both",
    models: str = MODELS,
    parts: str | None = None,
    deviations: str | None = None,
    method: str | None = None,
    epochs: int = 50,
    every: int = 10,
    size: int | None = None,
    latent: int | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    weights: str = "imagenet",
    seed: int = 42,
    false_alarm: float = 0.1,
    resamples: int = 1000,
    no_faces: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "32", "bf16"] = "auto",
    threads: int | None = None,
    control_size: int = 64,
    control_epochs: int = 4,
    dry_run: bool = False,
    quirks: Annotated[str | None, Parameter(show=False)] = None,
) -> None:
    """Reproduce the thesis on a face set: its protocol as published, a sound one, and what each shortcut adds.

    Trains every model by both protocols, judges every checkpoint, and writes `report.html`, `tables.json`,
    `tables.csv` and `figures/` into the folder `--out`. Killed and started again, it goes on where it was.

    As published (`thesis`): frames split at random, the epoch chosen on the test set, thresholds from the pooled test
    scores or with the help of fakes, real as positive. As it should be (`sound`): splits that share nobody, the
    epoch and the thresholds from validation reals, both classes. With `both`, the two are set side by side.
    `--deviations` says which of the first one's ways are kept; without one, it does there what the sound one does.

    Parameters
    ----------
    data
        The face set: a folder, Parquet, or a split file.
    out
        Folder for everything.
    protocol
        Which protocol.
    models
        Models separated by commas; `verovolto models` lists them.
    parts
        What to do besides the thesis's own tables and figures, separated by commas. Default: all there is; none for
        nothing.
    deviations
        What `thesis` keeps of the thesis, separated by commas, or none, or all. leak: frames at random; test-epoch: the
        epoch chosen on the test set; pooled: the 80th percentile of the pooled test scores; max-f1: the threshold of
        largest F1, fakes included; strict: accepted if score < s; 3d-spectrum: the figure of the 3-D DFT;
        uniform-noise: trained with noise uniform in [0, 1); mse: the score is the mean squared error. Default: all but
        the last two, as the thesis's text and tables have it.
    method
        Take the fakes of this method alone, such as Deepfakes; else every fake of the set. The part `forgeries` judges
        the others besides, where their people are in the sound test split.
    epochs
        Passes over the training reals.
    every
        Keep and judge a checkpoint of every so many epochs.
    size
        Side of the input in pixels of every model. Default: as published.
    latent
        Latent dimensions of every model. Default: as published.
    limit
        Train on this many reals at most. Both protocols train on as many.
    batch_size
        Images a step. Default: as published.
    weights
        Backbone of resnet-ocvae1: imagenet (needs a network once), a .pth or .safetensors file, or none; of
        lite0-ocvae: imagenet (comes with the package) or none.
    seed
        Seed of the splits, the training, the resamples and the pictures.
    false_alarm
        The false-alarm rate of the sound thresholds.
    resamples
        Bootstrap resamples behind each interval.
    no_faces
        Hide the faces behind a mosaic.
    device
        Where to train.
    precision
        Arithmetic of training; auto takes bf16 on a GPU that has it, and on CPUs with AMX, and 32 elsewhere.
    threads
        Threads of the arithmetic. Default: all cores.
    control_size
        Side in pixels of the networks of the part `controls`, a multiple of 32.
    control_epochs
        Passes over the training reals of those networks.
    dry_run
        Say what would be trained, how long that takes on this machine and what it needs of the disk, and train nothing.
    quirks
        The old name of `deviations`.
    """
    from verovolto.core.errors import InputError
    from verovolto.thesis.pipeline import run_reproduction
    from verovolto.thesis.plan import AS_PUBLISHED, PARTS, PROTOCOLS, Plan, Protocol, deviations_in, names_in

    kept = quirks if deviations is None else deviations
    if kept is not None and protocol == "sound":
        raise InputError(
            "--deviations are the thesis's, and --protocol sound has none of them",
            hint="leave out --deviations, or ask for --protocol thesis or both",
        )
    one: Protocol = "thesis" if protocol == "thesis" else "honest"  # the name of the sound one in files
    plan = Plan(
        data=data, out=out, protocols=PROTOCOLS if protocol == "both" else (one,), models=names_in(models),
        parts=PARTS if parts is None else tuple(name for name in names_in(parts) if name != "none"),
        method=method, epochs=epochs, every=every, size=size, latent=latent, limit=limit, batch_size=batch_size,
        weights=weights, seed=seed, false_alarm=false_alarm, resamples=resamples, no_faces=no_faces, device=device,
        precision=precision, threads=threads,
        deviations=AS_PUBLISHED if kept is None else deviations_in(names_in(kept)),
        control_size=control_size, control_epochs=control_epochs, dry_run=dry_run,
    )  # fmt: skip
    if (report := run_reproduction(plan)) is not None:
        print(f"report: {report.resolve()}")
