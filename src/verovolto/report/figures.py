"""The figures of a report, each a pure function from arrays to PNG bytes.

Real faces are blue, fakes orange; higher scores mean more likely fake. Only the t-SNE is random: it takes a seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from verovolto.report.html import FAKE, INK, MUTED, REAL, Canvas

CLASSES = (("real", False, REAL), ("fake", True, FAKE))
BASELINE_GREYS = ("#4a5568", "#8895a7", "#b8c2cf")
# Var(mu) of a latent dimension above this counts as active (Burda et al., ICLR 2016, sec. 5.2).
ACTIVE_VARIANCE = 0.01


def histogram(
    scores: np.ndarray, fake: np.ndarray, *, name: str, thresholds: Mapping[str, float] | None = None
) -> bytes:
    """Overlaid density histograms of the score of reals and fakes; each sums to 1 over its area.

    The axis spans the 0.1 to 99.9 % range of all scores; what lies beyond is counted in the outermost bins.

    Args:
        scores: `[n]`.
        fake: Boolean `[n]`.
        name: Name of the score.
        thresholds: Lines to draw, by name.
    """
    low, high = np.quantile(scores, [0.001, 0.999])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, int(np.clip(np.sqrt(len(scores)) * 1.5, 12, 60)) + 1)
    shown = np.clip(scores, low, high)
    with Canvas() as canvas:
        for label, kind, colour in CLASSES:
            of = shown[fake == kind]
            canvas.axes.hist(
                of, bins=list(edges), density=True, histtype="stepfilled", color=colour, alpha=0.38,
                edgecolor=colour, linewidth=1.4, label=f"{label} (n = {len(of)})",
            )  # fmt: skip
        _threshold_lines(canvas.axes, thresholds or {}, low, high)
        canvas.axes.set(xlabel=f"{name} (higher = more likely fake)", ylabel="density")
        canvas.axes.legend()
    return canvas.png


def roc(scores: Mapping[str, np.ndarray], fake: np.ndarray, *, baselines: Sequence[str] = ()) -> bytes:
    """ROC curves of several scores `[n]` of the same faces; the trivial statistics thin and grey."""
    with Canvas(4.6, 4.3) as canvas:
        canvas.axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1)
        for label, style, fpr, tpr in _curves(scores, fake, baselines):
            canvas.axes.plot(fpr, tpr, label=label, **style)
        canvas.axes.set(xlabel="false alarms (share of reals flagged)", ylabel="share of fakes flagged")
        canvas.axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        canvas.axes.legend(loc="lower right")
    return canvas.png


def precision_recall(scores: np.ndarray, fake: np.ndarray) -> bytes:
    """Precision against recall of each class, the score negated for the reals; dotted: guessing."""
    with Canvas(4.6, 4.3) as canvas:
        for label, kind, colour in CLASSES:
            positive = fake == kind
            steps = precision_recall_steps(scores if kind else -scores, positive)
            canvas.axes.step(*steps, where="pre", color=colour, label=label)
            canvas.axes.axhline(float(positive.mean()), color=colour, linestyle=":", linewidth=1)
        canvas.axes.set(xlabel="recall", ylabel="precision", xlim=(-0.01, 1.01), ylim=(0, 1.02))
        canvas.axes.legend(loc="lower left", title="class taken as positive")
    return canvas.png


def precision_recall_steps(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision from the highest score down, to be drawn in steps; `positive` boolean `[n]`."""
    precision, recall, _ = precision_recall_curve(positive, scores)
    precision, recall = precision[-2::-1], recall[-2::-1]  # the last point is of no score
    return np.r_[0, recall], np.r_[precision[0], precision]


def f1_against_threshold(
    scores: np.ndarray, fake: np.ndarray, *, name: str, thresholds: Mapping[str, float] | None = None
) -> bytes:
    """F1 of each class when faces that score above the threshold are flagged, for every threshold.

    Args:
        scores: `[n]`.
        fake: Boolean `[n]`.
        name: Name of the score.
        thresholds: Lines to draw, by name.
    """
    cuts = np.unique(scores)
    tp = (fake.sum() - np.searchsorted(np.sort(scores[fake]), cuts, side="right")).astype(float)
    fp = ((~fake).sum() - np.searchsorted(np.sort(scores[~fake]), cuts, side="right")).astype(float)
    fn, tn = fake.sum() - tp, (~fake).sum() - fp
    with Canvas() as canvas:
        canvas.axes.step(cuts, 2 * tp / (2 * tp + fp + fn), where="post", color=FAKE, label="F1 of fake")
        canvas.axes.step(cuts, 2 * tn / (2 * tn + fp + fn), where="post", color=REAL, label="F1 of real")
        low, high = np.quantile(scores, [0.001, 0.999])
        if low < high:
            canvas.axes.set_xlim(low, high)
        canvas.axes.set(xlabel=f"threshold on {name}", ylabel="F1", ylim=(0, 1))
        _threshold_lines(canvas.axes, thresholds or {}, low, high)
        canvas.axes.legend(loc="best")
    return canvas.png


def calibration(curve: Sequence[Mapping[str, Any]]) -> bytes:
    """Nominal against realised false-alarm rate on the evaluated reals, with 95 % intervals.

    `curve` holds points `{"nominal": float, "realised": {"value", "low", "high"}}`.
    """
    nominal = np.array([point["nominal"] for point in curve])
    values = [point["realised"] for point in curve]
    realised = np.array([figure["value"] for figure in values])
    low, high = (
        np.array([figure["value"] if figure[end] is None else figure[end] for figure in values])
        for end in ("low", "high")
    )
    top = float(max(nominal.max(), high.max())) * 1.06
    with Canvas(4.6, 4.3) as canvas:
        canvas.axes.plot([0, top], [0, top], color=MUTED, linestyle=":", linewidth=1, label="as promised")
        canvas.axes.fill_between(nominal, low, high, color=REAL, alpha=0.18, linewidth=0)
        canvas.axes.plot(nominal, realised, color=REAL, marker="o", markersize=4, label="on these reals")
        canvas.axes.set(xlabel="false-alarm rate asked for", ylabel="false-alarm rate found")
        canvas.axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
        canvas.axes.legend(loc="upper left")
    return canvas.png


def forest(
    rows: Iterable[tuple[str, Mapping[str, float | None], str]],
    *,
    label: str,
    reference: float = 0.0,
    band: float = 0.0,
    span: tuple[float, float] | None = None,
    marks: Mapping[str, str] | None = None,
) -> bytes:
    """Figures with their 95 % intervals, one below the other: name, estimate and colour.

    Args:
        rows: from top to bottom.
        label: of the axis.
        reference: the figure that stands for nothing found.
        band: shades what differs from it by no more.
        span: what the axis shows at least.
        marks: by colour; a disc elsewhere.
    """
    shown = list(rows)
    with Canvas(7.0, 1.0 + 0.36 * len(shown)) as canvas:
        axes = canvas.axes
        if band:
            axes.axvspan(reference - band, reference + band, color=MUTED, alpha=0.18, linewidth=0)
        axes.axvline(reference, color=MUTED, linestyle=":", linewidth=1.2)
        for place, (_, figure, colour) in enumerate(shown):
            value, low, high = (figure[key] for key in ("value", "low", "high"))
            if value is None:
                continue
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot([value], [place], marker=(marks or {}).get(colour, "o"), color=colour, markersize=6)
        axes.set_yticks(range(len(shown)), [name for name, _, _ in shown])
        axes.set(xlabel=label, ylim=(len(shown) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
        if span:
            bounds = [bound for _, figure, _ in shown for bound in figure.values() if bound is not None]
            axes.set_xlim(
                min([span[0], *(b - 0.03 for b in bounds)]), max([span[1], *(b + 0.03 for b in bounds)])
            )
    return canvas.png


def score_against(scores: np.ndarray, statistic: np.ndarray, fake: np.ndarray, *, x: str, y: str) -> bytes:
    """Scatter of a score against a trivial statistic, which it may follow.

    Args:
        scores: `[n]`.
        statistic: `[n]`.
        fake: Boolean `[n]`.
        x: Name of the statistic.
        y: Name of the score.
    """
    with Canvas() as canvas:
        order = np.random.default_rng(0).permutation(len(scores))[:4000]  # neither class on top
        colours = np.where(fake[order], FAKE, REAL)
        canvas.axes.scatter(statistic[order], scores[order], c=colours, s=9, alpha=0.45, linewidths=0)
        for label, kind, colour in CLASSES:
            of = fake == kind
            canvas.axes.scatter([], [], c=colour, s=20, label=label)
            canvas.axes.plot(
                [np.median(statistic[of])], [np.median(scores[of])], marker="P", markersize=11, color=colour,
                markeredgecolor="white", linestyle="none",
            )  # fmt: skip
        if (statistic > 0).all() and statistic.max() > 20 * np.median(statistic):
            canvas.axes.set_xscale("log")
        canvas.axes.set(xlabel=f"{x} (crosses: medians)", ylabel=y)
        canvas.axes.legend()
    return canvas.png


def tsne(latents: np.ndarray, fake: np.ndarray, *, seed: int = 0) -> bytes:
    """t-SNE (van der Maaten & Hinton, 2008) of latent means `[n, Z]`, seeded; needs at least 5 faces.

    The picture has no scale, and a round cloud does not show that the latents are normal.
    """
    from sklearn.manifold import TSNE  # slow to import, and most pages need none

    perplexity = min(30.0, (len(latents) - 1) / 3)
    flat = np.asarray(latents, dtype=np.float64)
    flat = flat - flat.mean(axis=0)
    if flat.shape[1] > 50:  # the authors' own first step: the 50 leading principal components
        u, size, _ = np.linalg.svd(flat, full_matrices=False)
        flat = (u * size)[:, :50]
    init = "random" if flat.shape[1] < 2 else "pca"
    places = TSNE(
        n_components=2, perplexity=perplexity, init=init, random_state=seed, max_iter=600
    ).fit_transform(flat)
    with Canvas(5.4, 4.8) as canvas:
        order = np.random.default_rng(seed).permutation(len(places))
        colours = np.where(fake[order], FAKE, REAL)
        canvas.axes.scatter(places[order, 0], places[order, 1], c=colours, s=14, alpha=0.7, linewidths=0)
        for label, _, colour in CLASSES:
            canvas.axes.scatter([], [], c=colour, s=20, label=label)
        canvas.axes.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
        canvas.axes.legend(loc="best")
    return canvas.png


def latent_use(means: np.ndarray, kl: np.ndarray | None) -> tuple[bytes, dict[str, float]]:
    """Use of the latent dimensions: mean KL per dimension (nats) where known, else Var(mu); sorted.

    `means`, `kl`: `[n, Z]`. Returns the figure and `{"active", "dimensions", "kl"}`: dimensions with
    Var(mu) > 0.01 (Burda et al., 2016), how many there are, and the mean summed KL (only where known).
    """
    variance = np.asarray(means, dtype=np.float64).var(axis=0)
    facts = {"active": float((variance > ACTIVE_VARIANCE).sum()), "dimensions": float(len(variance))}
    shown, label = variance, "Var(mu)"
    if kl is not None:
        shown, label = np.asarray(kl, np.float64).mean(axis=0), "KL (nats)"
        facts["kl"] = float(shown.sum())
    with Canvas(6, 2.9) as canvas:
        ranked = np.sort(shown)[::-1]
        canvas.axes.fill_between(np.arange(1, len(ranked) + 1), ranked, step="mid", color=REAL, alpha=0.5)
        canvas.axes.set(xlabel="latent dimension, by rank", ylabel=label, xlim=(0.5, len(ranked) + 0.5))
        canvas.axes.set_ylim(bottom=0)
    return canvas.png, facts


def training_curves(columns: Mapping[str, np.ndarray]) -> bytes | None:
    """Loss of training and validation reals, and the validation RMSE where logged, against the epoch.

    `columns` maps the names of `metrics.csv` to float arrays of one length, NaN where a cell is empty. None
    when there is no loss to show.
    """
    epoch = columns.get("epoch")
    losses = [name for name in ("train_loss", "val_loss") if _points(columns, name)]
    if epoch is None or not losses:
        return None
    panels = [losses, *([["val_rmse"]] if _points(columns, "val_rmse") else [])]
    colours = {"train_loss": MUTED, "val_loss": REAL, "val_rmse": REAL}
    with Canvas(6.0 if len(panels) > 1 else 4.6, 3.0, columns=len(panels)) as canvas:
        for axes, names in zip(canvas.all_axes, panels, strict=True):
            for name in names:
                x, y = _by_epoch(epoch, columns[name])
                axes.plot(x, y, color=colours[name], marker=".", label=name.replace("_", " "))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set(xlabel="epoch", title=" and ".join(name.replace("_", " ") for name in names))
            axes.legend()
    return canvas.png


def _points(columns: Mapping[str, np.ndarray], name: str) -> bool:
    return name in columns and bool(np.isfinite(columns[name]).any())


def _by_epoch(epoch: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the defined values of each epoch."""
    defined = np.isfinite(values) & np.isfinite(epoch)
    unique, inverse = np.unique(epoch[defined], return_inverse=True)
    return unique, np.bincount(inverse, weights=values[defined]) / np.bincount(inverse)


def _threshold_lines(axes: Axes, thresholds: Mapping[str, float], low: float, high: float) -> None:
    for place, (name, value) in enumerate(thresholds.items()):
        if low <= value <= high:
            axes.axvline(value, color=INK, linestyle=("--", "-.", ":")[place % 3], linewidth=1.2, label=name)


def _curves(
    scores: Mapping[str, np.ndarray], fake: np.ndarray, baselines: Sequence[str]
) -> list[tuple[str, dict[str, Any], np.ndarray, np.ndarray]]:
    strong = ["#1a202c", "#2b6cb0", "#6b46c1", "#2f855a", "#b83280"]
    lines: list[tuple[str, dict[str, Any], np.ndarray, np.ndarray]] = []
    for name, values in scores.items():
        defined = np.isfinite(values)
        fpr, tpr, _ = roc_curve(fake[defined], values[defined])
        greys = [*baselines].index(name) if name in baselines else None
        style: dict[str, Any] = {
            "color": strong[len(lines) % len(strong)],
            "linewidth": 2.2 - 0.2 * bool(lines),
        }
        if greys is not None:
            style = {"color": BASELINE_GREYS[greys % 3], "linewidth": 1.0, "linestyle": "--"}
        lines.append((name, style, fpr, tpr))
    return lines
