"""How `controls` is shown: each network beside its partner, the difference, and whether it exceeds seed variance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from verovolto.report.canvas import FAKE, INK, MUTED, REAL
from verovolto.report.evaluation_text import side
from verovolto.report.html import change
from verovolto.thesis.figures import forest

TITLE = "Controls: one thing changed at a time"
METRICS = {"auroc": "AUROC", "pairs_ordered": "pairs ordered", "error_real": "error of the reals"}
"""The differences that are shown, as `thesis.experiments.controls.statistics` names them."""

GROUPS = {
    "seed": "Seed variance",
    "symmetry": "Symmetric against asymmetric",
    "pretraining": "Pretrained against scratch",
    "bottleneck": "Bottleneck",
    "beta": "Weight of the KL term",
    "latent": "Latent dimensions",
}
"""The questions, in the order of the page."""


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
