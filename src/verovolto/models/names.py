"""The choices a user can name, apart from the networks so that the command line need not import torch."""

from __future__ import annotations

from typing import Literal

ModelName = Literal[
    "oc-ae", "oc-fakedect1", "oc-fakedect2", "resnet-ocvae1", "resnet-ocvae2", "resnet-ocvae-latent"
]
DISCRIMINANT = "region-discriminant"
AnyModel = Literal[ModelName, "region-discriminant"]
"""What can be trained: the networks, and the linear head on frozen features."""

Bottleneck = Literal["flat", "spatial", "pooled"]
SecondEncoder = Literal["shared", "separate"]
Flips = Literal["none", "h", "hv"]
Noise = Literal["normal", "uniform", "none"]
Reduction = Literal["sum", "mean"]
Precision = Literal["32", "bf16"]
