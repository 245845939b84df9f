"""The thesis's figures: each a function from arrays to PNG bytes, and all of one model under one protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from verovolto.core.files import atomic_path
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.evaluation.groups import scored_rows
from verovolto.report.evaluation_page import galleries_of, latents_of
from verovolto.report.figures import (
    CLASSES,
    f1_against_threshold,
    forest,
    latent_use,
    precision_recall_steps,
    tsne,
)
from verovolto.report.html import FAKE, INK, MUTED, REAL, Canvas, Pick, png, side_by_side, strips
from verovolto.report.network_diagrams import diagram
from verovolto.thesis.error_spectra import ErrorSpectra, error_spectra, mean_spectra
from verovolto.thesis.metrics import area_under_pr
from verovolto.thesis.networks import checkpoint_detector, run_folder
from verovolto.thesis.plan import network_of
from verovolto.thesis.protocols import ModelScores, labels_of

EACH = 10
"""Faces of either class in the galleries, as in the thesis."""
CYCLES = "frequency (cycles per pixel)"
_SPECTRA_EACH = 3
_SPECTRA_FACES = 300  # of either class at most half: means of more look the same
_COLUMNS = 3
_BINS = 30
_GAP = 4  # white pixels between the spectra of two faces

Estimate = Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Scores `[n]` of the test faces after `epoch` epochs, and which are of fakes `[n]`."""

    epoch: int
    scores: np.ndarray
    fake: np.ndarray


def model_figures(
    model: ModelScores, data: Path, choice: Mapping[str, Any], table: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    """Draw all figures of a model under a protocol as PNG files.

    Args:
        model: its scores.
        data: the split file.
        choice: the epoch chosen, as `protocols.choose_epoch` returns it.
        table: its rows, as `protocols.tabulate` returns them.
        folder: of the step.

    Returns:
        `figures`, their names, and `latents`, how many dimensions are active.
    """
    plan, epoch, score = model.plan, choice["epoch"], model.score
    test = model.table(epoch)
    detector = checkpoint_detector(run_folder(plan, model.protocol, network_of(model.model)), epoch)
    faces = FaceSet.open(data).select(split="test")
    rows = scored_rows(test, score)
    fake = test.strings("label")[rows] == "fake"
    rng = np.random.default_rng(plan.seed)
    drawn = np.concatenate([rng.permutation(np.flatnonzero(fake == kind))[:EACH] for kind in (False, True)])
    pictures = _of_scores(model, choice, table)
    latent, facts = _of_latents(detector, faces, rows, fake, plan.seed)
    gallery = _galleries(detector, faces, drawn, rows, test.values(score)[rows], fake, plan.no_faces)
    pictures |= latent | gallery | _of_spectra(model, detector, faces, test, rows, drawn)
    pictures["network"] = diagram(detector.architecture)
    for name, picture in pictures.items():
        with atomic_path(folder / f"{name}.png") as part:
            part.write_bytes(picture)
    return {"figures": sorted(pictures), "latents": facts}


def _of_scores(model: ModelScores, choice: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, bytes]:
    """Histograms and curves of every checkpoint, and F1 against the threshold on the validation faces."""
    score, chosen = model.score, choice["epoch"]
    checkpoints = []
    for epoch in model.scored:
        values, fake = labels_of(model.table(epoch), score)
        checkpoints.append(Checkpoint(epoch=epoch, scores=values, fake=fake))
    thresholds = [row["threshold"] for row in table["rows"] if row["score"] == score]
    lines = {threshold["name"]: float(threshold["value"]) for threshold in thresholds}
    values, fake = labels_of(model.table(chosen, "val"), score)
    return {
        "histograms": checkpoint_histograms(checkpoints, name=score, chosen=chosen),
        "precision_recall": checkpoint_precision_recall(checkpoints, chosen=chosen),
        "f1": f1_against_threshold(values, fake, name=score, thresholds=lines),
    }


def _of_latents(
    detector: VAEDetector, faces: FaceSet, rows: np.ndarray, fake: np.ndarray, seed: int
) -> tuple[dict[str, bytes], dict[str, float] | None]:
    """t-SNE of the latent means, and what each dimension carries, which a round cloud does not say."""
    latents = latents_of(detector, faces, rows, fake, seed)
    if latents is None or len(latents.means) < 5:
        return {}, None
    use, facts = latent_use(latents.means, latents.kl)
    return {"tsne": tsne(latents.means, latents.fake, seed=seed), "latent_use": use}, facts


def _galleries(
    detector: VAEDetector,
    faces: FaceSet,
    drawn: np.ndarray,
    rows: np.ndarray,
    values: np.ndarray,
    fake: np.ndarray,
    hide: bool,
) -> dict[str, bytes]:
    """Ten reals and ten fakes, drawn by the seed: input, reconstruction, error; one colour scale for both."""
    pick = Pick(name="drawn", title="Drawn by the seed", text="", rows=drawn)
    (gallery,) = galleries_of(detector, faces, [pick], rows, values, fake)
    cards = list(zip(strips(gallery, hide=hide), fake[drawn], strict=True))
    return {
        f"faces_{label}": png(side_by_side([card for card, is_fake in cards if is_fake == kind]))
        for label, kind in (("real", False), ("fake", True))
    }


def _of_spectra(
    model: ModelScores,
    detector: VAEDetector,
    faces: FaceSet,
    test: ScoreTable,
    rows: np.ndarray,
    drawn: np.ndarray,
) -> dict[str, bytes]:
    """Spectra of single errors, in two dimensions and, where that is kept, in three; the means of both classes."""
    label = test.strings("label")
    rng = np.random.default_rng([model.plan.seed, 3])
    some = [rng.permutation(rows[label[rows] == kind])[: _SPECTRA_FACES // 2] for kind in ("real", "fake")]
    shown = [rows[drawn[label[rows[drawn]] == kind][:_SPECTRA_EACH]] for kind in ("real", "fake")]
    chosen = np.unique(np.concatenate([*some, *shown]))
    places = np.searchsorted(chosen, np.concatenate(shown))
    spectra = error_spectra(detector, faces.take(chosen), pictures=places)
    sample = model.plan.sample(test.take(chosen[spectra.rows]), model.score)
    captions = [str(label[row]) for row in np.concatenate(shown)]
    mean = mean_spectra(spectra.frequency, spectra.radial, sample.fake, sample.resamples)
    return {
        "spectra": spectrum_gallery(spectra, captions, cube=bool(model.kept("3d-spectrum"))),
        "radial": radial_spectra(mean),
    }


def checkpoint_histograms(checkpoints: Sequence[Checkpoint], *, name: str, chosen: int) -> bytes:
    """Overlaid densities of the score of reals and fakes at each checkpoint (thesis, figure 9; sum of f_i w_i = 1).

    Each panel has an axis of its own, over the 0.1 to 99.9 % range of its scores; what lies beyond is counted in the
    outermost bins.
    """
    columns, rows = min(_COLUMNS, len(checkpoints)), math.ceil(len(checkpoints) / _COLUMNS)
    with Canvas(3.1 * columns + 0.6, 2.5 * rows + 0.3, columns=columns, rows=rows) as canvas:
        for axes, one in zip(canvas.all_axes, checkpoints, strict=False):
            low, high = np.quantile(one.scores, [0.001, 0.999])
            edges = np.linspace(low, high if high > low else low + 1e-6, _BINS + 1)
            for label, kind, colour in CLASSES:
                of = np.clip(one.scores[one.fake == kind], edges[0], edges[-1])
                axes.hist(
                    of, bins=list(edges), density=True, histtype="stepfilled", color=colour, alpha=0.38,
                    edgecolor=colour, linewidth=1.2, label=label,
                )  # fmt: skip
            axes.set_title(f"epoch {one.epoch}" + (" (chosen)" if one.epoch == chosen else ""))
            axes.set_xlabel(name)
        for axes in canvas.all_axes[len(checkpoints) :]:
            axes.set_visible(False)
        canvas.axes.set_ylabel("density")
        canvas.axes.legend()
    return canvas.png


def checkpoint_precision_recall(checkpoints: Sequence[Checkpoint], *, chosen: int) -> bytes:
    """Precision against recall of the *real* faces at each checkpoint, with the area (thesis, figure 10).

    Dotted: the share of reals, which guessing reaches.
    """
    with Canvas(5.4, 4.3) as canvas:
        shades = np.linspace(0.25, 0.85, len(checkpoints))
        for one, shade in zip(checkpoints, shades, strict=True):
            best = one.epoch == chosen
            canvas.axes.step(
                *precision_recall_steps(-one.scores, ~one.fake), where="pre",
                color=REAL if best else str(0.95 - 0.6 * shade), linewidth=2.2 if best else 1.2,
                zorder=3 if best else 2,
                label=f"epoch {one.epoch}{' (chosen)' if best else ''}: area {area_under_pr(one.scores, one.fake):.3f}",
            )  # fmt: skip
        share = float((~checkpoints[0].fake).mean())
        canvas.axes.axhline(share, color=MUTED, linestyle=":", linewidth=1.2)
        canvas.axes.set(
            xlabel="recall of reals", ylabel="precision of reals", xlim=(-0.01, 1.01), ylim=(0, 1.02)
        )
        canvas.axes.legend(loc="lower left")
    return canvas.png


def shortcut_forest(shortcuts: Sequence[Mapping[str, Any]], metrics: Mapping[str, str]) -> bytes:
    """What each shortcut adds to a figure, with its 95 % interval: as published minus as it should be.

    `shortcuts` as `ablation.Shortcut.to_dict` gives them; `metrics` names the metric to show of each shortcut's name.
    """
    rows = []
    for one in shortcuts:
        metric = metrics[one["name"]]
        difference = one["figures"][metric]["difference"]
        name = f"{one['name']} ({metric.replace('_', ' ')})"
        rows.append((name, difference, FAKE if (difference["low"] or 0) > 0 else INK))
    return forest(rows, label="as published minus as it should be")


def radial_spectra(spectra: Mapping[str, Any], *, name: str = "error") -> bytes:
    """Mean radial log10 power of reals and fakes, and their difference in decibels, as `mean_spectra` gives them.

    The 95 % bands by cluster hold for each frequency by itself.
    """
    frequency = spectra["frequency"]

    def draw(axes: Axes, which: str, colour: str, *, scale: int, alpha: float, label: str | None) -> None:
        curve = {end: scale * np.array(of, dtype=np.float64) for end, of in spectra[which].items()}
        axes.plot(frequency, curve["value"], color=colour, label=label)
        axes.fill_between(frequency, curve["low"], curve["high"], color=colour, alpha=alpha, linewidth=0)

    with Canvas(9.0, 3.6, columns=2) as canvas:
        left, right = canvas.all_axes
        for label, _, colour in CLASSES:
            draw(left, label, colour, scale=1, alpha=0.22, label=f"{label} (n = {spectra['faces'][label]})")
        left.set(xlabel=CYCLES, ylabel=f"log10 power of the {name}", title="Mean spectrum")
        left.legend()
        right.axhline(0, color=MUTED, linestyle=":", linewidth=1.2)
        draw(right, "difference", INK, scale=10, alpha=0.18, label=None)
        right.set(xlabel=CYCLES, ylabel="fake minus real (dB)", title="Difference")
    return canvas.png


def spectrum_gallery(spectra: ErrorSpectra, captions: Sequence[str], *, cube: bool = True) -> bytes:
    """The spectra of the pictured errors, a row a face, at least one, with its caption.

    The 3-D amplitude as the thesis shows it, its three planes as red, green and blue, each face on a scale of its own,
    beside the power spectra of the channels and the luma, all on one scale. Without `cube` the power spectra alone.
    """
    low, high = np.quantile(spectra.planes, [0.005, 0.995])
    height, width = spectra.planes.shape[-2:]
    titles = (*(["3-D, as published"] if cube else []), "red", "green", "blue", "luma")
    with Canvas(8.6, 0.75 + 1.55 * len(captions) * height / width, columns=len(titles)) as canvas:
        stacks = [*np.moveaxis(spectra.planes, 1, 0)]
        if cube:
            stacks.insert(0, np.moveaxis(spectra.amplitude, 1, 3))
        for axes, title, stack in zip(canvas.all_axes, titles, stacks, strict=True):
            blank = 1.0 if stack.ndim == 4 else np.nan
            mesh = axes.imshow(_column(stack, blank), cmap="inferno", vmin=low, vmax=high, aspect="equal")
            axes.grid(visible=False)
            axes.set(xticks=[], yticks=[])
            axes.set_title(title, fontsize=8.5)
            axes.spines[:].set_visible(False)
        middles = [(height + _GAP) * i + height / 2 for i in range(len(captions))]
        canvas.axes.set_yticks(middles, captions, fontsize=8)
        canvas.figure.colorbar(
            mesh, ax=canvas.all_axes[int(cube) :], label="log10 power", orientation="horizontal", shrink=0.6,
            aspect=40,
        )  # fmt: skip
    return canvas.png


def _column(stack: np.ndarray, blank: float) -> np.ndarray:
    """Pictures `[n, h, w, ...]` one above the other, a gap between them."""
    padding = [(0, 0), (0, _GAP), *[(0, 0)] * (stack.ndim - 2)]
    return np.concatenate(list(np.pad(stack, padding, constant_values=blank)))[:-_GAP]
