"""Spectra of the reconstruction errors of a set of faces, as published and in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from verovolto.data.faceset import FaceSet
from verovolto.errors import DataError
from verovolto.scoring.run import read_batch
from verovolto.scoring.spectrum import (
    amplitude_3d,
    log_power,
    luma_plane,
    power_spectrum,
    radial_power,
    taper,
)
from verovolto.scoring.vae_detector import VAEDetector

_BATCH = 32


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


def error_spectra(detector: VAEDetector, faces: FaceSet, *, pictures: np.ndarray) -> ErrorSpectra:
    """Spectra of the error `x - x_hat`, in units of [0, 1]; `pictures` `[m]`: positions to keep whole spectra of, in
    the order given, where they could be read. Raises `DataError` when none of them could."""
    std = torch.tensor(detector.preprocessing.std, dtype=torch.float64).view(1, 3, 1, 1)
    kept: list[int] = []
    radial: list[np.ndarray] = []
    whole: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    frequency = np.zeros(0)
    for start in range(0, len(faces), _BATCH):
        rows, batch = read_batch(faces, start, min(start + _BATCH, len(faces)))
        if not rows:
            continue
        with torch.inference_mode():
            x = detector.preprocessing(batch, detector.device)
            error = (x - detector.model(x).x_hat).cpu().double() * std
        window = taper(*error.shape[-2:])
        rings = radial_power(power_spectrum(luma_plane(error), window))
        kept += rows
        radial.append(log_power(rings.power).numpy())
        frequency = rings.frequency.numpy()
        for i in (i for i, row in enumerate(rows) if row in pictures):
            one = error[i : i + 1]
            planes = torch.cat([one, luma_plane(one)[:, None]], dim=1)
            powers = log_power(power_spectrum(planes, window))
            whole[rows[i]] = (amplitude_3d(one)[0].numpy(), powers[0].numpy())
    shown = [whole[row] for row in pictures.tolist() if row in whole]
    if not shown:
        raise DataError(f"none of the {len(pictures)} faces to picture can be read", hint="mend the data")
    return ErrorSpectra(
        rows=np.array(kept),
        # The ring of frequency zero holds only what the window left of the mean.
        frequency=frequency[1:],
        radial=np.concatenate(radial)[:, 1:],
        amplitude=np.stack([amplitude for amplitude, _ in shown]),
        planes=np.stack([planes for _, planes in shown]),
    )
