"""What a VAE's reconstruction of a face is like, in some ten numbers, and what kind of picture the face is, in others.

A small error says little: every VAE reproduces a smooth picture better. So beside the error's numbers (the values)
stand those of the input itself (the controls), and what is asked is which error a real face of that kind has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor
from torchvision.io import encode_jpeg

from verovolto.features.spectrum import REGIONS, Region, band_energies, log_power, luma_plane
from verovolto.networks.vae import VAE, VAEOutput

_QUALITY = 90
_FROM_ZERO = 1e-6


def band_names(what: str, bands: int, regions: Sequence[Region] = REGIONS) -> tuple[str, ...]:
    """What `band_columns` are called: `error, inner, band 3`."""
    return tuple(f"{what}, {region}, band {k + 1}" for region in regions for k in range(bands))


def band_columns(
    image: Float[Tensor, "b 3 h w"], edges: Sequence[float], regions: Sequence[Region] = REGIONS
) -> Float64[Tensor, "b k"]:
    """log10 power of the luma in each band of each region (`features.spectrum.band_energies`), region by region."""
    plane = luma_plane(image)
    return torch.cat([band_energies(plane, edges, region=region) for region in regions], dim=1)


def complexity(pixels: UInt8[Tensor, "b 3 h w"]) -> Float64[Tensor, "b 1"]:
    """log10 of the bytes of each image as a JPEG file of one quality: how much there is to reproduce.

    Serrà et al., ICLR 2020, take a lossless compressor for it. The bytes that a face came in say less: they depend on
    what wrote the file, and a face cut out of a video has none.
    """
    sizes = [encode_jpeg(image.cpu(), quality=_QUALITY).numel() for image in pixels]
    return torch.tensor(sizes, dtype=torch.float64).log10()[:, None]


MODEL_VALUES = ("error, RMSE", "KL", "latent cycle error")


def model_columns(model: VAE, error: Float[Tensor, "b 3 h w"], out: VAEOutput) -> Float64[Tensor, "b 3"]:
    """`MODEL_VALUES`, in logarithms, since all three are positive and skewed.

    log10 of the mean square error (`error` in units of [0, 1]), of the KL divergence in nats and of the mean square of
    mu(x) - mu(x_hat).
    """
    cycle = out.posterior.mu - model.encode_again(out.x_hat)
    squares = torch.stack([part.double().square().flatten(1).mean(1) for part in (error, cycle)])
    kl = out.posterior.kl().double().clamp_min(_FROM_ZERO).log10()
    mse, latent = log_power(squares)
    return torch.stack([mse, kl, latent], dim=1)
