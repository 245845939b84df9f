"""ResNetOCVAE2 with a second head: one encoder for reconstruction and for where a face was blended.

| part | layers | shape at 96 px |
|---|---|---|
| encoder, bottleneck, decoder | those of `ResNetOCVAE2` | `[3, 96, 96]` and back |
| layers | outputs of the encoder's four residual stages | 64 x 24², 128 x 12², 256 x 6², 512 x 3² |
| laterals | 1x1 convolution of each | 64 channels |
| merges | from the deepest on: twice the side (bilinear), plus the next lateral; 3x3 conv, norm, ReLU | 64 x 24² |
| output | 1x1 convolution | `[24, 24]` |

The head is a feature pyramid (Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017). To predict where
a face was blended, trained on forgeries of real faces, is from Li et al., "Face X-ray for More General Face Forgery
Detection", CVPR 2020, whose map is the border of the blend; this one is its inside.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from verovolto.networks import Bottleneck
from verovolto.networks.resnet_ocvae2 import ResNetOCVAE2
from verovolto.networks.vae import Posterior

REDUCTION = 4
"""How many times smaller the map of the blend is than the image."""

_LAYERS = (64, 128, 256, 512)
_WIDTH = 64


class BlendHead(nn.Module):
    """The encoder's stages, finest first, to a logit a place: above 0 where a blend is likelier than none."""

    def __init__(self) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(channels, _WIDTH, 1) for channels in _LAYERS)
        self.merges = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False),
                nn.BatchNorm2d(_WIDTH),
                nn.ReLU(inplace=True),
            )
            for _ in _LAYERS[1:]
        )
        self.logit = nn.Conv2d(_WIDTH, 1, 1)

    def forward(self, stages: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b h w"]:
        """Logits `[B, h, w]` at the places of the finest stage."""
        merged = self.laterals[-1](stages[-1])
        for level in reversed(range(len(_LAYERS) - 1)):
            finer = self.laterals[level](stages[level])
            wider = F.interpolate(merged, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            merged = self.merges[level](finer + wider)
        logits: Tensor = self.logit(merged)
        return logits[:, 0].float()


class BlendVAE(ResNetOCVAE2):
    """A `ResNetOCVAE2` (see there for `size`, `latent`, `bottleneck`) whose encoder a `BlendHead` shares."""

    def __init__(self, *, size: int = 96, latent: int = 256, bottleneck: Bottleneck = "flat") -> None:
        super().__init__(size=size, latent=latent, bottleneck=bottleneck)
        self.blend = BlendHead()

    def stages(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Outputs of the encoder's residual stages, finest first: sides of a 4th, an 8th, a 16th, a 32nd."""
        stages, h = [], self.features[0](x)
        for stage in list(self.features)[1:]:
            h = stage(h)
            stages.append(h)
        return stages

    def posterior(self, stages: list[Float[Tensor, "b _ _ _"]]) -> Posterior:
        """The posterior of images, out of their stages."""
        mu, logvar = self.bottleneck.encode(stages[-1])
        return Posterior(mu=mu.float(), logvar=logvar.float())

    def blend_logits(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b H W"]:
        """Logits of the blend map, `[B, h / 4, w / 4]`."""
        logits: Tensor = self.blend(self.stages(x))
        return logits


def pooled_logit(logits: Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """One logit a face, `log(mean(exp(logits)))`: near the largest for a small blend, the mean of an even map."""
    flat = logits.flatten(1)
    return torch.logsumexp(flat, dim=1) - math.log(flat.shape[1])


def blend_map_error(logits: Float[Tensor, "b h w"], masks: Float[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Binary cross-entropy in nats between the map and where the blend is (0 to 1), the mean over places."""
    return F.binary_cross_entropy_with_logits(logits, masks, reduction="none").flatten(1).mean(1)


def ranking_error(real: Float[Tensor, " b"], fake: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """`log(1 + exp(real - fake))` of the pooled logits of a pair (RankNet, Burges et al., ICML 2005, eq. 3).

    It falls as the forgery is put above its source.
    """
    return F.softplus(real - fake)
