"""The report of an evaluation: figures and text put into one self-contained HTML file.

`build` draws everything from arrays and the dictionary of `metrics.json`; `ReportData.of` gathers them.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector
from verovolto.evaluation.groups import scored_rows
from verovolto.evaluation.run import Evaluation
from verovolto.report import evaluation_text as text
from verovolto.report import figures
from verovolto.report.html import (
    INK,
    MUTED,
    Face,
    Gallery,
    Page,
    Pick,
    data_uri,
    environment,
    estimate,
    pick,
    png,
    side_by_side,
    strips,
)
from verovolto.report.robustness import auroc_against_level, flagged_against_level, robustness_sentences

LATENT_FACES = 600  # of either class at most half; t-SNE of more takes minutes and shows no more
_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Latents:
    """Latent means `[n, Z]` of some faces, their labels `[n]`, and the KL by dimension in nats, `[n, Z]`, if known."""

    means: np.ndarray
    fake: np.ndarray
    kl: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What a report shows.

    `metrics` is the dictionary of `metrics.json`; `scores` (by name, `[n]`, trivial statistics too, NaN where missing)
    and `fake` `[n]` are the evaluated faces. `training` holds the columns of `metrics.csv`, `command` makes the report
    again, `notice` is a banner on top, and `hide_faces` turns every face into a mosaic.
    """

    title: str
    metrics: Mapping[str, Any]
    scores: Mapping[str, np.ndarray]
    fake: np.ndarray
    command: str
    false_alarm: float = 0.1
    notice: str | None = None
    galleries: Sequence[Gallery] = ()
    hide_faces: bool = False
    latents: Latents | None = None
    training: Mapping[str, np.ndarray] | None = None
    seed: int = 0

    @staticmethod
    def of(evaluation: Evaluation, out: Path, notice: str | None = None) -> ReportData:
        """Gather what the report of an evaluation shows, with explanations of faces where the detector has them."""
        settings, metrics = evaluation.settings, evaluation.metrics
        score = metrics["score"]
        rows = scored_rows(evaluation.scores, score)
        kept = evaluation.scores.take(rows)
        scores = {name: kept.values(name) for name in (score, *kept.baselines, *kept.scores)}
        fake = kept.strings("label") == "fake"
        shown: list[Gallery] = []
        latents = training = None
        if evaluation.detector is not None and evaluation.faces is not None:
            cut = math.inf if evaluation.threshold is None else evaluation.threshold.value
            explained = (evaluation.detector, evaluation.faces)
            shown = galleries_of(*explained, pick(scores[score], fake, cut), rows, scores[score], fake)
            latents = latents_of(*explained, rows, fake, settings.seed)
        if evaluation.detector_folder is not None:
            training = training_curves(evaluation.detector_folder)
        return ReportData(
            title=evaluation.title, metrics=metrics, scores=scores, fake=fake, command=evaluation.command(out),
            false_alarm=settings.false_alarm,
            notice=" ".join(filter(None, (notice, evaluation.warning))) or None, galleries=shown,
            hide_faces=settings.hide_faces, latents=latents, training=training, seed=settings.seed,
        )  # fmt: skip


def write_report(evaluation: Evaluation, out: Path, *, notice: str | None = None) -> Path:
    """Write an evaluation with its report into `out`; `notice` is a banner on top. Returns the report's path."""
    page = build(ReportData.of(evaluation, out, notice))
    report = page.write(out)
    evaluation.write(out)
    return report


def summary(metrics: Mapping[str, Any], false_alarm: float) -> str:
    """The figures of `metrics.json` as a few lines of text."""
    verdict = text.verdict(metrics, false_alarm=false_alarm, also=robustness_sentences(metrics))
    rows = _rows(metrics)
    width = max(len(name) for name, _, _ in rows)
    lines = [
        f"  {name:{width}}  AUROC {estimate(row['auroc']):22}  EER {estimate(row.get('eer')):22}"
        for name, row, _ in rows
    ]
    interval = metrics["interval"]
    note = f"95 % intervals over {interval['clusters']} clusters ({interval['cluster']})"
    note = note if interval["resamples"] else "no intervals: they need --resamples"
    return "\n".join([verdict.headline, *verdict.sentences, *lines, note])


def build(data: ReportData) -> Page:
    """Draw the figures and fill the template."""
    drawn = _score_figures(data)
    latent = _latent_figures(data, drawn)
    if data.training is not None:
        _add(drawn, "training", figures.training_curves(data.training))
    robustness = data.metrics.get("robustness")
    if robustness is not None:
        drawn["robustness_auroc"] = auroc_against_level(robustness)
        _add(drawn, "robustness_flagged", flagged_against_level(robustness))
    shown = _gallery_cards(data, drawn)
    html = environment().get_template("report.html.j2").render(
        title=data.title,
        m=data.metrics,
        verdict=text.verdict(
            data.metrics, false_alarm=data.false_alarm, also=robustness_sentences(data.metrics)
        ),
        operating=text.threshold_at(data.metrics, data.false_alarm),
        rows=_rows(data.metrics),
        images={name: data_uri(png) for name, png in drawn.items()},
        galleries=shown,
        hide_faces=data.hide_faces,
        latent=latent,
        robustness=robustness,
        command=data.command,
        notice=data.notice,
    )  # fmt: skip
    return Page(html=html, figures=drawn)


def _rows(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], str]]:
    """Name, figures and group of every score, the evaluated one first."""
    others = [("score", metrics["other_scores"]), ("baseline", metrics["baselines"])]
    first = (metrics["score"], metrics, "score")
    return [first, *((name, row, group) for group, rows in others for name, row in rows.items())]


def _add(drawn: dict[str, bytes], name: str, png: bytes | None) -> None:
    if png is not None:
        drawn[name] = png


def _score_figures(data: ReportData) -> dict[str, bytes]:
    metrics, fake, name = data.metrics, data.fake, data.metrics["score"]
    values = data.scores[name]
    baselines = [baseline for baseline in metrics["baselines"] if baseline in data.scores]
    chosen = text.threshold_at(metrics, data.false_alarm)
    lines: dict[str, float] = {}
    if chosen is not None:
        lines[f"threshold at {100 * data.false_alarm:g} % false alarms"] = float(chosen["value"])
    drawn = {
        "histogram": figures.histogram(values, fake, name=name, thresholds=lines),
        "roc": figures.roc(
            {each: data.scores[each] for each in (name, *baselines)}, fake, baselines=baselines
        ),
        "precision_recall": figures.precision_recall(values, fake),
        "f1": figures.f1_against_threshold(values, fake, name=name, thresholds=lines),
    }
    rows = _rows(metrics)
    if len(rows) > 1:
        drawn["auroc"] = figures.forest(
            ((each, row["auroc"], INK if group == "score" else MUTED) for each, row, group in rows),
            label="AUROC (0.5 = chance; below: reals score higher)", reference=0.5, span=(0.35, 0.65),
            marks={MUTED: "D"},
        )  # fmt: skip
    if (metrics["calibration"] or {}).get("curve"):
        drawn["calibration"] = figures.calibration(metrics["calibration"]["curve"])
    if "sharpness" in baselines:
        sharpness = data.scores["sharpness"]
        both = np.isfinite(sharpness)
        drawn["sharpness"] = figures.score_against(
            values[both], sharpness[both], fake[both], x="sharpness", y=name
        )
    return drawn


def _latent_figures(data: ReportData, drawn: dict[str, bytes]) -> dict[str, float] | None:
    latents = data.latents
    if latents is None or len(latents.means) < 5:
        return None
    drawn["tsne"] = figures.tsne(latents.means, latents.fake, seed=data.seed)
    drawn["latent_use"], facts = figures.latent_use(latents.means, latents.kl)
    return {**facts, "faces": float(len(latents.means))}


def _gallery_cards(data: ReportData, drawn: dict[str, bytes]) -> list[dict[str, Any]]:
    shown = []
    for gallery in data.galleries:
        cards = strips(gallery, hide=data.hide_faces)
        if not cards:
            continue
        drawn[f"gallery_{gallery.name}"] = png(side_by_side(cards))
        images = [data_uri(png(card)) for card in cards]
        pairs = [(image, face.caption) for image, face in zip(images, gallery.faces, strict=True)]
        shown.append({"title": gallery.title, "text": gallery.text, "cards": pairs})
    return shown


def training_curves(detector: Path) -> dict[str, np.ndarray] | None:
    """Columns of the `metrics.csv` of a detector's training, NaN where a cell is empty; None without such a file."""
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
    picks: Sequence[Pick],
    rows: np.ndarray,
    values: np.ndarray,
    fake: np.ndarray,
) -> list[Gallery]:
    """The picked faces with their reconstructions and errors, where the detector has them.

    Args:
        detector: Explains the faces.
        faces: The set of faces.
        picks: Which to show, as positions among the scored faces.
        rows: int64 `[n]`, positions in `faces` of the scored faces.
        values: Their scores, `[n]`.
        fake: Boolean `[n]`.
    """
    shown = []
    for each in picks:
        explained = _explain(detector, faces, rows[each.rows])
        reconstructions = explained.get("reconstructions", [None] * len(each.rows))
        errors = explained.get("anomaly_map", [None] * len(each.rows))
        cards = [
            Face(
                image=faces.image(int(rows[row])).permute(1, 2, 0).numpy(),
                reconstruction=reconstruction,
                error=error,
                caption=f"{'fake' if fake[row] else 'real'} · {values[row]:.4g}",
            )
            for row, reconstruction, error in zip(each.rows, reconstructions, errors, strict=True)
        ]
        shown.append(Gallery(name=each.name, title=each.title, text=each.text, faces=cards))
    return shown


def latents_of(
    detector: Detector, faces: FaceSet, rows: np.ndarray, fake: np.ndarray, seed: int
) -> Latents | None:
    """Latents of at most `LATENT_FACES` faces, of either class alike; None where the detector has none.

    Args:
        detector: Explains the faces.
        faces: The set of faces.
        rows: int64 `[n]`, positions in `faces` of those to draw from.
        fake: Boolean `[n]`.
        seed: Seed of the draw.
    """
    rng = np.random.default_rng(seed)
    half = [rng.permutation(np.flatnonzero(fake == kind))[: LATENT_FACES // 2] for kind in (False, True)]
    chosen = np.sort(np.concatenate(half))
    explained = _explain(detector, faces, rows[chosen])
    if "latents" not in explained:
        return None
    return Latents(means=explained["latents"], fake=fake[chosen], kl=explained.get("kl"))


def _explain(detector: Detector, faces: FaceSet, rows: np.ndarray) -> dict[str, Any]:
    """`anomaly_map` `[n, h, w]`, `reconstructions` uint8 `[n, H, W, 3]`, `latents` and `kl` `[n, Z]`: what there is."""
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(rows), _BATCH):
        explained = detector.explain([faces.image(int(row)) for row in rows[start : start + _BATCH]])
        if explained is None:
            return {}
        for name in ("anomaly_map", "latents", "kl"):
            if (value := getattr(explained, name)) is not None:
                parts.setdefault(name, []).append(value.float().numpy())
        if explained.reconstructions is not None:
            pixels = (explained.reconstructions * 255).round().byte().permute(0, 2, 3, 1)
            parts.setdefault("reconstructions", []).append(pixels.numpy())
    return {name: np.concatenate(values) for name, values in parts.items()}
