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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from verovolto.data.faceset import FaceSet
from verovolto.data.splits import halve
from verovolto.errors import InputError
from verovolto.evaluation.intervals import with_intervals
from verovolto.evaluation.protocol import Sample
from verovolto.evaluation.ranking import ranking_statistics
from verovolto.evaluation.spectra import compare_bands, pair_keys, unexplained, verdict
from verovolto.evaluation.units import find_pairs
from verovolto.files import write_json
from verovolto.report.spectrum_figures import FaceSpectra, band_effects, radial_spectra, spectrum_gallery
from verovolto.scoring.detector import Detector
from verovolto.scoring.run import read_batch
from verovolto.scoring.scores import TRIVIAL_SCORES, trivial_scores
from verovolto.scoring.spectrum import (
    Region,
    amplitude_3d,
    band_energies,
    fit_typicality,
    linear_bands,
    log_power,
    luma_plane,
    octave_bands,
    power_spectrum,
    radial_power,
    taper,
)
from verovolto.scoring.table import METADATA_COLUMNS, ScoreTable
from verovolto.scoring.vae_detector import VAEDetector

BANDS = {"linear": linear_bands(8), "octave": octave_bands(8)}
GIVEN = "error given input"
REGIONS: dict[str, Region] = {"error": "whole", "error, inner face": "inner", "error, surround": "surround"}
COLOURS = ("red", "green", "blue")
PICTURES = 3  # faces of each class in the gallery


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A set of faces, measured. `bands` maps what was measured to log10 powers `[n, K]`; `radial` `[n, F]`."""

    table: pa.Table
    bands: dict[str, np.ndarray]
    frequency: np.ndarray
    radial: np.ndarray


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
    results = {}
    for path in options.detectors:
        detector = load(path)
        known = measure(detector, reals(faces, detector, options.fit), edges)
        judged = measure(detector, faces.select(split=options.split), edges)
        result, pictures = judge(known, judged, edges)
        result |= {
            "size": detector.preprocessing.size,
            "fitted_on": f"{len(known.table)} {options.fit} reals",
        }
        results[path.name] = result
        pictures["spectra"] = gallery(detector, faces.select(split=options.split))
        for name, png in pictures.items():
            target = options.out / path.name / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(png)
        show(path.name, result)
    about = {"data": faces.name, "split": options.split, "fit": options.fit, "edges": list(edges)}
    write_json(options.out / f"spectra-{options.fit}-{options.bands}.json", {**about, "detectors": results})


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
    choose = halve(val.columns(), seed=detector.about["seed"])
    real = np.array(val.columns("label")["label"].to_pylist()) == "real"
    return val.take(np.flatnonzero(~choose & real))


def passes(
    detector: VAEDetector, faces: FaceSet
) -> Iterator[tuple[list[int], dict[str, Any], torch.Tensor, torch.Tensor]]:
    """Rows, trivial statistics, inputs and signed errors `[b, 3, h, w]`, both in units of [0, 1], of each batch."""
    mean, std = (
        torch.tensor(part, dtype=torch.float64).view(1, 3, 1, 1)
        for part in (detector.preprocessing.mean, detector.preprocessing.std)
    )
    for start in range(0, len(faces), 64):
        rows, batch = read_batch(faces, start, min(start + 64, len(faces)))
        with torch.inference_mode():
            x = detector.preprocessing(batch, torch.device("cpu"))
            error = (x - detector.model(x).x_hat).double() * std
            yield rows, trivial_scores(batch), x.double() * std + mean, error


def measure(detector: VAEDetector, faces: FaceSet, edges: tuple[float, ...]) -> Measured:
    """Band energies, radial spectra, reconstruction error and trivial statistics of all faces that can be read."""
    kept: list[int] = []
    parts: list[dict[str, np.ndarray]] = []
    for rows, trivial, image, error in passes(detector, faces):
        kept += rows
        plane = luma_plane(error)
        found = {name: band_energies(plane, edges, region=region) for name, region in REGIONS.items()}
        found |= {f"error, {name}": band_energies(error[:, i], edges) for i, name in enumerate(COLOURS)}
        found["input"] = band_energies(luma_plane(image), edges)
        rings = radial_power(power_spectrum(plane, taper(*plane.shape[-2:])))
        found |= {"radial": log_power(rings.power), "rmse_unit": error.square().mean((1, 2, 3)).sqrt()}
        parts.append({name: np.asarray(values) for name, values in (found | trivial).items()})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    table = faces.take(kept).columns(*METADATA_COLUMNS).append_column("status", pa.array(["ok"] * len(kept)))
    for name in ("rmse_unit", *TRIVIAL_SCORES):
        table = table.append_column(name, pa.array(columns.pop(name).astype(np.float64)))
    # The ring of frequency zero holds only what the window left of the mean.
    radial = columns.pop("radial")[:, 1:]
    return Measured(table=table, bands=columns, frequency=rings.frequency.numpy()[1:], radial=radial)


def judge(
    known: Measured, judged: Measured, edges: tuple[float, ...]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """All comparisons and AUROCs of one detector, and its figures."""
    bands = {name: with_given(part.bands, known.bands) for name, part in (("fit", known), ("test", judged))}
    table = judged.table
    singles = {f"band {k + 1}": bands["test"]["error"][:, k] for k in range(len(edges) - 1)}
    typical = {f"typicality of {name}": typicality(bands, name) for name in ("error", "input", GIVEN)}
    for name, values in (typical | singles).items():
        table = table.append_column(name, pa.array(values))
    names = (*typical, "rmse_unit", *singles)
    sample = Sample.of(
        ScoreTable(table=table, scores=names, baselines=TRIVIAL_SCORES), names[0], resamples=1000, seed=0
    )
    pairs = pair_keys(sample.scores)
    compared = {
        name: compare_bands(values, sample.fake, edges=edges, resamples=sample.resamples, pairs=pairs)
        for name, values in bands["test"].items()
    }
    result = {
        "verdict": verdict(compared["error"], image=compared["input"], given=compared[GIVEN]),
        "error_over_input_db": {
            label: (10 * (bands["test"]["error"] - bands["test"]["input"]))[sample.fake == kind]
            .mean(0)
            .tolist()
            for label, kind in (("real", False), ("fake", True))
        },
        "comparisons": {name: one.to_dict() for name, one in compared.items()},
        "scores": {name: ranked(sample, name) for name in (*names, *TRIVIAL_SCORES)},
    }
    pictures = {
        "radial": radial_spectra(judged.frequency, judged.radial, sample.fake, sample.resamples),
        "effects": band_effects({name: compared[name] for name in ("error", "input", GIVEN)}),
    }
    return result, pictures


def with_given(bands: Mapping[str, np.ndarray], known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The bands, and beside them what the input's do not explain of the error's."""
    rest = unexplained(
        bands["error"], bands["input"], real_energies=known["error"], real_controls=known["input"]
    )
    return {**bands, GIVEN: rest}


def typicality(bands: Mapping[str, Mapping[str, np.ndarray]], name: str) -> np.ndarray:
    fitted = fit_typicality(torch.from_numpy(bands["fit"][name]))
    return fitted.score(torch.from_numpy(bands["test"][name])).numpy()


def ranked(sample: Sample, name: str) -> dict[str, Any]:
    """AUROC and share of pairs ordered rightly, with intervals."""
    values = sample.scores.values(name)
    figures = {"auroc": with_intervals(ranking_statistics(values, sample.fake), sample.resamples)["auroc"]}
    pairs = find_pairs(sample.scores, values, sample.fake)
    if len(pairs.rows):
        figures |= with_intervals(pairs.share, sample.resamples)
    return {key: figure.to_dict() for key, figure in figures.items()}


def gallery(detector: VAEDetector, faces: FaceSet) -> bytes:
    """Spectra of the errors of the first faces of each class."""
    label = np.array(faces.columns("label")["label"].to_pylist())
    rows = np.concatenate([np.flatnonzero(label == kind)[:PICTURES] for kind in ("real", "fake")])
    _, _, _, error = next(passes(detector, faces.take(rows)))
    planes = torch.cat([error, luma_plane(error)[:, None]], dim=1)
    power = log_power(power_spectrum(planes, taper(*planes.shape[-2:]))).numpy()
    amplitude = amplitude_3d(error).numpy()
    return spectrum_gallery(
        [
            FaceSpectra(amplitude=amplitude[i], log_power=power[i], caption=str(label[row]))
            for i, row in enumerate(rows)
        ]
    )


def show(name: str, result: Mapping[str, Any]) -> None:
    """One detector as Markdown: bands in rows, what was compared in columns; then the scores."""
    shown = ("error", "input", GIVEN, "error, inner face", "error, surround")
    compared = [result["comparisons"][key]["bands"] for key in shown]
    print(f"\n## {name} ({result['size']} px, fitted on {result['fitted_on']})\n")
    columns = ["cycles/pixel", "error over input, reals", *shown, "AUROC of the error's band"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for k, row in enumerate(zip(*compared, strict=True)):
        auroc = written(result["scores"][f"band {k + 1}"]["auroc"])
        cells = [
            f"{written(band['g'], sign='+')}, {band['decibel']['value']:+.2f} dB, p {band['p_corrected']:.4f}"
            for band in row
        ]
        cells = [f"{result['error_over_input_db']['real'][k]:+.1f} dB", *cells, auroc]
        print(f"| {row[0]['low']:.3g}–{row[0]['high']:.3g} | " + " | ".join(cells) + " |")
    print("\n| score | AUROC | pairs ordered rightly |\n|---|---|---|")
    for score, figures in result["scores"].items():
        if not score.startswith("band"):
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
