"""The report page: figures and words put into one self-contained HTML file.

`build` draws everything from arrays and the dictionary of `metrics.json`; `Page.write` puts the page and its
figures on disk. Nothing here knows a detector or a file of faces.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector
from verovolto.report import evaluation_text as text
from verovolto.report import figures, galleries
from verovolto.report.galleries import Face, Pick
from verovolto.report.html import Page, data_uri, environment
from verovolto.report.robustness import auroc_against_level, flagged_against_level, robustness_sentences

LATENT_FACES = 600  # of either class at most half; t-SNE of more takes minutes and shows no more
_BATCH = 32


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
        verdict=text.verdict(
            subject.metrics, false_alarm=subject.false_alarm, also=robustness_sentences(subject.metrics)
        ),
        operating=text.threshold_at(subject.metrics, subject.false_alarm),
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


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation of two arrays `[n]` (mean ranks for ties); None when one is constant."""
    ranks = [_mean_ranks(one) for one in (a, b)]
    if len(a) < 3 or any(rank.std() == 0 for rank in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


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
    chosen = text.threshold_at(metrics, subject.false_alarm)
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
        drawn["robustness_auroc"] = auroc_against_level(robustness)
        _add(drawn, "robustness_flagged", flagged_against_level(robustness))
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


def training_curves(detector: Path) -> dict[str, np.ndarray] | None:
    """Columns of the run's `metrics.csv`, NaN where a cell is empty; None where there is no such file."""
    path = next((p for p in (detector / "metrics.csv", detector.parent / "metrics.csv") if p.is_file()), None)
    if path is None:
        return None
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    try:
        return {
            name: np.array([float(row[name] or "nan") for row in rows]) for name in (rows[0] if rows else {})
        }
    except (TypeError, ValueError):
        print(f"warning: {path} cannot be read; the report shows no training curves", file=sys.stderr)
        return None


def galleries_of(
    detector: Detector,
    faces: FaceSet,
    picks: list[Pick],
    rows: np.ndarray,
    values: np.ndarray,
    fake: np.ndarray,
) -> list[galleries.Gallery]:
    """The picked faces with their reconstructions and errors, where the detector has them.

    `rows` `[n]` are the positions in `faces` of the scored faces; the picks count within those `n`.
    """
    shown_galleries: list[galleries.Gallery] = []
    for one in picks:
        explained = _explain(detector, faces, rows[one.rows])
        shown = []
        for i, row in enumerate(one.rows):
            shown.append(
                Face(
                    image=faces.image(int(rows[row])).permute(1, 2, 0).numpy(),
                    reconstruction=explained["reconstructions"][i]
                    if "reconstructions" in explained
                    else None,
                    error=explained["heat"][i] if "heat" in explained else None,
                    caption=f"{'fake' if fake[row] else 'real'} · {values[row]:.4g}",
                )
            )
        shown_galleries.append(galleries.Gallery(name=one.name, title=one.title, text=one.text, faces=shown))
    return shown_galleries


def latents_of(
    detector: Detector, faces: FaceSet, rows: np.ndarray, fake: np.ndarray, seed: int
) -> Latents | None:
    """Latents of at most `LATENT_FACES` faces drawn by `seed`, of either class alike; None if there are none."""
    rng = np.random.default_rng(seed)
    half = [rng.permutation(np.flatnonzero(fake == kind))[: LATENT_FACES // 2] for kind in (False, True)]
    chosen = np.sort(np.concatenate(half))
    explained = _explain(detector, faces, rows[chosen])
    if "latents" not in explained:
        return None
    return Latents(means=explained["latents"], fake=fake[chosen], kl=explained.get("kl"))


def _explain(detector: Detector, faces: FaceSet, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Heat maps `[n, h, w]`, reconstructions uint8 `[n, H, W, 3]`, latents and KL `[n, Z]`: what of it is known."""
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(rows), _BATCH):
        explained = detector.explain([faces.image(int(row)) for row in rows[start : start + _BATCH]])
        if explained is None:
            return {}
        known = {"heat": explained.anomaly_map, "latents": explained.latents, "kl": explained.kl}
        found = {name: value.float().numpy() for name, value in known.items() if value is not None}
        if explained.reconstructions is not None:
            pixels = (explained.reconstructions * 255).round().byte().permute(0, 2, 3, 1)
            found["reconstructions"] = pixels.numpy()
        for name, value in found.items():
            parts.setdefault(name, []).append(value)
    return {name: np.concatenate(values) for name, values in parts.items()}
