"""Several detectors as one: their conformal p-values, combined."""

from __future__ import annotations

import math
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

from verovolto.calibration.conformal import RULES, SmoothP, combined
from verovolto.calibration.input_domain import DISTANCE
from verovolto.core.errors import DetectorError, InputError
from verovolto.data.crop_rule import CropRule, Look, look_at, shows
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

    Its scores are the statistic, the default score of each part as `part0-NAME`, and the distance from the real faces
    of the first part that knows it. Sizes of the parts' inputs may differ, since each brings a crop to its own. So may
    their looks: faces are cropped by the widest rule, and every part is given what its own rule cuts out of that.
    `weights` say how much each part counts; None: all alike.

    Raises InputError for parts none of whose crops shows all that the others look at, for fewer than two of them, for
    an unknown rule and for weights that are none.
    """

    kind = "fusion"

    detectors: Sequence[Detector]
    references: Sequence[NDArray[np.float64]]
    rule: FusionRule = "fisher"
    weights: Sequence[float] | None = None
    name: str = "fusion"
    default_score: str = SCORE

    def __post_init__(self) -> None:
        self._rule = check_parts(self.detectors)
        self._looks = [look_at(self._rule, part.crop_rule) for part in self.detectors]
        check_weights(self.weights, len(self.detectors))
        if self.rule not in RULES:
            raise InputError(f"no rule is called {self.rule!r}", hint=f"there are {', '.join(RULES)}")
        self._scales = [SmoothP.of(reference) for reference in self.references]
        names = tuple(f"part{i}-{part.name}" for i, part in enumerate(self.detectors))
        measures = any(DISTANCE in part.score_names for part in self.detectors)
        self.score_names = (SCORE, *names, *((DISTANCE,) if measures else ()))

    @property
    def crop_rule(self) -> dict[str, Any] | None:
        """The widest of the parts that know theirs."""
        return self._rule

    @override
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        parts = [
            part.score_batch(_seen(batch, look), anomaly_map=anomaly_map)
            for part, look in zip(self.detectors, self._looks, strict=True)
        ]
        statistic, terms = self._combined([part.score for part in parts])
        columns = {SCORE: torch.from_numpy(statistic).float()}
        columns |= {name: part.score for name, part in zip(self.score_names[1:], parts, strict=False)}
        if DISTANCE in self.score_names:
            columns[DISTANCE] = next(part[DISTANCE] for part in parts if DISTANCE in part.columns)
        maps = [_placed(part.anomaly_map, look) for part, look in zip(parts, self._looks, strict=True)]
        where = _weighted(maps, terms) if anomaly_map else None
        return Scores(columns=columns, default=SCORE, anomaly_map=where)

    def explain(self, images: Any) -> Explanation | None:
        """The crops as the widest part with an anomaly map sees them, with the map of all; None without such a part."""
        batch = to_batch(images)
        anomaly_map = self.score_batch(batch, anomaly_map=True).anomaly_map
        widest_first = sorted(
            zip(self.detectors, self._looks, strict=True), key=lambda pair: pair[1] is not None
        )
        shown = next(
            filter(None, (part.explain(_seen(batch, look).images) for part, look in widest_first)), None
        )
        return (
            None
            if shown is None or anomaly_map is None
            else Explanation(inputs=shown.inputs, anomaly_map=anomaly_map)
        )

    def _combined(self, scores: Sequence[Tensor]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The statistic `[b]` and what each part adds to it `[b, k]`."""
        logs = [scale.logs(part.double().numpy()) for scale, part in zip(self._scales, scores, strict=True)]
        log_p, log_q = (np.stack(side, axis=-1) for side in zip(*logs, strict=True))
        return combined(self.rule, log_p, log_q, self.weights)

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
        weights = {} if self.weights is None else {"weights": [float(weight) for weight in self.weights]}
        return tensors, {"rule": self.rule, **weights, "parts": metadata}

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
        return cls(
            detectors=detectors, references=references, rule=saved.description["rule"],
            weights=saved.description.get("weights"), **saved.common,
        )  # fmt: skip

    def _how_weighted(self) -> str:
        rules = [part.crop_rule for part in self.detectors]
        looks = [f"{rule['scale']:g}" for rule in rules if rule is not None]
        seen = f" that look at {' and '.join(looks)} x the face's box" if len({*looks}) > 1 else ""
        if self.weights is None:
            return seen
        return f"{seen}, weighted {' : '.join(f'{weight:g}' for weight in self.weights)}"

    @override
    def summary_lines(self) -> list[str]:
        calibrated = self.metadata["calibrated_on"]
        return [
            f"{self.rule} of {len(self.detectors)} detectors{self._how_weighted()}; p-values of each by "
            f"{self.metadata['chosen_on']['faces']} real faces, thresholds set on "
            f"{calibrated['real']} more ({calibrated['clusters']} clusters by {calibrated['cluster']})"
        ]


def check_parts(detectors: Sequence[Detector]) -> dict[str, Any] | None:
    """The crop rule that shows what every part looks at; None where no part knows its own.

    Raises InputError for fewer than two detectors, and for those that no crop of theirs suits.
    """
    if len(detectors) < 2:
        raise InputError(f"{len(detectors)} detector cannot be fused", hint="name at least two")
    known = [
        (part.name, CropRule.from_dict(rule)) for part in detectors if (rule := part.crop_rule) is not None
    ]
    if not known:
        return None
    (name, widest), (narrow_name, narrow) = (pick(known, key=lambda of: of[1].scale) for pick in (max, min))
    if not all(shows(widest, rule) for _, rule in known):
        raise InputError(
            f"{name} wants faces cropped by {widest.to_dict()}, {narrow_name} by {narrow.to_dict()}: "
            "no crop suits both",
            hint="train them on crops of one rule, or the wider one on crops by --crop wide",
        )
    return widest.to_dict()


def check_weights(weights: Sequence[float] | None, parts: int) -> None:
    """Raises InputError unless there is a weight above 0 for each of so many parts."""
    if weights is None:
        return
    if len(weights) != parts or not all(0 < weight < math.inf for weight in weights):
        raise InputError(
            f"the weights {', '.join(f'{weight:g}' for weight in weights)} are none for {parts} parts",
            hint="give each part a number above 0",
        )


def _seen(batch: FaceBatch, look: Look | None) -> FaceBatch:
    """The faces as a part sees them; None: as they are."""
    if look is None:
        return batch
    return FaceBatch(images=[look.cut(image) for image in batch.images], encoded_bytes=batch.encoded_bytes)


def _placed(anomaly_map: Float[Tensor, "b h w"] | None, look: Look | None) -> Float[Tensor, "b H W"] | None:
    """The map of a look in the crop that it was cut from, nothing around it."""
    if anomaly_map is None or look is None:
        return anomaly_map
    side = round(anomaly_map.shape[-1] / look.side)
    x0, y0, x1, y1 = look.box(side)
    whole = anomaly_map.new_zeros(len(anomaly_map), side, side)
    resized = torch.nn.functional.interpolate(
        anomaly_map[:, None].float(), size=(y1 - y0, x1 - x0), mode="bilinear"
    )
    whole[:, y0:y1, x0:x1] = resized[:, 0]
    return whole


def reference_scores(detector: Detector, reals: FaceSet, fingerprint: str) -> NDArray[np.float64]:
    """Default scores of real faces that a part has not learned from, ascending float64 `[n]`.

    A part that was fitted to these very faces (of the set of that `fingerprint`) has set aside what new ones like them
    would score (`held_out`): in its own eyes they are too typical, and each real face to come would look suspicious
    beside them.
    """
    set_aside = getattr(detector, "held_out", None)
    if set_aside is not None and detector.metadata.get("fitted_on", {}).get("fingerprint") == fingerprint:
        return np.asarray(set_aside, dtype=np.float64)
    values = score_faces(detector, reals.seen_by(detector.crop_rule), quiet=True).values(
        detector.default_score
    )
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
