"""What a verdict weighs: how much more often known fakes look like this than held-out real faces.

A likelihood ratio compares two propositions, *forged in a way like the known fakes* and *unaltered, like the faces
calibrated on*. It says how far a verdict should move whoever had an opinion before, and nothing of how probable either
is (ENFSI guideline for evaluative reporting in forensic science, 2015).

Shares stand in for densities: of a suspect face those at or beyond its p-value, of any other those that are no
suspects. Their interval counts every person once, as if all faces of one person said the same. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from verovolto.calibration.thresholds import Calibration

_Z = 1.959963984540054
_BOUNDS = ((2.0, "no support"), (10.0, "weak support"), (100.0, "moderate support"))
_STRONGEST = "moderately strong support"


@dataclass(frozen=True, kw_only=True)
class LikelihoodRatio:
    r"""A likelihood ratio: above 1 it speaks for a forgery, below 1 against one.

    .. math:: \mathrm{LR} = P(\text{looks like this} \mid \text{fake}) \,/\, P(\text{looks like this} \mid \text{real})

    Attributes:
        value: share of fakes over share of reals.
        low: lower end of its 95 % interval.
        high: upper end.
        fakes: share of known fakes that look like this, in (0, 1).
        reals: share of held-out real files that do, in (0, 1].
        known: how many fakes that was measured on.
        people: independent groups of people behind the share of reals.
        people_of_fakes: the same of the fakes.
    """

    value: float
    low: float
    high: float
    fakes: float
    reals: float
    known: int
    people: int
    people_of_fakes: int

    @property
    def words(self) -> str:
        """The ratio on the verbal scale of ENFSI (2015): `weak support for a forgery at most`."""
        strength = _word(self.value)
        weakest = (
            1.0
            if self.low <= 1 <= self.high
            else min((self.low, self.high), key=lambda end: abs(math.log(end)))
        )
        if strength == _BOUNDS[0][1]:
            return "no support for either"
        towards = "for a forgery" if self.value > 1 else "against a forgery"
        return f"{strength} {towards}" + (" at most" if _word(weakest) != strength else "")

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**{name: _rounded(value) for name, value in vars(self).items()}, "words": self.words}

    @staticmethod
    def from_dict(written: Mapping[str, Any]) -> LikelihoodRatio:
        """The inverse of `to_dict`."""
        return LikelihoodRatio(**{name: value for name, value in written.items() if name != "words"})


def _rounded(value: float) -> float:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _word(ratio: float) -> str:
    away = max(ratio, 1 / ratio)
    return next((word for bound, word in _BOUNDS if away < bound), _STRONGEST)


def of_suspects(calibration: Calibration, p_value: float, tests: int = 1) -> LikelihoodRatio | None:
    """Of a face that is suspect by its p-value; None where no fakes are known.

    Args:
        calibration: of the faces, or of the videos, that gave the p-value.
        p_value: of the face alone, in (0, 1].
        tests: people judged in the same file: any of them would have been called suspect.

    >>> calibration = Calibration.of(range(99), score="s", clusters=99, cluster="face", fakes={"swap": [97.5] * 40})
    >>> ratio = of_suspects(calibration, 0.05)
    >>> round(ratio.value), ratio.words
    (20, 'moderate support for a forgery at most')
    """
    fakes = _p_values_of_fakes(calibration)
    if fakes is None:
        return None
    people = _people(calibration, p_value)
    p_value = max(p_value, 1.0 / (people + 1))  # of rarer faces so many people can say no more
    beyond = int((fakes <= p_value * (1 + 1e-9)).sum())
    return _ratio(
        beyond, len(fakes), min(1.0, tests * p_value), people=people, of_fakes=calibration.fake_clusters
    )


def of_others(calibration: Calibration, false_alarm: float, tests: int = 1) -> LikelihoodRatio | None:
    """Of a face that is no suspect at this rate; None where no fakes are known.

    Args:
        calibration: of the faces, or of the videos, that gave the p-value.
        false_alarm: share of real files that may be called suspect, in (0, 1).
        tests: people judged in the same file.
    """
    fakes = _p_values_of_fakes(calibration)
    if fakes is None:
        return None
    passing = int((fakes > false_alarm / tests * (1 + 1e-9)).sum())
    people = _people(calibration, false_alarm)
    return _ratio(passing, len(fakes), 1.0 - false_alarm, people=people, of_fakes=calibration.fake_clusters)


def of_faces(calibration: Calibration, scores: np.ndarray, false_alarm: float) -> np.ndarray | None:
    """The ratios that single faces of these scores `[n]` would be given, `[n]`; None where no fakes are known."""
    other = of_others(calibration, false_alarm)
    if other is None:
        return None
    ratios = np.full(len(scores), other.value)
    p_values = calibration.p_values(scores)
    for p_value in np.unique(p_values[p_values <= false_alarm * (1 + 1e-9)]):
        found = of_suspects(calibration, float(p_value))
        assert found is not None, "there are fakes"
        ratios[p_values == p_value] = found.value
    return ratios


def _people(calibration: Calibration, rate: float) -> int:
    """Independent groups of people behind the share of real faces at a rate.

    Of several sources the p-value is that of the worst: then those of the source of which most faces score beyond.
    """
    people = min(calibration.clusters, len(calibration))
    if not calibration.source_clusters:
        return people
    threshold = calibration.threshold(max(rate, 1.0 / (calibration.smallest + 1))) if rate < 1 else -math.inf
    beyond = {name: float((values > threshold).mean()) for name, values in calibration.sources.items()}
    worst = max(beyond, key=lambda name: beyond[name])
    return calibration.source_clusters[worst] if beyond[worst] > 0 else people


def _p_values_of_fakes(calibration: Calibration) -> np.ndarray | None:
    """Of all known fakes, whatever their method."""
    scores = [values for values in calibration.fakes.values() if len(values)]
    return calibration.p_values(np.concatenate(scores)) if scores else None


def _ratio(fakes: int, of: int, reals: float, *, people: int, of_fakes: int | None) -> LikelihoodRatio:
    """The ratio of shares, with a 95 % interval on the logarithm.

    Katz et al., "Obtaining confidence intervals for the risk ratio in cohort studies", Biometrics 34, 1978, with half a
    fake added on either side, so that no share is 0 or 1, and every person counted once.

    Args:
        fakes: that look like this.
        of: all of them.
        reals: share of real files that do, in (0, 1].
        people: independent groups behind it.
        of_fakes: those of the fakes; where nobody recorded them, as many as of the reals are taken.
    """
    behind = min(people if of_fakes is None else of_fakes, of)
    share = (fakes + 0.5) / (of + 1)
    spread = math.sqrt((1 - reals) / (reals * people) + (1 - share) / (share * behind))
    value = share / reals
    return LikelihoodRatio(
        value=value,
        low=value * math.exp(-_Z * spread),
        high=value * math.exp(_Z * spread),
        fakes=share,
        reals=reals,
        known=of,
        people=people,
        people_of_fakes=behind,
    )
