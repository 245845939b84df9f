"""How `controls` is shown: each network beside its partner, what the difference is, and what may be credited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from verovolto.report.evaluation_text import change, side
from verovolto.report.figures import FAKE, INK, MUTED, REAL, Canvas

TITLE = "Controls: one thing changed at a time"
METRICS = {"auroc": "AUROC", "pairs_ordered": "pairs ordered", "error_real": "error of the reals"}
"""The differences that are shown, as `thesis.experiments.controls.statistics` names them."""

GROUPS = {
    "seed": "Luck of training",
    "symmetry": "Symmetric against asymmetric",
    "pretraining": "Pretrained against scratch",
    "bottleneck": "Bottleneck",
    "beta": "Weight of the KL term",
    "latent": "Latent dimensions",
}
"""The questions, in the order of the page."""


def figures(found: Mapping[str, Any]) -> dict[str, bytes]:
    """Forests of the differences in AUROC and in the error of the reals."""
    return {
        "auroc": _forest(found["comparisons"], "auroc", "difference in AUROC"),
        "error": _forest(
            found["comparisons"], "error_real", "difference in the mean error of the test reals"
        ),
    }


def findings(found: Mapping[str, Any]) -> list[str]:
    """What may be said of each question: only what paired intervals show, and no more than another seed does."""
    return [one for one in (_setting(found), *_answers(found), _ranking(found)) if one]


def names(comparison: Mapping[str, Any]) -> str:
    """`pooled minus small decoder, pooled`."""
    return f"{comparison['name']} minus {comparison['partner']}"


def metrics(found: Mapping[str, Any]) -> dict[str, str]:
    """The figures of `METRICS` that these faces allow, with their headings."""
    return {key: name for key, name in METRICS.items() if any(key in one for one in found["comparisons"])}


def verdict(figure: Mapping[str, Any]) -> str:
    """In a cell of the table: nothing where nothing is shown, and luck where other seeds differ by as much."""
    if figure["verdict"] not in ("better", "worse"):
        return "no interval" if figure["verdict"] == "no interval" else ""
    return str(figure["verdict"]) if figure.get("credited", True) else "within luck"


def _setting(found: Mapping[str, Any]) -> str:
    leaky = " by frames drawn at random, which share people with the test," if found["leaky"] else ""
    return (
        f"{len(found['rows'])} networks of {found['size']} px trained{leaky} on {found['train']:,} reals for "
        f"{found['epochs']} epochs, each once."
        + (f" Diverged, and not judged: {', '.join(found['diverged'])}." if found["diverged"] else "")
    )


def _answers(found: Mapping[str, Any]) -> Iterator[str]:
    by_group = {group: [one for one in found["comparisons"] if one["group"] == group] for group in GROUPS}
    if by_group["seed"]:
        yield _luck(by_group["seed"])
    if members := by_group["symmetry"]:
        yield f"Symmetric minus asymmetric, AUROC: {_list(members, 'auroc')}. {_symmetry(members)}{_error(members)}"
    if members := by_group["pretraining"]:
        both = f"AUROC {_said(members[0], 'auroc')}, error of the reals {_said(members[0], 'error_real')}"
        yield f"Pretrained minus scratch: {both}. {_pretraining(members[0])}"
    if members := [one for group in ("bottleneck", "beta", "latent") for one in by_group[group]]:
        yield _rest(members)


def _rest(members: list[Mapping[str, Any]]) -> str:
    """Bottleneck, beta and latent size: which of them rank otherwise than the base, and which are not shown to."""
    shown = [one for one in members if _shown(one["auroc"])]
    others = [one["name"] for one in members if not _shown(one["auroc"])]
    said = f"Bottleneck, beta and latent size, AUROC: {_list(shown, 'auroc') or 'none is shown to differ'}"
    return said + (f"; no difference to be credited: {', '.join(others)}." if others else ".")


def _luck(members: list[Mapping[str, Any]]) -> str:
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
    return "; ".join(f"{names(one)} {_said(one, metric)}" for one in members)


def _said(one: Mapping[str, Any], metric: str) -> str:
    figure = one[metric]
    if figure["verdict"] not in ("better", "worse"):
        return f"{change(figure)} ({figure['verdict']})"
    words = f"shown to be {figure['verdict']}" if figure["credited"] else "no larger than luck"
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
    found = {key: _shown(one[key]) for key in ("auroc", "error_real")}
    ranks = {"better": "ranks better", "worse": "ranks worse"}.get(
        found["auroc"], "is not shown to rank otherwise"
    )
    errs = {
        "better": "reconstructs unseen reals better",
        "worse": "reconstructs unseen reals worse",
    }.get(found["error_real"], "is not shown to reconstruct unseen reals otherwise")
    return f"With ImageNet's weights this trunk {errs} and {ranks}; of ResNet-18's weights that says nothing."


def _shown(figure: Mapping[str, Any]) -> str:
    """The verdict where it may be credited, else nothing."""
    return str(figure["verdict"]) if figure["credited"] else ""


def _ranking(found: Mapping[str, Any]) -> str:
    """Better is relative: whether any of them finds fakes at all."""
    rows = found["rows"]
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
    with Canvas(7.2, 1.1 + 0.34 * len(shown)) as canvas:
        axes = canvas.axes
        luck = largest((one for one in shown if one["group"] == "seed"), metric)
        axes.axvspan(-luck, luck, color=MUTED, alpha=0.18, linewidth=0)
        axes.axvline(0, color=MUTED, linestyle=":", linewidth=1.2)
        for place, one in enumerate(shown):
            figure = one[metric]
            if figure["value"] is None:
                continue
            colour = (
                {"better": REAL, "worse": FAKE}.get(_shown(figure), INK) if "credited" in figure else MUTED
            )
            if figure["low"] is not None:
                axes.plot([figure["low"], figure["high"]], [place, place], color=colour, linewidth=2.2)
            axes.plot([figure["value"]], [place], marker="o", color=colour, markersize=6)
        axes.set_yticks(range(len(shown)), [names(one) for one in shown])
        axes.set(xlabel=label, ylim=(len(shown) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
    return canvas.png
