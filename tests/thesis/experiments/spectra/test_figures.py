from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from verovolto.evaluation.bootstrap import Resamples, draw_resamples
from verovolto.thesis.error_spectra import ErrorSpectra, mean_spectra
from verovolto.thesis.experiments.spectra import band_effects
from verovolto.thesis.experiments.spectra.bands import SpectralComparison, compare_bands
from verovolto.thesis.figures import radial_spectra, spectrum_gallery

FAKE = np.repeat([False, True], 40)


@pytest.fixture
def resamples() -> Resamples:
    return draw_resamples(np.tile(np.arange(40) // 4, 2), FAKE, kind="identity", resamples=60, seed=0)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def compared(resamples: Resamples, shift: float) -> SpectralComparison:
    energies = np.random.default_rng(0).normal(size=(80, 3)) + shift * FAKE[:, None]
    return compare_bands(energies, FAKE, edges=(0, 0.1, 0.3, 0.5), resamples=resamples, permutations=199)


def test_radial_spectra_show_both_classes_and_are_the_same_each_time(resamples: Resamples) -> None:
    values = np.random.default_rng(2).normal(size=(80, 20)) - np.arange(20) / 5
    spectra = mean_spectra(np.arange(20) / 40, values, FAKE, resamples)
    first = radial_spectra(spectra)
    # Drawn anew from what JSON kept, it is the same picture.
    assert first == radial_spectra(json.loads(json.dumps(spectra)))
    shown = {tuple(colour) for colour in pixels(first).reshape(-1, 3)}
    assert (0x2B, 0x6C, 0xB0) in shown and (0xDD, 0x6B, 0x20) in shown


def test_bands_shown_to_differ_are_filled(resamples: Resamples) -> None:
    found = compared(resamples, 3.0)
    assert all(band.differs for band in found.bands)
    # The same figures, said not to be telling.
    doubtful = replace(found, bands=tuple(replace(band, p_corrected=0.06) for band in found.bands))
    filled, hollow = (pixels(band_effects({"error": one})) for one in (found, doubtful))
    ink = [int((picture == (0x1A, 0x20, 0x2C)).all(axis=2).sum()) for picture in (filled, hollow)]
    assert ink[0] > ink[1]
    assert filled.shape == hollow.shape


def test_the_gallery_has_a_row_a_face() -> None:
    rng = np.random.default_rng(3)
    planes, captions = rng.normal(size=(3, 4, 16, 16)), [f"face {i}" for i in range(3)]
    rows = frequency = radial = np.zeros(0)
    faces = ErrorSpectra(
        rows=rows, frequency=frequency, radial=radial, amplitude=rng.random((3, 3, 16, 16)), planes=planes
    )
    first = replace(faces, amplitude=faces.amplitude[:1], planes=planes[:1])
    one, three = (
        pixels(spectrum_gallery(first, captions[:1])),
        pixels(spectrum_gallery(faces, captions)),
    )
    assert three.shape[0] > 2 * one.shape[0] * 0.8
    assert three.shape[1] == one.shape[1]
    # Without the published 3-D amplitude its coloured column is not drawn, and nothing depends on it.
    flat = spectrum_gallery(faces, captions, cube=False)
    others = replace(faces, amplitude=1 - faces.amplitude)
    assert flat == spectrum_gallery(others, captions, cube=False) != spectrum_gallery(faces, captions)
    assert spectrum_gallery(others, captions) != spectrum_gallery(faces, captions)
