"""Give a detector its calibration: real faces that neither training nor the choice of the epoch has seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import pyarrow as pa

from verovolto.calibration.frame_correlation import largest_correlation
from verovolto.calibration.input_domain import DISTANCE, DISTANCE_RATE, Domain, conditions
from verovolto.calibration.thresholds import (
    FALSE_ALARMS,
    Calibration,
    Threshold,
    every_supervised_threshold,
    needed,
    one_class_thresholds,
    refused_rates,
)
from verovolto.core.errors import CalibrationError
from verovolto.data.faceset import FaceSet
from verovolto.data.score_table import ScoreTable
from verovolto.data.splits import cluster_ids, name_of_clusters, video_keys
from verovolto.detectors.base import Detector
from verovolto.detectors.score_faces import read_batch, score_faces

SEVERAL_FRAMES = 4
"""Median number of frames a real video from which a calibration on videos is made beside that on faces."""

FEWEST_VIDEOS = 5
"""Real videos of several frames from which a source says how much the frames of one have in common."""

FEWEST_OF_SOURCE = 39
"""Real faces that a source needs for a place of its own in the calibration: at 5 % one or two of them lie higher."""

FEWEST_PEOPLE = needed(0.05)
"""People (or videos, or photographs, where nobody says who is seen) that it needs besides: many frames of few people
say of these how high they score, and nothing of the next."""

UNRECORDED = "method not recorded"
_BATCH = 64

D = TypeVar("D", bound=Detector)


def calibrated(detector: D, held_out: FaceSet, *, seed: int | None, named: str = "val/calibrate") -> D:
    """The detector with the conformal calibration of every score, its named thresholds and its domain.

    Reals give the one-class thresholds; fakes, where there are any, the share of fakes missed and the supervised
    thresholds, which are labelled so. A score besides the default one that is infinite on some face stays without a
    calibration.

    Args:
        detector: it is changed, and returned.
        held_out: faces that it has not learned from, such as the `calibrate` half of the validation faces. Where their
            reals are of several sources, what is promised holds in each.
        seed: that cut them, for the record; None where nothing was cut.
        named: what they are, in words.

    Raises:
        CalibrationError: `held_out` holds no real face, or the default score is no number.
    """
    table = score_faces(detector, held_out, quiet=True)
    readable = table.strings("status") == "ok"
    groups = _Groups.of(table, readable)
    if not groups.real.any():
        raise CalibrationError(
            "there is no real face to calibrate on", hint="the validation split needs some"
        )
    thresholds: list[Threshold] = []
    refused: dict[float, int] = {}
    for name in detector.score_names:
        values = table.values(name)
        if name != detector.default_score and not np.isfinite(values[readable]).all():
            continue  # such as the KL of a network that was trained without a weight on it
        known = groups.calibration(name, values)
        detector.calibration[name] = known
        refused = refused_rates(known)
        thresholds += groups.thresholds(known, values, refused, named)
    detector.thresholds = thresholds
    detector.domain = _domain(held_out, np.flatnonzero(groups.real), detector.calibration.get(DISTANCE))
    detector.metadata["calibrated_on"] = {
        "split": named, "real": int(groups.real.sum()), "fake": int(groups.fake.sum()),
        "clusters": groups.clusters, "cluster": groups.cluster, "halved_by_seed": seed, **groups.sizes(),
        "refused_rates": [{"false_alarm": rate, "needs": size} for rate, size in refused.items()],
    }  # fmt: skip
    return detector


def calibrated_anew(
    detector: D, held_out: FaceSet, before: Calibration | None, *, seed: int | None, named: str
) -> D:
    """As `calibrated`, of a detector that was before: without fakes to try it on, those known before still count.

    Args:
        detector: it is changed, and returned.
        held_out: faces that it has not learned from.
        before: the former calibration of the default score, None for none.
        seed: see `calibrated`.
        named: see `calibrated`.
    """
    detector = calibrated(detector, held_out, seed=seed, named=named)
    known = detector.calibration[detector.default_score]
    if before is not None and not known.fakes:
        detector.calibration[detector.default_score] = replace(
            known, fakes=before.fakes, fake_clusters=before.fake_clusters
        )
    return detector


@dataclass(frozen=True, kw_only=True)
class _Groups:
    """Which rows are what: booleans and names `[n]`."""

    real: np.ndarray
    fake: np.ndarray
    methods: np.ndarray
    videos: np.ndarray
    sources: np.ndarray
    cluster_of: np.ndarray
    clusters: int
    cluster: str

    @staticmethod
    def of(table: ScoreTable, readable: np.ndarray) -> _Groups:
        label = table.strings("label")
        real = (label == "real") & readable
        cluster_of = cluster_ids(table.table)
        ids = cluster_of[real]
        return _Groups(
            real=real,
            fake=(label == "fake") & readable,
            methods=_texts(table.table, "method", UNRECORDED),
            videos=video_keys(table.table),
            sources=_texts(table.table, "dataset", ""),
            cluster_of=cluster_of,
            clusters=len(np.unique(ids)),
            cluster=name_of_clusters(ids) if len(ids) else "face",
        )

    def sizes(self) -> dict[str, dict[str, int]]:
        """How many reals there are of each source, where there are several."""
        names, counts = np.unique(self.sources[self.real], return_counts=True)
        return {"sources": dict(zip(names.tolist(), counts.tolist(), strict=True))} if len(names) > 1 else {}

    def calibration(self, name: str, values: np.ndarray) -> Calibration:
        """Of the faces and, where there are several frames of most videos, of the videos."""
        faces = self._of(name, values, self.real, self.fake, self.methods)
        sources = self._by_source(values)
        faces = replace(
            faces,
            frame_correlation=self._frame_correlation(values) if sources else None,
            sources=sources,
            source_clusters={
                source: self._clusters(self.real & (self.sources == source)) for source in sources
            },
        )
        _, counts = np.unique(self.videos[self.real], return_counts=True)
        if np.median(counts) < SEVERAL_FRAMES:
            return faces
        keys, first, video = np.unique(self.videos, return_index=True, return_inverse=True)
        known = self.real | self.fake
        sums = np.bincount(video[known], weights=values[known], minlength=len(keys))
        sizes = np.bincount(video[known], minlength=len(keys))
        means = np.divide(sums, sizes, out=np.full(len(keys), np.nan), where=sizes > 0)
        real, fake = (
            np.bincount(video[rows], minlength=len(keys)).astype(bool) for rows in (self.real, self.fake)
        )
        return replace(faces, videos=self._of(name, means, real, fake, self.methods[first]))

    def _frame_correlation(self, values: np.ndarray) -> float | None:
        real = self.real
        return largest_correlation(
            values[real], self.videos[real], self.sources[real], fewest=FEWEST_VIDEOS, frames=SEVERAL_FRAMES
        )

    def _by_source(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """The scores of the reals of each source, where there are several with faces enough to keep a promise."""
        enough = places(self.sources[self.real], self.cluster_of[self.real])
        if len(np.unique(self.sources[self.real])) < 2 or not enough:
            return {}
        return {
            name: np.sort(values[self.real & (self.sources == name)]).astype(np.float64) for name in enough
        }

    def _of(
        self,
        name: str,
        values: np.ndarray,
        real: np.ndarray,
        fake: np.ndarray,
        methods: np.ndarray,
    ) -> Calibration:
        fakes = {str(method): values[fake & (methods == method)] for method in np.unique(methods[fake])}
        known = Calibration.of(
            values[real], score=name, clusters=self.clusters, cluster=self.cluster, fakes=fakes
        )
        return replace(known, fake_clusters=self._clusters(self.fake)) if fakes else known

    def _clusters(self, rows: np.ndarray) -> int:
        """How many independent groups some rows `[n]` (bool) are of."""
        return len(np.unique(self.cluster_of[rows]))

    def thresholds(
        self, known: Calibration, values: np.ndarray, refused: dict[float, int], named: str
    ) -> list[Threshold]:
        """Those of reals alone at every supported rate, and those that need fakes."""
        supported = [rate for rate in FALSE_ALARMS if rate not in refused]
        reals, fakes = self.real.sum(), self.fake.sum()
        found = one_class_thresholds(known, supported, f"{reals} real faces of {named}")
        if fakes:
            chosen_on = f"{reals} real and {fakes} fake faces of {named}"
            found += every_supervised_threshold(
                values[self.real], values[self.fake], score=known.score, chosen_on=chosen_on
            )
        return found


def places(sources: np.ndarray, people: np.ndarray) -> list[str]:
    """The sources that have a place of their own in a calibration.

    Args:
        sources: of real faces, `[n]`.
        people: whom each shows, `[n]`.
    """
    return [
        str(name)
        for name, count in zip(*np.unique(sources, return_counts=True), strict=True)
        if count >= FEWEST_OF_SOURCE and len(np.unique(people[sources == name])) >= FEWEST_PEOPLE
    ]


def _texts(table: pa.Table, column: str, unknown: str) -> np.ndarray:
    """A column of strings, `[n]`."""
    return np.asarray([value or unknown for value in table.column(column).to_pylist()], dtype=np.str_)


def _domain(faces: FaceSet, rows: np.ndarray, distance: Calibration | None) -> Domain:
    """Under which conditions the faces of some rows were seen, and how far they lie from those trained on."""
    reals = faces.take(rows)
    parts = []
    for start in range(0, len(reals), _BATCH):
        _, batch = read_batch(reals, start, min(start + _BATCH, len(reals)))
        parts.append(conditions(batch))
    domain = Domain.of({name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]})
    if distance is None:
        return domain
    few = distance.smallest < needed(DISTANCE_RATE)
    limit = float(distance.values[-1]) if few else distance.threshold(DISTANCE_RATE)
    return Domain(ranges={**domain.ranges, DISTANCE: (0.0, limit)})
