"""The networks, one file each. Here the choices a user can name, so that the command line need not import torch."""

from __future__ import annotations

from typing import Literal

ModelName = Literal[
    "oc-ae", "oc-fakedect1", "oc-fakedect2", "resnet-ocvae1", "resnet-ocvae2", "resnet-ocvae-latent",
    "resnet-ocvae1-flat", "lite0-ocvae",
]  # fmt: skip
DISCRIMINANT = "region-discriminant"
BLEND_VAE = "resnet-ocvae2-blend"
MAHALANOBIS, PADIM, PATCHCORE = "mahalanobis", "padim", "patchcore"
ERROR_TYPICALITY = "error-typicality"

DISCRIMINANT_BACKBONES = ("lite0", "lite1", "lite2", "clip-vit-b16")
BACKBONE_LIBRARIES = ("timm", "torchvision")
"""Whose networks a region discriminant takes by name, besides its own."""

Bottleneck = Literal["flat", "spatial", "pooled"]
SecondEncoder = Literal["shared", "separate"]
Flips = Literal["none", "h", "hv"]
Noise = Literal["normal", "uniform", "none"]
Reduction = Literal["sum", "mean"]
Precision = Literal["32", "bf16"]
Density = Literal["gaussian", "mixture"]
FusionRule = Literal["fisher", "stouffer", "min", "cauchy"]
