"""How the power spectra of the errors are shown: effect sizes by band, mean spectra, and the score made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verovolto.report.evaluation_text import change, estimate
from verovolto.thesis.experiments.spectra.error_spectra import ERROR, IMAGE
from verovolto.thesis.experiments.spectra.error_statistics import GIVEN, TYPICALITY, MeanSpectra
from verovolto.thesis.experiments.spectra.figures import band_effects, radial_spectra
from verovolto.thesis.experiments.spectra.statistics import SpectralComparison

TITLE = "Power spectra of the errors"
_VERDICTS = {"better": "better than", "worse": "worse than"}


def figures(found: Mapping[str, Any]) -> dict[str, bytes]:
    """Mean spectra and effect sizes of each network."""
    drawn = {}
    for one in _judged(found):
        compared = {name: SpectralComparison.from_dict(of) for name, of in one["comparisons"].items()}
        drawn[f"radial-{one['network']}"] = radial_spectra(MeanSpectra.from_dict(one["radial"]))
        drawn[f"effects-{one['network']}"] = band_effects(compared)
    return drawn


def findings(found: Mapping[str, Any]) -> list[str]:
    """How many bands differ and the worth of the score, two sentences a network; the verdict stands in the section."""
    said = [f"{one['network']}: {_of_bands(one)} {_of_score(one)}" for one in _judged(found)]
    return said + [
        f"{one['network']}: not measured, {one['why_not']}." for one in found["networks"] if "why_not" in one
    ]


def _judged(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in found["networks"] if "why_not" not in one]


def _of_bands(one: Mapping[str, Any]) -> str:
    counted = {
        name: len(SpectralComparison.from_dict(of).differing) for name, of in one["comparisons"].items()
    }
    bands = len(one["edges"]) - 1
    return (
        f"of {bands} bands of the error {counted[ERROR]} differ between real and fake, of the pictures' own "
        f"{counted[IMAGE]}, and of the error's once the picture's are allowed for {counted[GIVEN]}."
    )


def _of_score(one: Mapping[str, Any]) -> str:
    name = TYPICALITY.format(GIVEN)
    made, own = one["scores"][name], next(iter(one["scores"]))
    difference = made["difference"]
    beyond = _VERDICTS.get(one["beyond_input"]["verdict"], "not shown to differ from")
    worth = _VERDICTS.get(difference["verdict"], "not shown to differ from")
    return (
        f"As a score, the {name}, has an AUROC of {estimate(made['auroc'])}, {worth} the model's own {own} of "
        f"{estimate(one['scores'][own]['auroc'])} (difference {change(difference)}), {beyond} the same "
        f"score of the pictures alone, without a network (difference {change(one['beyond_input'])})."
    )
