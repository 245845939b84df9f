"""Spectra of reconstruction errors, and a one-class score made of them: pure functions, float64 throughout.

The thesis conjectures (sec. 6.4.1 and 8) that the power spectrum of the reconstruction error tells real from fake.
It shows the amplitude of a three-dimensional DFT of |x - x_hat| (`amplitude_3d`), which takes the three colours for
samples along a third axis of space and scales every picture by itself, so that no two can be compared. What is
measured here instead is the power spectrum of one plane (a channel, or the luma) of the signed error, in two
dimensions, windowed, in units that do not depend on the picture's size: an image of white noise of variance s^2 has
power s^2 at every frequency. Errors are meant in pixel units, `(x - x_hat) * std`, where 1 is the range from black
to white; frequencies are in cycles per pixel, up to Nyquist's 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from verovolto.core.errors import InputError
from verovolto.data.face_batch import LUMA

Region = Literal["whole", "inner", "surround"]
REGIONS: tuple[Region, ...] = ("whole", "inner", "surround")
NYQUIST = 0.5
# Far below anything an 8-bit image holds: rounding alone is noise of power (1/255)^2 / 12 = 1.3e-6.
FLOOR = 1e-12
# The inner face: full weight up to the first distance from the centre, none from the second on, in sides of the crop.
_INNER = (0.25, 0.45)
# The surround fades towards the crop's border over this share of its side, since a DFT takes opposite borders for
# neighbours.
_BORDER = 0.125


def amplitude_3d(error: Float[Tensor, "b c h w"]) -> Float64[Tensor, "b c h w"]:
    """The thesis's picture of an error, as published (eq. 13 and 14): amplitude of the 3-D DFT of |error|.

    Centred on frequency zero along all three axes and scaled to [0, 1] for each image by its own least and largest
    value (a constant picture gives zeros). For display beside the thesis's figures only: colours are no samples along
    an axis, |.| adds harmonics and a large constant part, and a scale per image hides how strong the error is.
    """
    amplitude = torch.fft.fftshift(torch.fft.fftn(error.double().abs(), dim=(1, 2, 3)).abs(), dim=(1, 2, 3))
    flat = amplitude.flatten(1)
    low, high = flat.min(1, keepdim=True).values, flat.max(1, keepdim=True).values
    scaled: Tensor = (flat - low) / torch.where(high > low, high - low, 1.0)
    return scaled.view_as(amplitude)


def luma_plane(image: Float[Tensor, "b 3 h w"]) -> Float64[Tensor, "b h w"]:
    """Luma (ITU-R BT.601) of RGB images or of their errors, in the unit of the channels (not normalised ones)."""
    weights = torch.tensor(LUMA, dtype=torch.float64, device=image.device).view(1, 3, 1, 1)
    return (image.double() * weights).sum(1)


def taper(height: int, width: int, region: Region = "whole") -> Float64[Tensor, "h w"]:
    """A window for `power_spectrum`, its mean square 1, so that white noise keeps its power (Harris, 1978).

    - `whole`: Hann's, `sin^2(pi (n + 1/2) / N)` along either axis: half a sample off the usual sampling, hence
      symmetric, hence indifferent to turns of the image by 90 degrees;
    - `inner`: a disc (an ellipse on a crop that is not square) with a soft edge, some two thirds of a side across;
    - `surround`: what the disc leaves, fading towards the border.
    """
    rows = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    columns = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    if region == "whole":
        window = torch.outer(*(torch.sin(axis * math.pi).square() for axis in (rows, columns)))
    else:
        distance = torch.hypot(rows[:, None] - 0.5, columns[None, :] - 0.5)
        start, stop = _INNER
        disc = _rise((stop - distance) / (stop - start))
        edge = torch.outer(*(_rise(torch.minimum(axis, 1 - axis) / _BORDER) for axis in (rows, columns)))
        window = disc if region == "inner" else edge * (1 - disc)
    return window / window.square().mean().sqrt()


def power_spectrum(
    planes: Float[Tensor, "*b h w"], window: Float64[Tensor, "h w"] | None = None
) -> Float64[Tensor, "*b h w"]:
    """Periodogram `|DFT(window * plane)|^2 / (h w)` of each plane, centred on frequency zero.

    Its mean over all frequencies is the mean square of what was transformed (Parseval). With a window (see `taper`)
    the plane's windowed mean is taken away first, which makes the power at zero 0: else a bright plane would leak
    into all low frequencies. Without a window nothing is taken away.
    """
    planes = planes.double()
    if window is not None:
        window = window.to(planes.device)
        mean = (planes * window).sum((-2, -1), keepdim=True) / window.sum()
        planes = (planes - mean) * window
    transformed = torch.fft.fftshift(torch.fft.fft2(planes), dim=(-2, -1))
    power: Tensor = transformed.abs().square() / (planes.shape[-2] * planes.shape[-1])
    return power


def log_power(power: Float[Tensor, "*b"]) -> Float64[Tensor, "*b"]:
    """log10 of a power, of at least `FLOOR`: one scale for all pictures, and never minus infinity."""
    return power.double().clamp_min(FLOOR).log10()


def frequencies(height: int, width: int) -> Float64[Tensor, "h w"]:
    """Distance from frequency zero of each place of a centred spectrum, in cycles per pixel, up to 0.7071."""
    rows, columns = ((torch.arange(size, dtype=torch.float64) - size // 2) / size for size in (height, width))
    return torch.hypot(rows[:, None], columns[None, :])


@dataclass(frozen=True, kw_only=True)
class RadialPower:
    """Mean power in rings around frequency zero.

    `frequency` `[n]`: middle of each ring in cycles per pixel, the first ring being zero itself; `power` `[..., n]`;
    `counts` `[n]`: places of the spectrum in each ring, so that `(power * counts).sum(-1)` is the whole power.
    """

    frequency: Float64[Tensor, " n"]
    power: Float64[Tensor, "*b n"]
    counts: Int64[Tensor, " n"]


def radial_power(power: Float[Tensor, "*b h w"], *, corners: bool = False) -> RadialPower:
    """Azimuthal average of centred power spectra, in rings one frequency bin wide.

    A ring k holds what lies nearest to frequency `k / min(h, w)`; on an image that is not square that is the coarser
    of its two spacings, so that no ring is empty. Rings go up to Nyquist's; with `corners` also to those that are
    cut off by the border of the spectrum, and then no power is left out.
    """
    height, width = power.shape[-2:]
    shorter = min(height, width)
    ring = (frequencies(height, width) * shorter + 0.5).floor().long().flatten().to(power.device)
    rings = int(ring.max()) + 1
    counts = torch.bincount(ring, minlength=rings)
    summed = torch.zeros(*power.shape[:-2], rings, dtype=torch.float64, device=power.device)
    summed.index_add_(-1, ring, power.double().flatten(-2))
    kept = rings if corners else shorter // 2 + 1
    middle = torch.arange(kept, dtype=torch.float64, device=power.device) / shorter
    return RadialPower(frequency=middle, power=summed[..., :kept] / counts[:kept], counts=counts[:kept])


def linear_bands(count: int = 8) -> tuple[float, ...]:
    """Edges `[count + 1]` of bands of equal width from 0 to Nyquist, in cycles per pixel: the default.

    Equal width, since then even the lowest band holds a hundred places of a spectrum of 96 x 96 and is wider than
    the window's lobe: log energies are near to normal and neighbours hardly mixed. And traces of up-sampling lie at
    whole multiples of a frequency, which octaves would crowd into the last two bands.
    """
    if count < 1:
        raise InputError(f"{count} bands are none", hint="ask for 1 or more")
    return tuple(NYQUIST * k / count for k in range(count + 1))


def octave_bands(count: int = 8, *, lowest: float = 1 / 64) -> tuple[float, ...]:
    """Edges `[count + 1]` of bands of equal ratio from `lowest` to Nyquist, in cycles per pixel.

    They hold about equal shares of a natural image's energy (whose power falls as 1 / f^2: Field, 1987), yet only
    some ten places of a spectrum in the lowest.
    """
    if count < 1 or not 0 < lowest < NYQUIST:
        raise InputError(
            f"{count} bands from {lowest:g} cycles per pixel cannot be made",
            hint="ask for 1 or more from 0 to 0.5",
        )
    return (*(lowest * (NYQUIST / lowest) ** (k / count) for k in range(count)), NYQUIST)


def band_masks(height: int, width: int, edges: Sequence[float]) -> Bool[Tensor, "k h w"]:
    """Which places of a centred spectrum belong to each band: `edges[k] <= f < edges[k + 1]`, the last edge included.

    Frequency zero, the mean, belongs to none. Raises InputError for edges that do not rise, and for an image too
    small for some band.
    """
    if len(edges) < 2 or any(not low < high for low, high in pairwise(edges)):
        raise InputError(f"edges of bands have to rise, not {', '.join(f'{edge:g}' for edge in edges)}")
    place = frequencies(height, width)
    masks = [
        (place >= low) & ((place <= high) if high == edges[-1] else (place < high)) & (place > 0)
        for low, high in pairwise(edges)
    ]
    for (low, high), mask in zip(pairwise(edges), masks, strict=True):
        if not mask.any():
            raise InputError(
                f"an image of {height} x {width} has nothing between {low:.3g} and {high:.3g} cycles per pixel",
                hint="ask for fewer bands, or give larger images",
            )
    return torch.stack(masks)


def band_energies(
    planes: Float[Tensor, "b h w"], edges: Sequence[float], *, region: Region = "whole"
) -> Float64[Tensor, "b k"]:
    """log10 of the mean power of each plane in each band (see `linear_bands`), of at least `FLOOR`.

    `region` chooses the window: the whole crop, the inner face or what surrounds it. Each row depends on its own
    plane alone. Raises InputError as `band_masks` does.
    """
    height, width = planes.shape[-2:]
    masks = band_masks(height, width, edges).flatten(1).double().to(planes.device)
    power = power_spectrum(planes, taper(height, width, region)).flatten(1)
    return log_power(power @ masks.T / masks.sum(1))


@dataclass(frozen=True, kw_only=True)
class SpectralTypicality:
    """How unlike those of known real faces the band energies of a face are: Mahalanobis distance to a Gaussian.

    `mean` `[k]`, `whitening` `[k, k]`: `(energies - mean) @ whitening` has covariance 1 on the reals it was fitted to
    (but for the shrinkage). Too much power counts as much as too little: what is smoother than any photograph is
    atypical, too.
    """

    mean: Float64[Tensor, " k"]
    whitening: Float64[Tensor, "k k"]

    def score(self, energies: Float[Tensor, "b k"]) -> Float64[Tensor, " b"]:
        """Distance of each face, >= 0, higher = less like a real face; about sqrt(k) for a real one."""
        distance: Tensor = torch.linalg.vector_norm((energies.double() - self.mean) @ self.whitening, dim=1)
        return distance

    def tensors(self) -> dict[str, Tensor]:
        """What has to be stored."""
        return {"mean": self.mean, "whitening": self.whitening}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> SpectralTypicality:
        """Back from `tensors`, after any detour through a file."""
        return SpectralTypicality(mean=tensors["mean"].double(), whitening=tensors["whitening"].double())


def fit_typicality(energies: Float[Tensor, "n k"]) -> SpectralTypicality:
    """Fit `SpectralTypicality` to band energies of real faces.

    Bands are standardised, then their correlations shrunk towards none by Ledoit & Wolf's rule (2004), which keeps
    the covariance invertible when faces are few or bands nearly proportional. Raises InputError for fewer than 2 faces
    a band, for a number that is not finite, and for a band that never varies.
    """
    energies = energies.double()
    faces, bands = energies.shape
    if faces < 2 * bands:
        raise InputError(
            f"{faces} real faces are too few to learn {bands} bands from", hint=f"give at least {2 * bands}"
        )
    if not energies.isfinite().all():
        raise InputError("some band energies of the real faces are not finite", hint="leave those faces out")
    mean, spread = energies.mean(0), energies.std(0, correction=0)
    if not (spread > 0).all():
        flat = int((spread <= 0).nonzero()[0]) + 1
        raise InputError(
            f"band {flat} is the same in all {faces} real faces", hint="are the faces all alike?"
        )
    covariance = ledoit_wolf((energies - mean) / spread)
    # With L L^T the covariance, rows times L^-T have covariance 1.
    unit = torch.eye(bands, dtype=torch.float64, device=energies.device)
    inverse = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), unit, upper=False)
    return SpectralTypicality(mean=mean, whitening=inverse.T / spread[:, None])


def ledoit_wolf(rows: Float64[Tensor, "n k"]) -> Float64[Tensor, "k k"]:
    """Shrunken covariance of centred rows: `(1 - a) S + a tr(S)/k I`.

    The weight `a` minimises the expected squared error (Ledoit & Wolf, J. Multivariate Analysis 88, 2004, eq. 14).
    Rows are taken as independent; where several are of one person, the true weight would be larger.
    """
    n, k = rows.shape
    sample = rows.T @ rows / n
    target = torch.eye(k, dtype=rows.dtype, device=rows.device) * (sample.trace() / k)
    off_target = (sample - target).square().sum()
    # Sum over rows of |x x^T - S|^2 = sum of |x|^4 - n |S|^2.
    noise = (rows.square().sum(1).square().sum() / n - sample.square().sum()) / n
    weight = 1.0 if off_target <= 0 else float((noise / off_target).clamp(0, 1))
    return (1 - weight) * sample + weight * target


def _rise(position: Tensor) -> Tensor:
    """A soft step: `sin^2`, from 0 at 0 and below to 1 at 1 and above."""
    return torch.sin(position.clamp(0, 1) * (math.pi / 2)).square()
