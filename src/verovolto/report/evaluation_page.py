"""The report page: figures and words put into one self-contained HTML file.

`build` draws everything from arrays and the dictionary of `metrics.json`; `Page.write` puts the page and its
figures on disk. Nothing here knows a detector or a file of faces.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from verovolto.core.files import atomic_path, write_text
from verovolto.report import evaluation_text as words
from verovolto.report import figures, galleries, robustness_figures
from verovolto.report.robustness_text import change, robustness_sentences


@dataclass(frozen=True, kw_only=True)
class Latents:
    """Latent means `[n, Z]` of some faces, their labels `[n]`, and the KL per dimension `[n, Z]` if known."""

    means: np.ndarray
    fake: np.ndarray
    kl: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What a report is about.

    `metrics`: the dictionary of `metrics.json`. `fake` `[n]` and `scores` (name -> `[n]`, trivial statistics
    too; NaN where missing) are the faces behind it. `training`: columns of `metrics.csv`.
    `command`: how to run it again. `notice`: a banner on top. `hide_faces` turns every face into a mosaic.
    """

    title: str
    metrics: Mapping[str, Any]
    scores: Mapping[str, np.ndarray]
    fake: np.ndarray
    command: str
    false_alarm: float = 0.1
    notice: str | None = None
    galleries: Sequence[galleries.Gallery] = ()
    hide_faces: bool = False
    latents: Latents | None = None
    training: Mapping[str, np.ndarray] | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Page:
    """A finished report: HTML text, and the figures that it embeds, PNG bytes by name."""

    html: str
    figures: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write `report.html` and `figures/NAME.png` into `folder`; each file appears whole."""
        for name, png in self.figures.items():
            with atomic_path(folder / "figures" / f"{name}.png") as part:
                part.write_bytes(png)
        write_text(folder / "report.html", self.html)
        return folder / "report.html"


def build(subject: ReportData) -> Page:
    """Draw the figures and fill the template."""
    drawn = _score_figures(subject)
    facts = _latent_figures(subject, drawn)
    if subject.training is not None:
        _add(drawn, "training", figures.training_curves(subject.training))
    robustness = _robustness_figures(subject, drawn)
    shown = _gallery_cards(subject, drawn)
    html = environment().get_template("report.html.j2").render(
        title=subject.title,
        m=subject.metrics,
        verdict=words.verdict(
            subject.metrics, false_alarm=subject.false_alarm, also=robustness_sentences(subject.metrics)
        ),
        operating=words.threshold_at(subject.metrics, subject.false_alarm),
        rows=[(subject.metrics["score"], subject.metrics, "score"), *_others(subject.metrics)],
        images={name: data_uri(png) for name, png in drawn.items()},
        galleries=shown,
        hide_faces=subject.hide_faces,
        latent=facts,
        robustness=robustness,
        command=subject.command,
        notice=subject.notice,
    )  # fmt: skip
    return Page(html=html, figures=drawn)


def render_comparison(comparison: Mapping[str, Any], command: str) -> str:
    """The page of a comparison, from the dictionary of `comparison.json`."""
    return environment().get_template("compare.html.j2").render(c=comparison, command=command)


def data_uri(image: bytes, kind: str = "png") -> str:
    """The bytes of a picture as a `data:` address, so that the page needs no other file."""
    return f"data:image/{kind};base64," + base64.b64encode(image).decode("ascii")


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation of two arrays `[n]` (mean ranks for ties); None when one is constant."""
    ranks = [_mean_ranks(one) for one in (a, b)]
    if len(a) < 3 or any(rank.std() == 0 for rank in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


def environment() -> Environment:
    """The templates: every value is escaped, and one that is missing is an error."""
    templates = Environment(
        loader=PackageLoader("verovolto.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(figure=words.figure, percent=words.percent, change=change)
    templates.filters.update(number=_number, plain=_plain)
    return templates


def _number(value: Any) -> str:
    """A threshold: four significant digits; infinity comes as text."""
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _plain(value: Any) -> str:
    """A value of the provenance in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value)
    return "–" if value is None else str(value)


def _others(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], str]]:
    return [
        *((name, one, "score") for name, one in metrics["other_scores"].items()),
        *((name, one, "baseline") for name, one in metrics["baselines"].items()),
    ]


def _add(drawn: dict[str, bytes], name: str, png: bytes | None) -> None:
    if png is not None:
        drawn[name] = png


def _score_figures(subject: ReportData) -> dict[str, bytes]:
    metrics, fake = subject.metrics, subject.fake
    name = metrics["score"]
    values = subject.scores[name]
    baselines = [one for one in metrics["baselines"] if one in subject.scores]
    chosen = words.threshold_at(metrics, subject.false_alarm)
    lines = (
        {}
        if chosen is None
        else {f"threshold at {100 * subject.false_alarm:g} % false alarms": chosen["value"]}
    )
    lines = {key: float(value) for key, value in lines.items()}
    rows = [(name, metrics, "score"), *_others(metrics)]
    drawn = {
        "histogram": figures.histogram(values, fake, name=name, thresholds=lines),
        "roc": figures.roc(
            {one: subject.scores[one] for one in (name, *baselines)}, fake, baselines=baselines
        ),
        "precision_recall": figures.precision_recall(values, fake),
        "f1": figures.f1_against_threshold(values, fake, name=name, thresholds=lines),
    }
    if len(rows) > 1:
        drawn["auroc"] = figures.forest([(one, result["auroc"], group) for one, result, group in rows])
    if (metrics["calibration"] or {}).get("curve"):
        drawn["calibration"] = figures.calibration(metrics["calibration"]["curve"])
    if "sharpness" in baselines:
        sharp = subject.scores["sharpness"]
        both = np.isfinite(sharp)
        drawn["sharpness"] = figures.score_against(
            values[both], sharp[both], fake[both], x="sharpness", y=name
        )
    return drawn


def _latent_figures(subject: ReportData, drawn: dict[str, bytes]) -> dict[str, float] | None:
    latents = subject.latents
    if latents is None or len(latents.means) < 5:
        return None
    drawn["tsne"] = figures.tsne(latents.means, latents.fake, seed=subject.seed)
    drawn["latent_use"], facts = figures.latent_use(latents.means, latents.kl)
    return {**facts, "faces": float(len(latents.means))}


def _robustness_figures(subject: ReportData, drawn: dict[str, bytes]) -> Mapping[str, Any] | None:
    """What was measured on degraded faces, None where nothing was; its figures go to those drawn."""
    robustness: Mapping[str, Any] | None = subject.metrics.get("robustness")
    if robustness is not None:
        drawn["robustness_auroc"] = robustness_figures.auroc_against_level(robustness)
        _add(drawn, "robustness_flagged", robustness_figures.flagged_against_level(robustness))
    return robustness


def _gallery_cards(subject: ReportData, drawn: dict[str, bytes]) -> list[dict[str, Any]]:
    shown = []
    for gallery in subject.galleries:
        cards = galleries.strips(gallery, hide=subject.hide_faces)
        if not cards:
            continue
        drawn[f"gallery_{gallery.name}"] = galleries.png(galleries.side_by_side(cards))
        captions = [face.caption for face in gallery.faces]
        images = [data_uri(galleries.png(card)) for card in cards]
        shown.append(
            {"title": gallery.title, "text": gallery.text, "cards": list(zip(images, captions, strict=True))}
        )
    return shown
