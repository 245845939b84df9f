"""Figures of spectra, each a pure function from arrays to PNG bytes, in the style of `figures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from verovolto.evaluation.bootstrap import Estimate
from verovolto.report.figures import CLASSES, INK, MUTED, Canvas
from verovolto.thesis.experiments.spectra.error_statistics import Curve, MeanSpectra
from verovolto.thesis.experiments.spectra.statistics import SpectralComparison

CYCLES = "frequency (cycles per pixel)"
_COLOURS = (INK, "#6b46c1", "#2f855a", "#b83280", "#8895a7")
_GAP = 4  # white pixels between the spectra of two faces


def radial_spectra(spectra: MeanSpectra, *, name: str = "error") -> bytes:
    """Mean radial log10 power of reals and fakes, and their difference in decibels, with 95 % bands by cluster, which
    hold for each frequency by itself."""
    with Canvas(9.0, 3.6, columns=2) as canvas:
        left, right = canvas.all_axes
        for label, _, colour in CLASSES:
            curve: Curve = getattr(spectra, label)
            left.plot(
                spectra.frequency, curve.value, color=colour, label=f"{label} (n = {spectra.faces[label]})"
            )
            left.fill_between(spectra.frequency, curve.low, curve.high, color=colour, alpha=0.22, linewidth=0)
        left.set(xlabel=CYCLES, ylabel=f"log10 power of the {name}", title="Mean spectrum")
        left.legend()
        gap = spectra.difference
        right.axhline(0, color=MUTED, linestyle=":", linewidth=1.2)
        right.plot(spectra.frequency, 10 * gap.value, color=INK)
        right.fill_between(spectra.frequency, 10 * gap.low, 10 * gap.high, color=INK, alpha=0.18, linewidth=0)
        right.set(xlabel=CYCLES, ylabel="fake minus real (dB)", title="Difference")
    return canvas.png


def band_effects(comparisons: Mapping[str, SpectralComparison]) -> bytes:
    """Hedges' g of each band with its interval, one series a comparison (at most five, of the same bands).

    Filled marks: corrected p <= 0.05. Above 0 the fakes hold more power.
    """
    with Canvas(6.6, 3.9) as canvas:
        axes = canvas.axes
        axes.axhline(0, color=MUTED, linestyle=":", linewidth=1.2)
        for place, (name, comparison) in enumerate(comparisons.items()):
            colour = _COLOURS[place % len(_COLOURS)]
            for band in comparison.bands:
                share = (place + 1) / (len(comparisons) + 1)
                _mark(axes, band.low + share * (band.high - band.low), band.g, colour, filled=band.differs)
            axes.plot([], [], marker="o", color=colour, linestyle="none", label=name)
        edges = sorted({edge for c in comparisons.values() for b in c.bands for edge in (b.low, b.high)})
        axes.set_xticks(edges, [f"{edge:.3g}" for edge in edges])
        axes.set(
            xlabel=f"band, {CYCLES}",
            ylabel="Hedges' g (filled: corrected p ≤ 0.05)",
            xlim=(edges[0], edges[-1]),
        )
        canvas.figure.legend(loc="outside upper center", ncols=len(comparisons))
    return canvas.png


@dataclass(frozen=True, kw_only=True)
class FaceSpectra:
    """One face's error, seen in both ways. `amplitude` `[3, h, w]` in [0, 1] (`features.spectrum.amplitude_3d`),
    `log_power` `[4, h, w]`: red, green, blue, luma (`power_spectrum`, `log_power`); `caption` stands beside."""

    amplitude: np.ndarray
    log_power: np.ndarray
    caption: str


def spectrum_gallery(faces: Sequence[FaceSpectra], *, cube: bool = True) -> bytes:
    """The 3-D amplitude as the thesis shows it, its three planes as red, green and blue, each face on a scale of its
    own, beside the power spectra of the channels and the luma, all on one scale. A row a face, at least one. Without
    `cube` the power spectra alone."""
    shown = np.stack([face.log_power for face in faces])
    low, high = np.quantile(shown, [0.005, 0.995])
    height, width = shown.shape[-2:]
    titles = (*(["3-D, as published"] if cube else []), "red", "green", "blue", "luma")
    with Canvas(8.6, 0.75 + 1.55 * len(faces) * height / width, columns=len(titles)) as canvas:
        stacks = [*np.moveaxis(shown, 1, 0)]
        if cube:
            stacks.insert(0, np.stack([np.moveaxis(face.amplitude, 0, 2) for face in faces]))
        for axes, title, stack in zip(canvas.all_axes, titles, stacks, strict=True):
            blank = 1.0 if stack.ndim == 4 else np.nan
            mesh = axes.imshow(_column(stack, blank), cmap="inferno", vmin=low, vmax=high, aspect="equal")
            axes.grid(visible=False)
            axes.set(xticks=[], yticks=[])
            axes.set_title(title, fontsize=8.5)
            axes.spines[:].set_visible(False)
        middles = [(height + _GAP) * i + height / 2 for i in range(len(faces))]
        canvas.axes.set_yticks(middles, [face.caption for face in faces], fontsize=8)
        canvas.figure.colorbar(
            mesh,
            ax=canvas.all_axes[int(cube) :],
            label="log10 power",
            orientation="horizontal",
            shrink=0.6,
            aspect=40,
        )
    return canvas.png


def _column(stack: np.ndarray, blank: float) -> np.ndarray:
    """Pictures `[n, h, w, ...]` one above the other, a gap between them."""
    padding = [(0, 0), (0, _GAP), *[(0, 0)] * (stack.ndim - 2)]
    return np.concatenate(list(np.pad(stack, padding, constant_values=blank)))[:-_GAP]


def _mark(axes: Axes, place: float, figure: Estimate, colour: str, *, filled: bool) -> None:
    if figure.value is None:
        return
    if figure.low is not None and figure.high is not None:
        axes.plot([place, place], [figure.low, figure.high], color=colour, linewidth=1.4)
    face = colour if filled else "white"
    axes.plot([place], [figure.value], marker="o", color=colour, markerfacecolor=face, markersize=5)
