"""What the thesis credits to the shape of its networks, with all else kept equal.

A small grid of networks, each beside a partner that differs from it in one thing: the difference, and whether it
exceeds seed variance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from verovolto.core.errors import TrainingError
from verovolto.core.workdir import Done
from verovolto.report.evaluation_text import side
from verovolto.report.figures import forest
from verovolto.report.html import FAKE, INK, MUTED, REAL, change
from verovolto.thesis.estimate import Trainings, faces_scored
from verovolto.thesis.experiments.controls.networks import (
    SCORE,
    Condition,
    config_of,
    slug,
    train_and_score,
)
from verovolto.thesis.experiments.controls.statistics import METRICS, difference, exceeds_seed_variance
from verovolto.thesis.networks import noise_of, scores
from verovolto.thesis.plan import Context
from verovolto.thesis.protocols import rankings
from verovolto.training.fit import resolved

TITLE = "Controls: one thing changed at a time"
GROUPS = {
    "seed": "Seed variance",
    "symmetry": "Symmetric against asymmetric",
    "pretraining": "Pretrained against scratch",
    "bottleneck": "Bottleneck",
    "beta": "Weight of the KL term",
    "latent": "Latent dimensions",
}
"""The questions, in the order of the page."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A network and its partner, by their names in `GRID`, and what alone sets the first apart."""

    group: str
    name: str
    partner: str
    differs: str


BASE = "base"
SEED_VARIANCE = "seed"
GRID: dict[str, Condition] = {
    BASE: Condition(),
    "second seed": Condition(seed=1),
    "third seed": Condition(seed=2),
    "pooled": Condition(bottleneck="pooled"),
    "small decoder, pooled": Condition(model="resnet-ocvae1", bottleneck="pooled"),
    "small decoder, flat": Condition(model="resnet-ocvae1-flat"),
    "pretrained": Condition(model="lite0-ocvae", bottleneck="pooled", weights="imagenet"),
    "not pretrained": Condition(model="lite0-ocvae", bottleneck="pooled"),
    "spatial": Condition(bottleneck="spatial"),
    "beta 0": Condition(beta=0.0),
    "beta 0.1": Condition(beta=0.1),
    "beta 10": Condition(beta=10.0),
    "latent 32": Condition(latent=32),
    "latent 1024": Condition(latent=1024),
}
COMPARISONS: tuple[Comparison, ...] = tuple(
    Comparison(group=group, name=name, partner=partner, differs=differs)
    for group, name, partner, differs in (
        (SEED_VARIANCE, "second seed", BASE, "the seed and nothing else"),
        (SEED_VARIANCE, "third seed", BASE, "the seed and nothing else"),
        (SEED_VARIANCE, "third seed", "second seed", "the seed and nothing else"),
        ("symmetry", "pooled", "small decoder, pooled", "a mirrored decoder"),
        ("symmetry", BASE, "small decoder, flat", "a mirrored decoder"),
        ("pretraining", "pretrained", "not pretrained", "ImageNet's weights"),
        ("bottleneck", "spatial", BASE, "spatial for flat"),
        ("bottleneck", "pooled", BASE, "pooled for flat"),
        ("beta", "beta 0", BASE, "beta 0 for 1"),
        ("beta", "beta 0.1", BASE, "beta 0.1 for 1"),
        ("beta", "beta 10", BASE, "beta 10 for 1"),
        ("latent", "latent 32", BASE, "32 dimensions for 256"),
        ("latent", "latent 1024", BASE, "1,024 dimensions for 256"),
    )
)


def run(context: Context) -> dict[str, Any]:
    """Train and evaluate the grid on the split of the soundest protocol there is.

    A step a network, one to compare them. Returns `rows`, a network each, `comparisons`, a pair each with its
    differences, `trivial`, the statistics beside them, and what they were trained and evaluated on.
    """
    plan, protocol = context.plan, context.best
    # `plan_seed` beside the network's own `seed`.
    settings = {
        "control_size": plan.control_size, "control_epochs": plan.control_epochs, "batch_size": plan.batch_size,
        "device": plan.device, "precision": plan.precision, "threads": plan.threads, "plan_seed": plan.seed,
        "noise": noise_of(plan, protocol),
    }  # fmt: skip

    def trained_by(name: str, condition: Condition) -> Done:
        return context.steps.take(
            f"control-{protocol}-{slug(name)}",
            lambda folder: train_and_score(context, name, condition, folder),
            inputs={**settings, **asdict(condition)},
            after=(context.split(protocol),),
        )

    trained = {name: trained_by(name, condition) for name, condition in GRID.items()}
    return context.steps.take(
        f"controls-{protocol}",
        lambda _: compare(context, trained),
        inputs={**plan.evaluation_settings, "comparisons": [asdict(one) for one in COMPARISONS]},
        after=tuple(trained.values()),
    ).result


def planned(context: Context) -> Iterator[Trainings]:
    """The networks of the grid that are not trained yet; of each its detector stays."""
    plan, protocol = context.plan, context.best
    train = int(context.splits.result["train"])
    for name, condition in GRID.items():
        if not context.steps.has(f"control-{protocol}-{slug(name)}"):
            yield Trainings(
                what="as controls",
                config=resolved(config_of(plan, protocol, name, condition, context.data(protocol))),
                count=1, images=plan.control_epochs * train, scored=faces_scored(context, protocol), stays=1,
            )  # fmt: skip


def compare(context: Context, trained: Mapping[str, Done]) -> dict[str, Any]:
    """Evaluate every network on the test faces, and each against its partner on the same resamples."""
    plan = context.plan
    diverged = {name: done.result["diverged"] for name, done in trained.items() if "diverged" in done.result}
    trained = {name: done for name, done in trained.items() if name not in diverged}
    if not trained:
        raise TrainingError(
            "every network of the grid diverged", hint="leave the controls out: name other --parts"
        )
    tables = {name: scores(done.folder, "test") for name, done in trained.items()}
    samples = {name: plan.sample(table, SCORE) for name, table in tables.items()}
    ranked = {name: rankings(sample, SCORE) for name, sample in samples.items()}
    first, statistics = next(iter(samples.values())), next(iter(ranked.values()))
    differences = [
        {**asdict(one), **difference(tables[one.name], tables[one.partner], SCORE, **plan.bootstrap)}
        for one in COMPARISONS
        if one.name in trained and one.partner in trained
    ]
    return {
        "protocol": context.best,
        "diverged": diverged,
        "leaky": bool(plan.kept(context.best, "leak")),
        "size": plan.control_size,
        "epochs": plan.control_epochs,
        "train": context.splits.result["train"],
        "seed": plan.seed,
        "reals": next(iter(trained.values())).result["reals"],
        "score": SCORE,
        "test": first.class_counts(),
        "interval": first.resamples.metadata(),
        "rows": [
            {"name": name, **asdict(GRID[name]), **done.result, "auroc": ranked[name][SCORE]["auroc"]}
            for name, done in trained.items()
        ],
        "trivial": {name: of["auroc"] for name, of in statistics.items() if name != SCORE},
        "comparisons": _beside_seed_variance(differences),
    }


def _beside_seed_variance(differences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each difference with whether it exceeds what other seeds make, by metric."""
    of_seeds = [one for one in differences if one["group"] == SEED_VARIANCE]
    for one in (one for one in differences if one["group"] != SEED_VARIANCE):
        for metric in (metric for metric in METRICS if metric in one):
            exceeds = exceeds_seed_variance(one[metric], [seeds[metric] for seeds in of_seeds])
            one[metric] = {**one[metric], "credited": exceeds}
    return differences


def figures(result: Mapping[str, Any]) -> dict[str, bytes]:
    """Forests of the differences in AUROC and in the error of the reals."""
    return {
        "auroc": _forest(result["comparisons"], "auroc", "difference in AUROC"),
        "error": _forest(
            result["comparisons"], "error_real", "difference in the mean error of the test reals"
        ),
    }


def findings(result: Mapping[str, Any]) -> list[str]:
    """What may be said of each question: only what paired intervals show, and no more than another seed does."""
    return [_setting(result), *_answers(result), _ranking(result)]


def names(comparison: Mapping[str, Any]) -> str:
    """`pooled minus small decoder, pooled`."""
    return f"{comparison['name']} minus {comparison['partner']}"


def metrics(result: Mapping[str, Any]) -> dict[str, str]:
    """The figures of `METRICS` that these faces allow, with their headings."""
    return {key: name for key, name in METRICS.items() if any(key in one for one in result["comparisons"])}


def verdict(figure: Mapping[str, Any]) -> str:
    """In a cell of the table: nothing where nothing is shown, and seed variance where other seeds differ by as much."""
    if figure["verdict"] not in ("better", "worse"):
        return "no interval" if figure["verdict"] == "no interval" else ""
    return str(figure["verdict"]) if figure.get("credited", True) else "within seed variance"


def _setting(result: Mapping[str, Any]) -> str:
    leaky = " by frames drawn at random, which share people with the test," if result["leaky"] else ""
    return (
        f"{len(result['rows'])} networks of {result['size']} px trained{leaky} on {result['train']:,} reals for "
        f"{result['epochs']} epochs, each once."
        + (f" Diverged, and not judged: {', '.join(result['diverged'])}." if result["diverged"] else "")
    )


def _answers(result: Mapping[str, Any]) -> Iterator[str]:
    by_group = {group: [one for one in result["comparisons"] if one["group"] == group] for group in GROUPS}
    if by_group["seed"]:
        yield _seed_variance(by_group["seed"])
    if members := by_group["symmetry"]:
        yield f"Symmetric minus asymmetric, AUROC: {_list(members, 'auroc')}. {_symmetry(members)}{_error(members)}"
    if members := by_group["pretraining"]:
        both = f"AUROC {_in_words(members[0], 'auroc')}, error of the reals {_in_words(members[0], 'error_real')}"
        yield f"Pretrained minus scratch: {both}. {_pretraining(members[0])}"
    if members := [one for group in ("bottleneck", "beta", "latent") for one in by_group[group]]:
        yield _rest(members)


def _rest(members: list[Mapping[str, Any]]) -> str:
    """Bottleneck, beta and latent size: which of them rank otherwise than the base, and which are not shown to."""
    shown = [one for one in members if _shown(one["auroc"])]
    others = [one["name"] for one in members if not _shown(one["auroc"])]
    text = f"Bottleneck, beta and latent size, AUROC: {_list(shown, 'auroc') or 'none is shown to differ'}"
    return text + (f"; no difference to be credited: {', '.join(others)}." if others else ".")


def _seed_variance(members: list[Mapping[str, Any]]) -> str:
    apart = {metric: largest(members, metric) for metric in ("auroc", "error_real")}
    return (
        f"Trainings that differ in their seed alone lie up to {apart['auroc']:.3f} apart in AUROC and "
        f"{apart['error_real']:.3f} in the error of the reals: no difference as small as that is credited to anything."
    )


def largest(members: Iterable[Mapping[str, Any]], metric: str) -> float:
    """The largest of some differences, whatever its sign."""
    return max(
        (abs(one[metric]["value"]) for one in members if one[metric]["value"] is not None), default=0.0
    )


def _list(members: list[Mapping[str, Any]], metric: str) -> str:
    return "; ".join(f"{names(one)} {_in_words(one, metric)}" for one in members)


def _in_words(one: Mapping[str, Any], metric: str) -> str:
    figure = one[metric]
    if figure["verdict"] not in ("better", "worse"):
        return f"{change(figure)} ({figure['verdict']})"
    words = f"shown to be {figure['verdict']}" if figure["credited"] else "no larger than seed variance"
    return f"{change(figure)} ({words})"


def _symmetry(members: list[Mapping[str, Any]]) -> str:
    """Whether the mirrored decoder is what ranks better: the thesis credits symmetry with its better figures."""
    better = [one for one in members if _shown(one["auroc"]) == "better"]
    worse = [one for one in members if _shown(one["auroc"]) == "worse"]
    if len(better) == len(members):
        return "With all else equal the symmetric networks rank better, as the thesis credits them."
    if not better and worse:
        return "With all else equal symmetry does not rank better here; what the thesis credits to it is not shown."
    if better:
        return "Whether symmetry ranks better depends on what it is joined with here, so it is not shown by itself."
    return "With all else equal symmetry is not shown to rank better here; nor is it shown to make no difference."


def _error(members: list[Mapping[str, Any]]) -> str:
    """Whether the mirrored decoder reconstructs better, which is another thing than to find fakes."""
    verdicts = {_shown(one["error_real"]) for one in members}
    if verdicts not in ({"better"}, {"worse"}):
        return ""
    return f" It reconstructs unseen reals {verdicts.pop()}: {_list(members, 'error_real')}."


def _pretraining(one: Mapping[str, Any]) -> str:
    ranks = {"better": "ranks better", "worse": "ranks worse", "": "is not shown to rank otherwise"}
    errs = {verdict: f"reconstructs unseen reals {verdict}" for verdict in ("better", "worse")}
    errs[""] = "is not shown to reconstruct unseen reals otherwise"
    ranked, reconstructed = ranks[_shown(one["auroc"])], errs[_shown(one["error_real"])]
    both = f"{reconstructed} and {ranked}"
    return f"With ImageNet's weights this backbone {both}; of ResNet-18's weights that says nothing."


def _shown(figure: Mapping[str, Any]) -> str:
    """The verdict where it may be credited, else nothing."""
    return str(figure["verdict"]) if figure["credited"] else ""


def _ranking(result: Mapping[str, Any]) -> str:
    """Better is relative: whether any of them finds fakes at all."""
    rows = result["rows"]
    above = [row["name"] for row in rows if side(row["auroc"]) == "above"]
    below = [row["name"] for row in rows if side(row["auroc"]) == "below"]
    if not above:
        return (
            f"None of the {len(rows)} is shown to rank fakes above reals ({len(below)} are shown to rank them below), "
            "so of two of these the better is the less wrong."
        )
    return f"Shown to rank fakes above reals: {len(above)} of {len(rows)} ({'; '.join(above)})."


def _forest(comparisons: list[Mapping[str, Any]], metric: str, label: str) -> bytes:
    """Differences with their 95 % intervals, in the order of the table; grey between: what other seeds make."""
    shown = [one for group in GROUPS for one in comparisons if one["group"] == group]
    colours = {"better": REAL, "worse": FAKE}
    rows = [
        (
            names(one),
            one[metric],
            colours.get(_shown(one[metric]), INK) if "credited" in one[metric] else MUTED,
        )
        for one in shown
    ]
    return forest(rows, label=label, band=largest((one for one in shown if one["group"] == "seed"), metric))
