from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from sklearn.covariance import ledoit_wolf as reference_shrinkage

from verovolto.core.errors import InputError
from verovolto.features.spectrum import (
    FLOOR,
    REGIONS,
    SpectralTypicality,
    amplitude_3d,
    band_energies,
    band_masks,
    fit_typicality,
    frequencies,
    ledoit_wolf,
    linear_bands,
    log_power,
    luma_plane,
    octave_bands,
    power_spectrum,
    radial_power,
    taper,
)

SIDES = st.integers(16, 45)
SEEDS = st.integers(0, 2**31)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def wave(height: int, width: int, down: float, right: float) -> torch.Tensor:
    """A pure wave of `down` and `right` turns over the picture, [1, h, w]."""
    rows, columns = torch.arange(height) / height, torch.arange(width) / width
    turns = down * rows[:, None].double() + right * columns[None, :].double()
    return torch.cos(2 * math.pi * turns + 0.4)[None]


def test_amplitude_3d_is_numpys_centred_and_scaled() -> None:
    error = noise(2, 3, 12, 9)
    for one, found in zip(error.numpy(), amplitude_3d(error).numpy(), strict=True):
        expected = np.abs(np.fft.fftshift(np.fft.fftn(np.abs(one))))
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert found[1, 6, 4] == 1.0  # frequency zero, the largest since |error| is nowhere negative


def test_amplitude_3d_hides_the_strength_of_an_error_and_takes_a_constant_one() -> None:
    error = noise(1, 3, 8, 8)
    torch.testing.assert_close(amplitude_3d(error * 7), amplitude_3d(error))
    assert (amplitude_3d(torch.zeros(1, 3, 8, 8)) == 0).all()


def test_luma_is_that_of_the_sharpness() -> None:
    white = torch.ones(1, 3, 4, 4)
    torch.testing.assert_close(luma_plane(white), torch.ones(1, 4, 4, dtype=torch.float64))
    green = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    torch.testing.assert_close(luma_plane(green)[0, 0, 0].item(), 0.587)


@given(SIDES, SIDES, SEEDS)
def test_parseval(height: int, width: int, seed: int) -> None:
    planes = noise(2, height, width, seed=seed)
    power = power_spectrum(planes)
    torch.testing.assert_close(power.mean((1, 2)), planes.square().mean((1, 2)))
    rings = radial_power(power, corners=True)
    torch.testing.assert_close((rings.power * rings.counts).sum(1), power.sum((1, 2)))
    assert int(rings.counts.sum()) == height * width


@given(SIDES, SIDES)
def test_windows_keep_the_power_of_white_noise(height: int, width: int) -> None:
    for region in REGIONS:
        window = taper(height, width, region)
        assert window.square().mean().item() == pytest.approx(1.0)
        assert (window >= 0).all()
        torch.testing.assert_close(window, window.flip(0, 1))


@pytest.mark.parametrize("region", REGIONS)
def test_white_noise_is_flat(region: str) -> None:
    window = taper(48, 48, region)  # type: ignore[arg-type]
    power = power_spectrum(0.3 * noise(400, 48, 48), window).mean(0)
    assert power[24, 24].item() == pytest.approx(0.0, abs=1e-20)  # the mean is taken away
    rings = radial_power(power).power
    # From the third ring on nothing of the mean that was taken away is missed.
    np.testing.assert_allclose(rings[3:].numpy(), 0.09, rtol=0.06)


@pytest.mark.parametrize(("down", "right"), [(5, 0), (0, 9), (6, 8), (-6, 8), (16, 0)])
def test_a_pure_wave_lands_in_its_bin(down: int, right: int) -> None:
    plane = wave(32, 32, down, right)
    power = power_spectrum(plane)[0]
    assert power[16 + down if down < 16 else 0, 16 + right] == power.max()
    rings = radial_power(power[None])
    turns = math.hypot(down, right)
    assert rings.power[0].argmax().item() == turns
    assert rings.frequency[int(turns)].item() == pytest.approx(turns / 32)
    top = band_energies(plane, linear_bands(8))[0]
    assert top.argmax().item() == min(int(turns / 32 * 16), 7)


def test_rings_of_a_picture_that_is_not_square_are_none_of_them_empty() -> None:
    rings = radial_power(power_spectrum(wave(24, 60, 0, 15)))
    assert (rings.counts > 0).all()
    assert rings.frequency[-1].item() == 0.5
    assert rings.frequency[int(rings.power[0].argmax())].item() == pytest.approx(0.25)


def test_frequencies_are_numpys() -> None:
    for height, width in ((8, 8), (7, 10)):
        rows, columns = (np.fft.fftshift(np.fft.fftfreq(n)) for n in (height, width))
        expected = np.hypot(rows[:, None], columns[None, :])
        np.testing.assert_allclose(frequencies(height, width).numpy(), expected, atol=1e-15)


@given(SIDES, SIDES, SEEDS)
def test_turns_by_90_degrees_change_nothing(height: int, width: int, seed: int) -> None:
    plane = noise(1, height, width, seed=seed) + wave(height, width, 1, 2)
    turned = plane.rot90(1, (1, 2))
    for region in REGIONS:
        torch.testing.assert_close(
            band_energies(turned, linear_bands(4), region=region),
            band_energies(plane, linear_bands(4), region=region),
        )
    torch.testing.assert_close(
        radial_power(power_spectrum(turned)).power, radial_power(power_spectrum(plane)).power
    )


def test_ten_times_the_error_is_two_decades_of_power() -> None:
    plane = noise(1, 32, 32)
    low, high = (
        band_energies(plane, octave_bands(4, lowest=1 / 16)),
        band_energies(10 * plane, octave_bands(4, lowest=1 / 16)),
    )
    torch.testing.assert_close(high - low, torch.full_like(low, 2.0))


def test_brightness_is_in_no_band() -> None:
    plane = noise(1, 32, 32)
    for region in REGIONS:
        torch.testing.assert_close(
            band_energies(plane + 3, linear_bands(8), region=region),
            band_energies(plane, linear_bands(8), region=region),
        )


def test_a_band_of_nothing_is_the_floor() -> None:
    energies = band_energies(torch.zeros(1, 32, 32), linear_bands(8))
    assert (energies == math.log10(FLOOR)).all()
    assert log_power(torch.zeros(1)).item() == math.log10(FLOOR)


def test_inner_and_surround_see_different_places() -> None:
    patch = torch.zeros(2, 64, 64, dtype=torch.float64)
    patch[0, 26:38, 26:38] = noise(12, 12)
    patch[1, 4:12, 4:12] = noise(8, 8)
    inner, surround = (band_energies(patch, linear_bands(4), region=region) for region in REGIONS[1:])
    assert (inner[0] > surround[0] + 2).all()
    assert (inner[1] < surround[1] - 2).all()


def test_a_face_does_not_depend_on_its_neighbours() -> None:
    planes = noise(5, 24, 24)
    alone = torch.cat([band_energies(planes[i : i + 1], linear_bands(4)) for i in range(5)])
    torch.testing.assert_close(band_energies(planes, linear_bands(4)), alone)


def test_bands_share_no_place_and_leave_none_but_corners_and_mean() -> None:
    masks = band_masks(96, 100, linear_bands(8))
    assert (masks.sum(0) <= 1).all()
    place = frequencies(96, 100)
    assert torch.equal(masks.any(0), (place > 0) & (place <= 0.5))
    assert (masks.flatten(1).sum(1) >= 100).all()
    assert octave_bands(5, lowest=1 / 64) == pytest.approx([1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2])


@pytest.mark.parametrize("edges", [(0.0,), (0.2, 0.2), (0.3, 0.1, 0.5)])
def test_edges_that_do_not_rise_are_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="rise"):
        band_masks(32, 32, edges)


def test_a_picture_too_small_for_a_band_is_refused() -> None:
    with pytest.raises(InputError, match="nothing between"):
        band_energies(noise(1, 16, 16), linear_bands(40))
    with pytest.raises(InputError, match="bands"):
        linear_bands(0)
    with pytest.raises(InputError, match="bands"):
        octave_bands(4, lowest=0.6)


def correlated(n: int, seed: int = 0) -> torch.Tensor:
    mixing = torch.tril(torch.ones(4, 4, dtype=torch.float64)) * torch.tensor([1.0, 0.8, 1.2, 0.9])
    return noise(n, 4, seed=seed) @ mixing.T - 3


def test_shrinkage_is_that_of_the_reference() -> None:
    for n in (9, 40, 500):
        rows = correlated(n)
        rows = rows - rows.mean(0)
        expected, _ = reference_shrinkage(rows.numpy(), assume_centered=True)
        np.testing.assert_allclose(ledoit_wolf(rows).numpy(), expected, rtol=1e-9)


def test_typicality_is_mahalanobis_distance() -> None:
    known = correlated(20_000)
    fitted = fit_typicality(known)
    probe = correlated(50, seed=1)
    inverse = np.linalg.inv(np.cov(known.numpy().T))
    off = (probe - known.mean(0)).numpy()
    expected = np.sqrt(np.einsum("ij,jk,ik->i", off, inverse, off))
    np.testing.assert_allclose(fitted.score(probe).numpy(), expected, rtol=1e-2)
    assert fitted.score(known).square().mean().item() == pytest.approx(4, rel=1e-3)


def test_too_much_and_too_little_power_are_equally_atypical() -> None:
    fitted = fit_typicality(correlated(200))
    step = torch.tensor([0.0, 0.0, 0.0, 5.0], dtype=torch.float64)
    more, less = fitted.score((fitted.mean + step)[None]), fitted.score((fitted.mean - step)[None])
    torch.testing.assert_close(more, less)
    assert more.item() > 2
    assert fitted.score(fitted.mean[None]).item() == 0


def test_typicality_does_not_depend_on_the_unit_of_a_band() -> None:
    known, probe = correlated(100), correlated(10, seed=1)
    unit = torch.tensor([1.0, 10.0, 0.1, 3.0], dtype=torch.float64)
    torch.testing.assert_close(
        fit_typicality(known * unit).score(probe * unit), fit_typicality(known).score(probe)
    )


def test_typicality_survives_a_file(tmp_path: Path) -> None:
    fitted, probe = fit_typicality(correlated(60)), correlated(7, seed=1)
    # A file keeps no layout: whitening is a transposed view.
    save_file({k: v.contiguous() for k, v in fitted.tensors().items()}, tmp_path / "state.safetensors")
    again = SpectralTypicality.from_tensors(load_file(tmp_path / "state.safetensors"))
    torch.testing.assert_close(again.score(probe), fitted.score(probe))


def test_reals_that_teach_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="too few"):
        fit_typicality(correlated(7))
    with pytest.raises(InputError, match="not finite"):
        fit_typicality(torch.full((20, 2), math.nan))
    rows = correlated(20)
    rows[:, 2] = 1.0
    with pytest.raises(InputError, match="band 3 is the same"):
        fit_typicality(rows)
