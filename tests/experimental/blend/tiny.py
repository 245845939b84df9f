"""The network of two heads with a thin encoder and decoder: what is trained in a blink, and saved in a few bytes."""

from __future__ import annotations

import pytest
from torch import nn

from verovolto.experimental.blend import detector as blend_detector
from verovolto.experimental.blend import fit as two_heads
from verovolto.experimental.blend.detector import BlendVAE

_CHANNELS = (8, 64, 128, 256, 512)


class TinyBlendVAE(BlendVAE):
    """As `BlendVAE`, a convolution in the place of each residual stage; the heads are the real ones."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        widths = zip((3, *_CHANNELS), _CHANNELS, (4, 1, 2, 2, 2), strict=False)
        self.features = nn.Sequential(*(_stage(*each) for each in widths))
        self.decoder = nn.Sequential(nn.Conv2d(512, 64, 1), nn.Upsample(scale_factor=8))


def _stage(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    side = max(stride, 3)  # an image of 32 pixels leaves the first stage with 8 x 8 places
    groups = 1 if c_in == 3 else 8
    convolution = nn.Conv2d(c_in, c_out, side, stride, padding=side % 2, groups=groups)
    return nn.Sequential(convolution, nn.BatchNorm2d(c_out), nn.ReLU())


def use_tiny_networks(patch: pytest.MonkeyPatch) -> None:
    """Train and load these instead of the whole ones."""
    for module in (two_heads, blend_detector):
        patch.setattr(module, "BlendVAE", TinyBlendVAE)
