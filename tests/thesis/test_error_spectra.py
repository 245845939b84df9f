"""Spectra of errors: of the faces asked for, in the units of the images, with those pictured in the order given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.detectors.conftest import make_detector
from verovolto.core.errors import DataError
from verovolto.data.faceset import FaceSet
from verovolto.detectors.score_faces import read_batch
from verovolto.features.spectrum import (
    band_energies,
    band_masks,
    log_power,
    luma_plane,
    power_spectrum,
    taper,
)
from verovolto.thesis.error_spectra import error_spectra
from verovolto.thesis.experiments.spectra.bands import ERROR, IMAGE, bands_for, measure_bands


def test_spectra_are_those_of_the_error_and_do_not_depend_on_neighbours(face_set: Path) -> None:
    detector, faces = make_detector(), FaceSet.open(face_set).select(split="test")
    whole = error_spectra(detector, faces, pictures=np.array([40, 3]))
    assert whole.rows.tolist() == list(range(len(faces))) and len(faces) > 32
    assert whole.radial.shape == (len(faces), len(whole.frequency)) and (np.diff(whole.frequency) > 0).all()
    few = error_spectra(detector, faces.take([3, 40]), pictures=np.array([1, 0]))
    np.testing.assert_allclose(few.radial, whole.radial[[3, 40]], atol=1e-3)
    np.testing.assert_allclose(few.planes, whole.planes, atol=1e-2)
    np.testing.assert_allclose(few.amplitude, whole.amplitude, atol=1e-4)
    assert whole.amplitude.min() >= 0 and whole.amplitude.max() <= 1


def test_the_power_is_that_of_the_error_in_units_of_the_image(face_set: Path) -> None:
    detector, faces = make_detector(), FaceSet.open(face_set).select(split="test")
    spectra = error_spectra(detector, faces.take([0]), pictures=np.array([0]))
    _, batch = read_batch(faces, 0, 1)
    with torch.no_grad():
        x = detector.preprocessing(batch, torch.device("cpu"))
        error = (x - detector.model(x).x_hat) * torch.tensor(detector.preprocessing.std).view(1, 3, 1, 1)
    rmse = float(detector.score_batch(batch)["rmse_unit"][0])
    assert float(error.square().mean().sqrt()) == pytest.approx(rmse, rel=1e-4)
    planes = log_power(power_spectrum(error[0].double(), taper(16, 16)))
    np.testing.assert_allclose(spectra.planes[0, :3], planes.numpy(), atol=1e-3)


def test_where_nothing_to_picture_can_be_read_it_says_so(face_set: Path) -> None:
    faces = FaceSet.open(face_set).select(split="test")
    with pytest.raises(DataError, match="none of the 1 faces"):
        error_spectra(make_detector(), faces.take([0]), pictures=np.array([7]))


def test_bands_are_those_of_the_error_and_of_the_input_and_do_not_depend_on_neighbours(
    face_set: Path,
) -> None:
    detector, faces = make_detector(), FaceSet.open(face_set).select(split="test")
    edges = bands_for(16)
    whole, few = (measure_bands(detector, part, edges, detail=True) for part in (faces, faces.take([3, 40])))
    assert whole.rows.tolist() == list(range(len(faces))) and set(whole.bands) > {
        ERROR,
        IMAGE,
        "error, inner",
    }
    for name, values in whole.bands.items():
        assert values.shape == (len(faces), len(edges) - 1)
        np.testing.assert_allclose(few.bands[name], values[[3, 40]], atol=1e-3)
    np.testing.assert_allclose(few.radial, whole.radial[[3, 40]], atol=1e-3)
    spectra = error_spectra(detector, faces, pictures=np.array([0]))
    np.testing.assert_array_equal(spectra.radial, whole.radial)
    _, batch = read_batch(faces, 0, 1)
    x = detector.preprocessing(batch, torch.device("cpu"))
    image = x.double() * torch.tensor(detector.preprocessing.std).view(
        1, 3, 1, 1
    )  # less its mean, which no band holds
    first = band_energies(luma_plane(image), edges)[0]
    np.testing.assert_allclose(whole.bands[IMAGE][0], first.numpy(), atol=1e-4)


@pytest.mark.parametrize("size", [4, 8, 12, 32, 224])
def test_there_are_only_bands_that_a_picture_has(size: int) -> None:
    edges = bands_for(size)
    assert band_masks(size, size, edges).any(dim=(1, 2)).all()
    assert len(edges) - 1 == 8 if size >= 32 else len(edges) - 1 == max(1, size // 4)
