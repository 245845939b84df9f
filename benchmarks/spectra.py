"""Do the spectra of reconstruction errors tell real from fake? The thesis's conjecture, put to the test.

    python benchmarks/spectra.py DETECTOR... --data DATA [--split test] [--fit calibrate] [--bands linear]

DETECTOR is a folder that `verovolto train` wrote. For each one, on the faces of the split:

- effect sizes (Hedges' g, fake minus real) of the log power in 8 bands, with 95 % intervals and p-values corrected for
  the bands: of the luma of the error, of the input itself, of what the input's bands do not explain of the error's,
  and of the error in the inner face, in what surrounds it, and in each colour;
- how much of the input's power the error holds, in decibels: 0 where the model reproduces nothing of a band, above 0
  where it adds traces of its own;
- the AUROC, higher = more likely fake, of `SpectralTypicality` (a Gaussian of the bands of reals), of each band alone,
  of the detector's own reconstruction error and of the trivial statistics.

Whatever is fitted is fitted on reals alone, of other people than those judged: by default the `calibrate` half of the
validation reals, which chose nothing; with `--fit train` those the detector learned from, whose errors are smaller.
Figures and `spectra.json` go to --out; `spectra.png` shows errors of single faces and is not to be passed on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from verovolto.core.errors import InputError
from verovolto.core.files import write_json
from verovolto.data.faceset import FaceSet
from verovolto.data.splits import halve
from verovolto.detectors.base import Detector
from verovolto.detectors.score_faces import score_faces
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.features.spectrum import linear_bands, octave_bands
from verovolto.thesis.error_spectra import error_spectra
from verovolto.thesis.experiments.spectra import band_effects
from verovolto.thesis.experiments.spectra.bands import ERROR, IMAGE, SpectralComparison, measure_bands
from verovolto.thesis.experiments.spectra.statistics import BAND, GIVEN, evaluate_spectra
from verovolto.thesis.figures import radial_spectra, spectrum_gallery

BANDS = {"linear": linear_bands(8), "octave": octave_bands(8)}
PICTURES = 3  # faces of each class in the gallery


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detectors", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--fit", choices=("calibrate", "train"), default="calibrate")
    parser.add_argument("--bands", choices=tuple(BANDS), default="linear")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out/spectra"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    faces, edges = FaceSet.open(options.data), BANDS[options.bands]
    judged, results = faces.select(split=options.split), {}
    for path in options.detectors:
        detector = load(path)
        known = measure_bands(detector, reals(faces, detector, options.fit), edges, detail=True)
        measured = measure_bands(detector, judged, edges, detail=True)
        table = score_faces(detector, judged).take(measured.rows)
        result = evaluate_spectra(
            known, measured, table, own=("rmse_unit",), edges=edges, resamples=1000, seed=0
        )
        result["size"] = detector.preprocessing.size
        result["fitted_on"] = f"{len(known.rows)} {options.fit} reals"
        results[path.name] = result
        for name, png in (figures(result) | {"spectra": gallery(detector, judged)}).items():
            target = options.out / path.name / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(png)
        show(path.name, result)
    metadata = {"data": faces.name, "split": options.split, "fit": options.fit, "edges": list(edges)}
    write_json(
        options.out / f"spectra-{options.fit}-{options.bands}.json", {**metadata, "detectors": results}
    )


def load(path: Path) -> VAEDetector:
    detector = Detector.load(path)
    if not isinstance(detector, VAEDetector):
        raise InputError(f"{path} reconstructs nothing", hint="give a VAE")
    return detector


def reals(faces: FaceSet, detector: VAEDetector, fit: str) -> FaceSet:
    """The real faces that whatever is fitted is fitted on."""
    if fit == "train":
        return faces.select(split="train", label="real")
    val = faces.select(split="val")
    choose = halve(val.columns(), seed=detector.metadata["seed"])
    return val.take(np.flatnonzero(~choose)).select(label="real")


def figures(result: Mapping[str, Any]) -> dict[str, bytes]:
    compared = {
        name: SpectralComparison.from_dict(result["comparisons"][name]) for name in (ERROR, IMAGE, GIVEN)
    }
    return {
        "radial": radial_spectra(result["radial"]),
        "effects": band_effects(compared),
    }


def gallery(detector: VAEDetector, faces: FaceSet) -> bytes:
    """Spectra of the errors of the first faces of each class."""
    label = np.array(faces.columns("label")["label"].to_pylist())
    rows = np.concatenate([np.flatnonzero(label == kind)[:PICTURES] for kind in ("real", "fake")])
    spectra = error_spectra(detector, faces.take(rows), pictures=np.arange(len(rows)))
    return spectrum_gallery(spectra, [str(label[row]) for row in rows])


def show(name: str, result: Mapping[str, Any]) -> None:
    """One detector as Markdown: bands in rows, what was compared in columns; then the scores."""
    shown = (ERROR, IMAGE, GIVEN, "error, inner", "error, surround")
    compared = [result["comparisons"][key]["bands"] for key in shown]
    print(f"\n## {name} ({result['size']} px, fitted on {result['fitted_on']})\n")
    columns = ["cycles/pixel", "error over input, reals", *shown, "AUROC of the error's band"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for k, row in enumerate(zip(*compared, strict=True)):
        auroc = written(result["scores"][BAND.format(k + 1)]["auroc"])
        cells = [
            f"{written(band['g'], sign='+')}, {band['decibel']['value']:+.2f} dB, p {band['p_corrected']:.4f}"
            for band in row
        ]
        cells = [f"{result['error_over_input_db']['real'][k]:+.1f} dB", *cells, auroc]
        print(f"| {row[0]['low']:.3g}–{row[0]['high']:.3g} | " + " | ".join(cells) + " |")
    bands = {BAND.format(k + 1) for k in range(len(compared[0]))}
    print("\n| score | AUROC | pairs ordered rightly |\n|---|---|---|")
    for score, figures in result["scores"].items():
        if score not in bands:
            pairs = written(figures["pairs_ordered"]) if "pairs_ordered" in figures else ""
            print(f"| {score} | {written(figures['auroc'])} | {pairs} |")
    print(f"\n{result['verdict']}", flush=True)


def written(figure: Mapping[str, float | None], *, sign: str = "") -> str:
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if value is None:
        return "–"
    text = f"{value:{sign}.3f}" if not sign else f"{value:{sign}.2f}"
    if low is None or high is None:
        return text
    return f"{text} [{low:{sign}.2f}, {high:{sign}.2f}]" if sign else f"{text} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
