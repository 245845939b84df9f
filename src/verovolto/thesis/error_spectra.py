"""Spectra of the reconstruction errors of a set of faces, as published and in rings of frequency."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from verovolto.core.errors import DataError
from verovolto.data.faceset import FaceSet
from verovolto.detectors.score_faces import read_batch
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.evaluation.bootstrap import Resamples, with_intervals
from verovolto.evaluation.groups import class_counts
from verovolto.evaluation.metrics import divide
from verovolto.features.spectrum import (
    amplitude_3d,
    log_power,
    luma_plane,
    power_spectrum,
    radial_power,
    taper,
)

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
    """Spectra of the error `x - x_hat`, in units of [0, 1].

    `pictures` `[m]` are positions to keep whole spectra of, in the order given, where they could be read.

    Raises:
        DataError: when none of them could.
    """
    kept: list[int] = []
    radial: list[np.ndarray] = []
    whole: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    frequency = np.zeros(0)
    for rows, _, error in errors_of(detector, faces):
        kept += rows
        frequency, powers = rings(luma_plane(error))
        radial.append(powers)
        for i in (i for i, row in enumerate(rows) if row in pictures):
            one = error[i : i + 1]
            planes = torch.cat([one, luma_plane(one)[:, None]], dim=1)
            power = log_power(power_spectrum(planes, taper(*planes.shape[-2:])))
            whole[rows[i]] = (amplitude_3d(one)[0].numpy(), power[0].numpy())
    shown = [whole[row] for row in pictures.tolist() if row in whole]
    if not shown:
        raise DataError(f"none of the {len(pictures)} faces to picture can be read", hint="mend the data")
    return ErrorSpectra(
        rows=np.array(kept), frequency=frequency, radial=np.concatenate(radial),
        amplitude=np.stack([amplitude for amplitude, _ in shown]),
        planes=np.stack([planes for _, planes in shown]),
    )  # fmt: skip


def errors_of(detector: VAEDetector, faces: FaceSet) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Rows, inputs and signed errors `[b, 3, h, w]` of each batch, float64 in units of [0, 1], on the processor.

    Each face depends on itself alone; those that cannot be read are left out.
    """
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


def rings(plane: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies `[F]` and log10 powers `[b, F]` in rings of planes `[b, h, w]`.

    Without that of frequency zero, which holds only what the window left of the mean.
    """
    radial = radial_power(power_spectrum(plane, taper(*plane.shape[-2:])))
    return radial.frequency.numpy()[1:], log_power(radial.power).numpy()[:, 1:]


def mean_spectra(
    frequency: np.ndarray, log_powers: np.ndarray, fake: np.ndarray, resamples: Resamples
) -> dict[str, Any]:
    """Mean spectra of both classes and their difference, with 95 % intervals by cluster, as JSON holds them.

    Each interval holds for its frequency by itself. The difference is taken within each resample, since the classes
    share people.

    Args:
        frequency: `[F]` in cycles per pixel.
        log_powers: log10 powers `[n, F]`.
        fake: which faces are fakes `[n]`.
        resamples: of the faces.

    Returns:
        `frequency`; `real`, `fake` and `difference` (fake minus real), each with `value`, `low` and `high` `[F]`, None
        where there is none; `faces` of each class.
    """
    return {
        "frequency": frequency.tolist(),
        "real": _curve(log_powers, resamples, ~fake),
        "fake": _curve(log_powers, resamples, fake),
        "difference": _curve(log_powers, resamples, fake, ~fake),
        "faces": class_counts(fake),
    }


def _curve(
    values: np.ndarray, resamples: Resamples, of: np.ndarray, less: np.ndarray | None = None
) -> dict[str, list[float | None]]:
    """Mean of the rows `of` `[n]` (boolean) of `values` `[n, F]`; less the mean of the rows `less` where given."""

    def mean(weights: np.ndarray) -> np.ndarray:
        return divide(weights @ values, weights.sum(axis=1, keepdims=True))

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        means = mean(weights * of) if less is None else mean(weights * of) - mean(weights * less)
        return {str(k): means[:, k] for k in range(means.shape[1])}

    estimates = with_intervals(statistics, resamples).values()
    return {end: [getattr(estimate, end) for estimate in estimates] for end in ("value", "low", "high")}
