"""Several detectors as one: their conformal p-values, combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from verovolto.calibration.conformal import RULES, SmoothP
from verovolto.core.errors import DetectorError, InputError
from verovolto.data.face_batch import FaceBatch, to_batch
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector, Explanation, SavedState, Scores, load_detector
from verovolto.detectors.io import digest_of, read_description
from verovolto.detectors.registry import register
from verovolto.detectors.score_faces import score_faces
from verovolto.networks import FusionRule

SCORE = "fused"
PARTS = "parts"
"""Folder of the parts inside the detector's own: `parts/0`, `parts/1`, …"""


@register("fusion", source="docs/detectors; of finished detectors, by verovolto fuse")
@dataclass(kw_only=True, eq=False)
class FusedDetector(Detector):
    """Each of the `detectors` gives its default score; `references` holds, for each, scores of the same real faces.

    Against these a score becomes a p-value (`calibration.conformal.SmoothP`), and `rule` makes one statistic
    of the p-values (`calibration.conformal.RULES`). **The parts see the same face, so their p-values depend on
    each other, and no table of the rule's holds**: the statistic is a score like any other, and what may be
    promised of it, threshold and p-value, comes from the fusion's own calibration on other real faces,
    whatever the dependence.

    Its scores are the statistic, and the default score of each part as `part0-NAME`. Sizes of the parts' inputs may
    differ, since each brings a crop to its own; crops may not. Raises InputError for parts that want differently cut
    crops, for fewer than two of them and for an unknown rule.
    """

    kind = "fusion"

    detectors: Sequence[Detector]
    references: Sequence[NDArray[np.float64]]
    rule: FusionRule = "fisher"
    name: str = "fusion"
    default_score: str = SCORE

    def __post_init__(self) -> None:
        check_parts(self.detectors)
        if self.rule not in RULES:
            raise InputError(f"no rule is called {self.rule!r}", hint=f"there are {', '.join(RULES)}")
        self._scales = [SmoothP.of(reference) for reference in self.references]
        names = tuple(f"part{i}-{part.name}" for i, part in enumerate(self.detectors))
        self.score_names = (SCORE, *names)

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        """That of the parts that know theirs."""
        return next((part.crop_rule for part in self.detectors if part.crop_rule is not None), None)

    @override
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        parts = [part.score_batch(batch, anomaly_map=anomaly_map) for part in self.detectors]
        statistic, terms = self._combined([part.score for part in parts])
        columns = {SCORE: torch.from_numpy(statistic).float()}
        columns |= {name: part.score for name, part in zip(self.score_names[1:], parts, strict=True)}
        where = _weighted([part.anomaly_map for part in parts], terms) if anomaly_map else None
        return Scores(columns=columns, default=SCORE, anomaly_map=where)

    def explain(self, images: Any) -> Explanation | None:
        """The crops as the first part with an anomaly map sees them, with the map of all; None without such a part."""
        batch = to_batch(images)
        anomaly_map = self.score_batch(batch, anomaly_map=True).anomaly_map
        shown = next(filter(None, (part.explain(images) for part in self.detectors)), None)
        return (
            None
            if shown is None or anomaly_map is None
            else Explanation(inputs=shown.inputs, anomaly_map=anomaly_map)
        )

    def _combined(self, scores: Sequence[Tensor]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The statistic `[b]` and what each part adds to it `[b, k]`."""
        logs = [scale.logs(part.double().numpy()) for scale, part in zip(self._scales, scores, strict=True)]
        log_p, log_q = (np.stack(side, axis=-1) for side in zip(*logs, strict=True))
        return RULES[self.rule](log_p, log_q)

    def save(self, path: Path) -> None:
        """Write the parts' folders, then its own two files, which name the parts by their digests."""
        for i, part in enumerate(self.detectors):
            part.save(path / PARTS / str(i))
        self._digests = [
            digest_of(read_description(path / PARTS / str(i))) for i in range(len(self.detectors))
        ]
        super().save(path)

    @override
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {
            f"reference.{i}": torch.from_numpy(np.ascontiguousarray(reference))
            for i, reference in enumerate(self.references)
        }
        metadata = [
            {"name": part.name, "score": part.default_score, "digest": digest}
            for part, digest in zip(self.detectors, self._digests, strict=True)
        ]
        return tensors, {"rule": self.rule, "parts": metadata}

    @classmethod
    @override
    def from_state(cls, saved: SavedState) -> FusedDetector:
        detectors = []
        for i, written in enumerate(saved.description["parts"]):
            part = saved.folder / PARTS / str(i)
            if digest_of(read_description(part)) != written["digest"]:
                raise DetectorError(
                    f"{part} is another detector than the one that was fused",
                    hint="copy the whole folder again",
                )
            detectors.append(load_detector(part, str(saved.common["device"])))
        references = [saved.tensors[f"reference.{i}"].double().numpy() for i in range(len(detectors))]
        return cls(detectors=detectors, references=references, rule=saved.description["rule"], **saved.common)

    @override
    def summary_lines(self) -> list[str]:
        calibrated = self.metadata["calibrated_on"]
        return [
            f"{self.rule} of {len(self.detectors)} detectors; p-values of each by "
            f"{self.metadata['chosen_on']['faces']} real faces, thresholds set on "
            f"{calibrated['real']} more ({calibrated['clusters']} clusters by {calibrated['cluster']})"
        ]


def check_parts(detectors: Sequence[Detector]) -> None:
    """Raises InputError for fewer than two detectors, and for those that cannot look at the same crop."""
    if len(detectors) < 2:
        raise InputError(f"{len(detectors)} detector cannot be fused", hint="name at least two")
    known = [(part.name, part.crop_rule) for part in detectors if part.crop_rule is not None]
    for name, rule in known[1:]:
        if rule != known[0][1]:
            raise InputError(
                f"{known[0][0]} wants faces cropped by {known[0][1]}, {name} by {rule}: no crop suits both",
                hint="train them on crops of one rule",
            )


def reference_scores(detector: Detector, reals: FaceSet, fingerprint: str) -> NDArray[np.float64]:
    """Default scores of real faces that a part has not learned from, ascending float64 `[n]`.

    A part that was fitted to these very faces (of the set of that `fingerprint`) has set aside what new ones like them
    would score (`held_out`): in its own eyes they are too typical, and each real face to come would look suspicious
    beside them.
    """
    set_aside = getattr(detector, "held_out", None)
    if set_aside is not None and detector.metadata.get("fitted_on", {}).get("fingerprint") == fingerprint:
        return np.asarray(set_aside, dtype=np.float64)
    values = score_faces(detector, reals, quiet=True).values(detector.default_score)
    return np.sort(values[np.isfinite(values)])


def _weighted(
    maps: Sequence[Float[Tensor, "b _ _"] | None], terms: NDArray[np.float64]
) -> Float[Tensor, "b h w"] | None:
    """Anomaly maps, each of the same whole, weighted by what its part adds that speaks for a fake; None without any.

    Parts' maps have units of their own, so only where each is hot is taken from it. The mean of a face's map is what
    its parts with maps add.
    """
    there = [(one, terms[:, i]) for i, one in enumerate(maps) if one is not None]
    if not there:
        return None
    side = (max(one.shape[1] for one, _ in there), max(one.shape[2] for one, _ in there))
    total = torch.zeros(len(terms), *side)
    for one, term in there:
        resized = torch.nn.functional.interpolate(one[:, None].float(), size=side, mode="bilinear")[:, 0]
        whole = resized.sum((1, 2), keepdim=True)
        share = torch.where(whole > 0, resized / whole, 0.0)
        total += torch.from_numpy(term).float().clamp_min(0)[:, None, None] * share
    return total * (side[0] * side[1])
