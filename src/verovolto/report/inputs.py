"""What a report shows besides scores: faces with their reconstructions, latents and training curves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from verovolto.data.faceset import FaceSet
    from verovolto.detectors.base import Detector
    from verovolto.report.evaluation_page import Latents
    from verovolto.report.galleries import Gallery, Pick

LATENT_FACES = 600  # of either class at most half; t-SNE of more takes minutes and shows no more
_BATCH = 32


def training_curves(detector: Path) -> dict[str, np.ndarray] | None:
    """Columns of the run's `metrics.csv`, NaN where a cell is empty; None where there is no such file."""
    import csv

    import numpy as np

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
) -> list[Gallery]:
    """The picked faces with their reconstructions and errors, where the detector has them.

    `rows` `[n]` are the positions in `faces` of the scored faces; the picks count within those `n`.
    """
    from verovolto.report.galleries import Face, Gallery

    galleries = []
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
        galleries.append(Gallery(name=one.name, title=one.title, text=one.text, faces=shown))
    return galleries


def latents_of(
    detector: Detector, faces: FaceSet, rows: np.ndarray, fake: np.ndarray, seed: int
) -> Latents | None:
    """Latents of at most `LATENT_FACES` faces drawn by `seed`, of either class alike; None if there are none."""
    import numpy as np

    from verovolto.report.evaluation_page import Latents

    rng = np.random.default_rng(seed)
    half = [rng.permutation(np.flatnonzero(fake == kind))[: LATENT_FACES // 2] for kind in (False, True)]
    chosen = np.sort(np.concatenate(half))
    explained = _explain(detector, faces, rows[chosen])
    if "latents" not in explained:
        return None
    return Latents(means=explained["latents"], fake=fake[chosen], kl=explained.get("kl"))


def _explain(detector: Detector, faces: FaceSet, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Heat maps `[n, h, w]`, reconstructions uint8 `[n, H, W, 3]`, latents and KL `[n, Z]`: what of it is known."""
    import numpy as np

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
