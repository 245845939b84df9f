"""`verovolto reproduce`: the thesis on a set of one's own, as published and as it should be, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from verovolto.core.workdir import Done, Steps
    from verovolto.thesis.context import Arm
    from verovolto.thesis.plan import Plan, Protocol

MODELS = "oc-fakedect1,resnet-ocvae1,resnet-ocvae2"


def reproduce(
    *,
    data: Path,
    out: Path,
    protocol: Literal["thesis", "honest", "both"] = "both",
    models: str = MODELS,
    parts: str | None = None,
    quirks: str | None = None,
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
) -> None:
    """Reproduce the thesis on a face set: its protocol as published, a sound one, and what each shortcut adds.

    Trains every model by both protocols, judges every checkpoint, and writes `report.html`, `tables.json`,
    `tables.csv` and `figures/` into the folder `--out`. Killed and started again, it goes on where it was.

    As published (`thesis`): frames split at random, the epoch chosen on the test set, thresholds from the pooled test
    scores or with the help of fakes, real as positive. As it should be (`honest`): splits that share nobody, the
    epoch and the thresholds from validation reals, both classes. With `both`, the two are set side by side. `--quirks`
    says which of the first one's ways are kept; without one, that arm does there what the sound one does.

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
    quirks
        What `thesis` keeps of the thesis, separated by commas, or none, or all. leak: frames at random; test-epoch: the
        epoch chosen on the test set; pooled: the 80th percentile of the pooled test scores; max-f1: the threshold of
        largest F1, fakes included; strict: accepted if score < s; 3d-spectrum: the figure of the 3-D DFT;
        uniform-noise: trained with noise uniform in [0, 1); mse: the score is the mean squared error. Default: all but
        the last two, as the thesis's text and tables have it.
    method
        Take the fakes of this method alone, such as Deepfakes; else every fake of the set. The part `forgeries` judges
        the others besides, where their people are in the honest test split.
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
        Trunk of resnet-ocvae1: imagenet (needs a network once), a .pth or .safetensors file, or none; of lite0-ocvae:
        imagenet (comes with the package) or none.
    seed
        Seed of the splits, the training, the resamples and the pictures.
    false_alarm
        The false-alarm rate of the honest thresholds.
    resamples
        Bootstrap resamples behind each interval.
    no_faces
        Hide the faces behind a mosaic.
    device
        Where to train.
    precision
        Arithmetic of training.
    threads
        Threads of the arithmetic. Default: all cores.
    control_size
        Side in pixels of the networks of the part `controls`, a multiple of 32.
    control_epochs
        Passes over the training reals of those networks.
    """
    from verovolto.core.errors import InputError
    from verovolto.thesis.deviations import AS_PUBLISHED, quirks_in
    from verovolto.thesis.plan import PARTS, PROTOCOLS, Plan, names_in

    if quirks is not None and protocol == "honest":
        raise InputError(
            "--quirks are the thesis's, and --protocol honest has none of them",
            hint="leave out --quirks, or ask for --protocol thesis or both",
        )
    plan = Plan(
        data=data,
        out=out,
        protocols=PROTOCOLS if protocol == "both" else (protocol,),
        models=names_in(models),
        parts=PARTS if parts is None else tuple(name for name in names_in(parts) if name != "none"),
        method=method,
        epochs=epochs,
        every=every,
        size=size,
        latent=latent,
        limit=limit,
        batch_size=batch_size,
        weights=weights,
        seed=seed,
        false_alarm=false_alarm,
        resamples=resamples,
        no_faces=no_faces,
        device=device,
        precision=precision,
        threads=threads,
        quirks=AS_PUBLISHED if quirks is None else quirks_in(names_in(quirks)),
        control_size=control_size,
        control_epochs=control_epochs,
    )
    print(f"report: {run_reproduction(plan).resolve()}")


def run_reproduction(plan: Plan) -> Path:
    """All steps in their order, each passed over where it is done; returns the report.

    Raises VerovoltoError for whatever a user can mend.
    """
    from verovolto.core.workdir import Steps
    from verovolto.data.faceset import FaceSet
    from verovolto.thesis.context import Context, take_part
    from verovolto.thesis.document import write_document
    from verovolto.thesis.evaluate import ABLATED, ablate
    from verovolto.thesis.networks import check_networks
    from verovolto.thesis.splits import cut_splits

    check_networks(plan)
    steps = Steps(folder=plan.out / "steps")
    wanted = {
        "data": FaceSet.open(plan.data).fingerprint(), "protocols": list(plan.protocols), "method": plan.method,
        "limit": plan.limit, "seed": plan.seed, "quirks": plan.kept("thesis", "leak"),
    }  # fmt: skip
    splits = steps.take("splits", lambda folder: cut_splits(plan, folder), inputs=wanted)
    scored = {protocol: _train_and_score(plan, steps, protocol, splits) for protocol in plan.protocols}
    judged = {
        (protocol, model): _judge(plan, steps, protocol, model, splits, scored[protocol])
        for model in plan.models
        for protocol in plan.protocols
    }
    ablations: list[Done] = []
    for model in plan.models if "thesis" in plan.protocols else ():
        both = _of(scored, "thesis", model), _of(scored, "honest", model) if "honest" in scored else None
        chosen = judged["thesis", model][0]
        after = (splits, chosen, *both[0].values(), *(both[1] or {}).values())
        ablations.append(
            steps.take(
                f"ablate-{model}",
                lambda _, model=model, chosen=chosen, both=both: ablate(  # type: ignore[misc]
                    plan, model, splits.result, chosen, *both
                ),
                inputs={**plan.judging(), "quirks": plan.kept("thesis", *ABLATED)},
                after=after,
            )
        )
    context = Context(plan=plan, steps=steps, splits=splits, arms=scored, judged=judged)
    parts = {name: take_part(name, context) for name in plan.parts}
    return write_document(plan, splits, judged, ablations, parts)


def _of(scored: dict[Protocol, Arm], protocol: Protocol, model: str) -> dict[int, Done]:
    from verovolto.thesis.plan import network_of

    return scored[protocol].scored[network_of(model)]


def _train_and_score(plan: Plan, steps: Steps, protocol: Protocol, splits: Done) -> Arm:
    """Train the networks of a protocol and score its faces by every checkpoint."""
    from verovolto.thesis.context import Arm
    from verovolto.thesis.networks import noise_of, score_checkpoint, train_network
    from verovolto.thesis.splits import cut_of, split_file

    data, cut = split_file(splits.folder, protocol), cut_of(splits, protocol)
    trained: dict[str, Done] = {}
    scored: dict[str, dict[int, Done]] = {}
    for network in plan.networks:
        done = steps.take(
            f"train-{protocol}-{network}",
            lambda _, network=network: train_network(plan, protocol, network, data),  # type: ignore[misc]
            inputs={**plan.training(), "noise": noise_of(plan, protocol)},
            after=(cut,),
        )
        trained[network] = done
        scored[network] = {
            epoch: steps.take(
                f"score-{protocol}-{network}-{epoch:04d}",
                lambda folder, network=network, epoch=epoch: score_checkpoint(  # type: ignore[misc]
                    plan, protocol, network, epoch, data, folder
                ),
                inputs={"epoch": epoch},
                after=(cut, done),
            )
            for epoch in plan.checkpoints
        }
    return Arm(trained=trained, scored=scored)


def _judge(
    plan: Plan, steps: Steps, protocol: Protocol, model: str, splits: Done, arm: Arm
) -> tuple[Done, Done, Done]:
    """Choose the epoch of a model, fill its rows of the tables, draw its figures."""
    from verovolto.thesis.evaluate import choose, tabulate
    from verovolto.thesis.figures_of_model import draw
    from verovolto.thesis.plan import network_of
    from verovolto.thesis.splits import cut_of, split_file

    trained, scored = arm.trained[network_of(model)], arm.scored[network_of(model)]
    data = split_file(splits.folder, protocol)
    chosen = steps.take(
        f"choose-{protocol}-{model}",
        lambda _: choose(plan, protocol, model, trained, scored),
        inputs={
            **plan.judging(),
            "score": plan.score_of(protocol, model),
            "quirks": plan.kept(protocol, "test-epoch"),
        },
        after=(trained, *scored.values()),
    )
    table = steps.take(
        f"table-{protocol}-{model}",
        lambda _: tabulate(plan, protocol, model, chosen, scored),
        inputs={**plan.judging(), "quirks": plan.kept(protocol, "pooled", "max-f1", "strict")},
        after=(chosen,),
    )
    drawn = steps.take(
        f"draw-{protocol}-{model}",
        lambda folder: draw(plan, protocol, model, data, chosen, table, scored, folder),
        inputs={"no_faces": plan.no_faces, "quirks": plan.kept(protocol, "3d-spectrum")},
        after=(cut_of(splits, protocol), table),
    )
    return chosen, table, drawn
