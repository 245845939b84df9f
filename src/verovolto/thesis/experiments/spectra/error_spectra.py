"""Spectra of the reconstruction errors of a set of faces: as published, in rings, and in bands of frequency."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from verovolto.core.errors import DataError
from verovolto.data.faceset import FaceSet
from verovolto.detectors.score_faces import read_batch
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.features.spectrum import (
    Region,
    amplitude_3d,
    band_energies,
    linear_bands,
    log_power,
    luma_plane,
    power_spectrum,
    radial_power,
    taper,
)

ERROR, IMAGE = "error", "input"
_REGIONS: tuple[Region, ...] = ("inner", "surround")
_COLOURS = ("red", "green", "blue")
_BATCH = 32
_BANDS = 8
_PLACES = 2  # frequencies along an axis that a band spans at least: else the lowest would be empty


@dataclass(frozen=True, kw_only=True)
class ErrorSpectra:
    """Of the faces at `rows` `[n]` of the set, those that could be read.

    `frequency` `[F]` in cycles per pixel and `radial` `[n, F]`, log10 power of the luma of the error in rings;
    `amplitude` `[m, 3, h, w]` in [0, 1], the thesis's 3-D amplitude of the pictured faces, and `planes` `[m, 4, h, w]`,
    the log10 power of their red, green, blue and luma.
    """

    rows: np.ndarray
    frequency: np.ndarray
    radial: np.ndarray
    amplitude: np.ndarray
    planes: np.ndarray


@dataclass(frozen=True, kw_only=True)
class MeasuredBands:
    """Of the faces at `rows` `[n]` of the set, those that could be read: log10 powers in bands `[n, K]` by what was
    measured (`ERROR`, `IMAGE`, ...), and of the error's luma in rings, as in `ErrorSpectra`."""

    rows: np.ndarray
    bands: dict[str, np.ndarray]
    frequency: np.ndarray
    radial: np.ndarray


def bands_for(size: int) -> tuple[float, ...]:
    """Edges of bands of equal width for images of `size` pixels a side: 8 bands, fewer below 32 pixels, where 8
    would leave the lowest without a frequency."""
    return linear_bands(max(1, min(_BANDS, size // (2 * _PLACES))))


def measure_bands(
    detector: VAEDetector, faces: FaceSet, edges: tuple[float, ...], *, detail: bool = False
) -> MeasuredBands:
    """Band energies of the luma of the error and of the input; with `detail` also of the error in the inner face, in
    what surrounds it and in each colour. Each face depends on itself alone.

    Raises `InputError` for bands that images of this size do not have, `DataError` where no face can be read.
    """
    kept: list[int] = []
    parts: list[dict[str, np.ndarray]] = []
    rings: list[np.ndarray] = []
    frequency = np.zeros(0)
    for rows, image, error in _errors(detector, faces):
        kept += rows
        plane = luma_plane(error)
        found = {ERROR: band_energies(plane, edges), IMAGE: band_energies(luma_plane(image), edges)}
        if detail:
            found |= {f"{ERROR}, {name}": band_energies(plane, edges, region=name) for name in _REGIONS}
            found |= {
                f"{ERROR}, {name}": band_energies(error[:, i], edges) for i, name in enumerate(_COLOURS)
            }
        parts.append({name: values.numpy() for name, values in found.items()})
        frequency, radial = _rings(plane)
        rings.append(radial)
    if not kept:
        raise DataError(f"none of the {len(faces)} faces to measure can be read", hint="mend the data")
    return MeasuredBands(
        rows=np.array(kept),
        bands={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        frequency=frequency,
        radial=np.concatenate(rings),
    )


def error_spectra(detector: VAEDetector, faces: FaceSet, *, pictures: np.ndarray) -> ErrorSpectra:
    """Spectra of the error `x - x_hat`, in units of [0, 1]; `pictures` `[m]`: positions to keep whole spectra of, in
    the order given, where they could be read. Raises `DataError` when none of them could."""
    kept: list[int] = []
    rings: list[np.ndarray] = []
    whole: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    frequency = np.zeros(0)
    for rows, _, error in _errors(detector, faces):
        kept += rows
        frequency, radial = _rings(luma_plane(error))
        rings.append(radial)
        for i in (i for i, row in enumerate(rows) if row in pictures):
            one = error[i : i + 1]
            planes = torch.cat([one, luma_plane(one)[:, None]], dim=1)
            powers = log_power(power_spectrum(planes, taper(*planes.shape[-2:])))
            whole[rows[i]] = (amplitude_3d(one)[0].numpy(), powers[0].numpy())
    shown = [whole[row] for row in pictures.tolist() if row in whole]
    if not shown:
        raise DataError(f"none of the {len(pictures)} faces to picture can be read", hint="mend the data")
    return ErrorSpectra(
        rows=np.array(kept),
        frequency=frequency,
        radial=np.concatenate(rings),
        amplitude=np.stack([amplitude for amplitude, _ in shown]),
        planes=np.stack([planes for _, planes in shown]),
    )


def _errors(detector: VAEDetector, faces: FaceSet) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Rows, inputs and signed errors `[b, 3, h, w]` of each batch, float64 in units of [0, 1], on the processor."""
    mean, std = (
        torch.tensor(part, dtype=torch.float64).view(1, 3, 1, 1)
        for part in (detector.preprocessing.mean, detector.preprocessing.std)
    )
    for start in range(0, len(faces), _BATCH):
        rows, batch = read_batch(faces, start, min(start + _BATCH, len(faces)))
        if not rows:
            continue
        with torch.inference_mode():
            x = detector.preprocessing(batch, detector.device)
            error = (x - detector.model(x).x_hat).cpu().double() * std
            yield rows, x.cpu().double() * std + mean, error


def _rings(plane: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies `[F]` and log10 powers `[b, F]` in rings, without that of frequency zero, which holds only what the
    window left of the mean."""
    rings = radial_power(power_spectrum(plane, taper(*plane.shape[-2:])))
    return rings.frequency.numpy()[1:], log_power(rings.power).numpy()[:, 1:]
