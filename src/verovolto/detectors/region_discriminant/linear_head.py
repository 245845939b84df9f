"""The linear head of a region discriminant, the spread of its scores, and its test on sources left out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from verovolto.calibration.thresholds import Calibration, share_interval
from verovolto.detectors.calibrate import FEWEST_OF_SOURCE
from verovolto.detectors.region_discriminant.features import FeatureSpec
from verovolto.detectors.region_discriminant.fisher import Discriminant, fisher, source_weights
from verovolto.detectors.region_discriminant.spread import FEWEST, ScoreSpread
from verovolto.features.distance import FeatureDistance

RATE = 0.05
"""The false-alarm rate that is promised where a source is left out to see whether the promise holds."""

CORRUPTIONS_IN_DISTANCE = 10.0
"""How much benign corruptions count in the distance that says what is no face like those learned from: at 10 less than
half as many blurred faces are out of the domain as at 0, and drawings and noise are still out of it."""

HeldOut = Mapping[str, NDArray[np.float32]]
"""Features `[n, D]` of real faces that nothing is fitted to, by source."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What a head is fitted to: features of faces, columns as of `spec`.

    Attributes:
        spec: of the columns.
        reals: untouched real faces `[n, D]`.
        sources: the collection that each is of, `[n]`.
        differences: forgeries minus their sources `[m, D]`.
        kinds: of forgery, `[m]`.
        corrupted: benignly corrupted faces minus the same untouched `[k, D]`.
    """

    spec: FeatureSpec
    reals: NDArray[np.float32]
    sources: NDArray[Any]
    differences: NDArray[np.float32]
    kinds: Sequence[str]
    corrupted: NDArray[np.float32]

    def part(self, spec: FeatureSpec) -> Measured:
        """Some of the columns."""
        at = spec.positions(self.spec)
        return replace(
            self,
            spec=spec,
            reals=self.reals[:, at],
            differences=self.differences[:, at],
            corrupted=self.corrupted[:, at],
        )


def fit_head(measured: Measured, *, shrinkage: float, wear: float, source_weight: float) -> Discriminant:
    """Fisher's discriminant of what was measured.

    Args:
        measured: features of untouched, forged and corrupted faces.
        shrinkage: see `fisher`.
        wear: see `fisher`.
        source_weight: see `fisher`.
    """
    return fisher(
        measured.reals, measured.differences, measured.kinds, measured.corrupted,
        sources=measured.sources, shrinkage=shrinkage, wear=wear, source_weight=source_weight,
    )  # fmt: skip


def fit_distance(measured: Measured, *, corruptions: float = 0.0) -> FeatureDistance | None:
    """How far faces lie from the untouched reals, by the token that the backbone has for it; None without tokens.

    What a corruption does to a face counts `corruptions` times as much as how untouched faces differ.
    """
    at = measured.spec.of_distance
    if at.start == at.stop:
        return None
    scaled = np.float32(np.sqrt(corruptions)) * measured.corrupted[:, at] if corruptions else None
    return FeatureDistance.fit(measured.reals[:, at], source_weights(measured.sources), corruptions=scaled)


def without(measured: Measured, source: str, of_pairs: NDArray[Any]) -> Measured:
    """What was measured, as if a source had taken no part; `of_pairs` `[m]` names the source of each forgery."""
    reals, pairs = measured.sources != source, of_pairs != source
    return replace(
        measured, reals=measured.reals[reals], sources=measured.sources[reals],
        differences=measured.differences[pairs],
        kinds=[kind for kind, kept in zip(measured.kinds, pairs, strict=True) if kept],
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """What gives a score to features: the head, and how its scores spread.

    Attributes:
        head: of the columns of `spec`.
        spec: see there.
        spread: of the scores of a face; None without tokens, or of too few faces: scores stay as they are.
    """

    head: Discriminant
    spec: FeatureSpec
    spread: ScoreSpread | None

    @staticmethod
    def fit(measured: Measured, chosen: HeldOut, **weights: float) -> Fitted:
        """Fit all of it.

        Args:
            measured: what the head is fitted to.
            chosen: other real faces, by source, to which the spread is fitted; empty for none.
            **weights: of `fit_head`.
        """
        plain = Fitted(head=fit_head(measured, **weights), spec=measured.spec, spread=None)
        enough = sum(map(len, chosen.values())) >= FEWEST
        distance = fit_distance(measured) if enough else None
        if distance is None:
            return plain
        features = np.concatenate([*chosen.values()])
        shares = source_weights(np.repeat([*chosen], [len(each) for each in chosen.values()]))
        tokens = features[:, measured.spec.of_distance]
        return replace(plain, spread=ScoreSpread.fit(plain(features), tokens, shares, distance))

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The scores of faces by their features `[n, D]`."""
        scores = np.asarray((features.astype(np.float64) - self.head.origin) @ self.head.slope)
        if self.spread is None:
            return scores
        return np.asarray(scores / self.spread(torch.from_numpy(features[:, self.spec.of_distance])).numpy())


def left_out(
    measured: Measured,
    of_pairs: NDArray[Any],
    held_out: HeldOut,
    chosen: HeldOut | None = None,
    *,
    own_place: Collection[str] | None = None,
    **weights: float,
) -> dict[str, dict[str, Any]]:
    """For each source: fitted and calibrated without it, what share of its reals is flagged at 5 %.

    Args:
        measured: what the head is fitted to.
        of_pairs: the source of the face that each forgery is made of, `[m]`.
        held_out: reals that it is calibrated on; sources with too few faces are not left out.
        chosen: other reals, to which the spread of scores is fitted; None: scores stay as they are.
        own_place: sources that have a place of their own in the calibration; None for all that are left out.
        **weights: of `fit_head`.

    Returns:
        `{"flagged", "of", "share", "low", "high"}` by source; empty where fewer than two can be left out, or nothing
        would be left to forge.
    """
    known = {name: reals for name, reals in held_out.items() if len(reals) >= FEWEST_OF_SOURCE}
    alone = {*known} if own_place is None else {*own_place}
    found: dict[str, dict[str, Any]] = {}
    for name, reals in known.items() if len(known) > 1 else ():
        part = without(measured, name, of_pairs)
        if len(part.differences) and len(part.reals) > 1:
            score = Fitted.fit(
                part, {of: each for of, each in (chosen or {}).items() if of != name}, **weights
            )
            others = {other: score(each) for other, each in known.items() if other != name}
            flags = score(reals) > threshold(others, alone)
            low, high = share_interval(int(flags.sum()), len(flags))
            found[name] = {
                "flagged": int(flags.sum()), "of": len(flags), "share": float(flags.mean()), "low": low, "high": high,
            }  # fmt: skip
    return found


def threshold(sources: Mapping[str, NDArray[np.float64]], own_place: Collection[str]) -> float:
    """The threshold for `RATE` of scores by source: the promise holds in all together, and in each of `own_place`."""
    everybody = np.concatenate([*sources.values()])
    several = {name: np.sort(values) for name, values in sources.items() if name in own_place}
    several = several if len(sources) > 1 else {}
    known = Calibration.of(everybody, score="", clusters=len(everybody), cluster="face", sources=several)
    return known.threshold(RATE)
