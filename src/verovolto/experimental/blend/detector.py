"""A network that says where a face was blended, as a detector; its second score is how badly it reconstructs.

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
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from verovolto.core.errors import InputError
from verovolto.data.face_batch import FaceBatch, Preprocessing, to_batch
from verovolto.detectors.base import Detector, Explanation, ModelRow, SavedState, Scores
from verovolto.detectors.registry import TrainConfig, register
from verovolto.experimental.blend import BlendConfig
from verovolto.networks import BLEND_VAE, Bottleneck, Precision
from verovolto.networks.resnet_ocvae2 import ResNetOCVAE2
from verovolto.networks.vae import Posterior, arithmetic

REDUCTION = 4
"""How many times smaller the map of the blend is than the image."""

_LAYERS = (64, 128, 256, 512)
_WIDTH = 64

SIZE, LATENT, BATCH, RATE = 96, 256, 16, 3e-4
"""Of the input and the latent space, images a step and learning rate, where none are given."""
BLEND, RMSE = "blend", "rmse"
HEAD_SCORES = (BLEND, RMSE)
"""Pooled logit of the predicted map; root mean squared error of the reconstruction in normalised units."""


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


@register(BLEND_VAE, config=BlendConfig, source="docs/detectors; resnet-ocvae2 with a second head")
@dataclass(kw_only=True, eq=False)
class BlendDetector(Detector):
    """A `BlendVAE` network with the scores of the heads that were trained: `score_names`, the default one first.

    The anomaly map is the predicted one, the probability of a blend at each place `[B, size / 4, size / 4]`; of a
    network whose head was not trained, the error of the reconstruction at full size.
    """

    kind = "blend"

    model: BlendVAE
    latent: int
    bottleneck: Bottleneck
    preprocessing: Preprocessing
    score_names: tuple[str, ...] = HEAD_SCORES
    precision: Precision = "32"

    def __post_init__(self) -> None:
        if self.default_score not in self.score_names or not set(self.score_names) <= set(HEAD_SCORES):
            raise InputError(
                f"no score {self.default_score!r} of a network trained for {', '.join(self.score_names)}",
                hint=f"there are {', '.join(HEAD_SCORES)}, each where its head was trained",
            )
        self.score_names = (self.default_score, *(n for n in self.score_names if n != self.default_score))
        self.model.eval().to(memory_format=torch.channels_last)
        self.device = next(self.model.parameters()).device

    @override
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        with torch.inference_mode():
            x = self.preprocessing(batch, self.device)
            logits, x_hat = self._pass(x)
            columns = {}
            if logits is not None:
                columns[BLEND] = pooled_logit(logits).cpu()
            if x_hat is not None:
                columns[RMSE] = (x - x_hat).square().flatten(1).mean(1).sqrt().cpu()
            where = _anomaly_map(x, logits, x_hat) if anomaly_map else None
        return Scores(columns=columns, default=self.default_score, anomaly_map=where)

    @override
    def explain(self, images: Any) -> Explanation:
        with torch.inference_mode():
            x = self.preprocessing(to_batch(images), self.device)
            logits, x_hat = self._pass(x)
            return Explanation(
                inputs=self.preprocessing.pictures(x),
                anomaly_map=_anomaly_map(x, logits, x_hat),
                reconstructions=None if x_hat is None else self.preprocessing.pictures(x_hat),
            )

    @override
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        network = {
            "name": self.name, "latent": self.latent, "bottleneck": self.bottleneck, "trained": list(self.score_names),
        }  # fmt: skip
        return tensors, {
            "network": network,
            "preprocessing": asdict(self.preprocessing),
            "precision": self.precision,
        }

    @classmethod
    @override
    def from_state(cls, saved: SavedState) -> BlendDetector:
        network = saved.description["network"]
        size: int = saved.common["preprocessing"].size
        model = BlendVAE(size=size, latent=network["latent"], bottleneck=network["bottleneck"])
        model.load_state_dict(saved.tensors_of("model"))
        return cls(
            name=network["name"],
            model=model.to(saved.common["device"]),
            latent=network["latent"],
            bottleneck=network["bottleneck"],
            score_names=tuple(network["trained"]),
            precision=saved.description["precision"],
            **saved.common,
        )

    @classmethod
    @override
    def resolve(cls, config: TrainConfig) -> TrainConfig:
        options = config.method
        assert isinstance(options, BlendConfig)
        scores = trained_scores(options)
        if options.score is not None and options.score not in scores:
            raise InputError(
                f"--score {options.score}: this run trains {' and '.join(scores)}", hint="leave it out"
            )
        resolved = replace(
            options,
            size=options.size or SIZE,
            latent=options.latent or LATENT,
            batch_size=options.batch_size or BATCH,
            lr=options.lr or RATE,
            flips=options.flips or "h",
            score=options.score or scores[0],
        )
        return replace(config, method=resolved)

    @classmethod
    @override
    def describe(cls, name: str, size: int | None = None) -> list[ModelRow]:
        with torch.device("meta"):  # counts without allocating
            parameters = sum(p.numel() for p in BlendVAE(size=SIZE, latent=LATENT).parameters())
        return [] if size else [ModelRow(parameters=f"{parameters:,}", input=f"{SIZE} px", score=BLEND)]

    def _how_fitted(self) -> str:
        return f"{self.metadata['forgeries']:,} forgeries made of them"

    def _pass(
        self, x: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b H W"] | None, Float[Tensor, "b 3 h w"] | None]:
        """Logits of the map and the reconstruction, each where its head was trained."""
        with arithmetic(self.device.type, self.precision):
            stages = self.model.stages(x)
            logits = self.model.blend(stages) if BLEND in self.score_names else None
            x_hat = None
            if RMSE in self.score_names:
                x_hat = self.model.decode(self.model.posterior(stages).mu).float()
        return logits, x_hat


def trained_scores(options: BlendConfig) -> tuple[str, ...]:
    """Scores of the heads that have a weight."""
    weights = {BLEND: options.blend_weight, RMSE: options.reconstruction_weight}
    return tuple(name for name, weight in weights.items() if weight)


def _anomaly_map(x: Tensor, logits: Tensor | None, x_hat: Tensor | None) -> Float[Tensor, "b h w"]:
    """See `BlendDetector`; on the CPU, not negative."""
    if logits is not None:
        return torch.sigmoid(logits).cpu().contiguous()
    assert x_hat is not None, "one head at least was trained"
    return (x - x_hat).square().mean(1).sqrt().cpu().contiguous()
