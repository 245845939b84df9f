"""How typical of a real face a VAE's reconstruction error is, given what kind of picture the face is, as a detector.

A small error says little: every VAE reproduces a smooth picture better. So beside the error's numbers (the values)
stand those of the input itself (the controls), and what is asked is which error a real face of that kind has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torchvision.io import encode_jpeg
from typing_extensions import override

from verovolto.core.errors import InputError
from verovolto.data.face_batch import FaceBatch, Preprocessing
from verovolto.detectors.base import Detector, ModelRow, SavedState, Scores
from verovolto.detectors.fitting import Run, TrainingData
from verovolto.detectors.registry import TrainConfig, register
from verovolto.detectors.vae.detector import VAEDetector
from verovolto.experimental.error_typicality import TypicalityConfig
from verovolto.experimental.error_typicality.density import ConditionalMixture, fewest, fit_conditional
from verovolto.features.spectrum import REGIONS, Region, band_energies, linear_bands, log_power, luma_plane
from verovolto.networks import ERROR_TYPICALITY, Density
from verovolto.networks.vae import VAE, VAEOutput

_QUALITY = 90
_FROM_ZERO = 1e-6
NAME = ERROR_TYPICALITY
SCORE = "typicality"
BANDS = 8
_FIT = f"{__name__.rpartition('.')[0]}.fit"
COMPONENTS: dict[Density, int] = {"gaussian": 1, "mixture": 2}


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
CONTROLS = (*band_names("input", BANDS), "bytes as JPEG")
VALUES = (*band_names("error", BANDS), *MODEL_VALUES)


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


@dataclass(frozen=True, kw_only=True)
class ErrorVectors:
    """`controls` `[b, len(CONTROLS)]` and `values` `[b, len(VALUES)]` of faces, float64, on the CPU."""

    controls: Float64[Tensor, "b c"]
    values: Float64[Tensor, "b v"]

    def take(self, rows: NDArray[np.bool_] | slice) -> ErrorVectors:
        """Those of some faces."""
        chosen = rows if isinstance(rows, slice) else torch.from_numpy(rows)
        return ErrorVectors(controls=self.controls[chosen], values=self.values[chosen])

    @staticmethod
    def joined(parts: list[ErrorVectors]) -> ErrorVectors:
        """One after the other."""
        return ErrorVectors(
            controls=torch.cat([part.controls for part in parts]),
            values=torch.cat([part.values for part in parts]),
        )


@torch.inference_mode()
def error_vectors(detector: VAEDetector, batch: FaceBatch) -> ErrorVectors:
    """What the VAE makes of faces: one pass, and one more through the encoder."""
    std, mean = (
        torch.tensor(part, device=detector.device).view(1, 3, 1, 1)
        for part in (detector.preprocessing.std, detector.preprocessing.mean)
    )
    x = detector.preprocessing(batch, detector.device)
    out = detector.model(x)
    error, image = (x - out.x_hat) * std, x * std + mean
    pixels = (image * 255).round().clamp(0, 255).byte()
    edges = linear_bands(BANDS)
    controls = torch.cat([band_columns(image, edges).cpu(), complexity(pixels)], dim=1)
    values = torch.cat([band_columns(error, edges), model_columns(detector.model, error, out)], dim=1)
    return ErrorVectors(controls=controls, values=values.cpu())


@dataclass(frozen=True, kw_only=True, eq=False)
class Typicality:
    """The density of real faces' error vectors: `kept` `[len(VALUES)]` are the values it looks at.

    `held_out` are, ascending, the scores of the faces it was fitted to, each by a density that was not fitted to that
    person: those of new real faces are like these, while in its own eyes a face fitted to is too typical.
    """

    density: ConditionalMixture
    kept: tuple[bool, ...]
    held_out: NDArray[np.float64]

    def score(self, vectors: ErrorVectors) -> Float64[Tensor, " b"]:
        """-log p(values | controls) of each face, higher = less like a real one."""
        return self.density.surprise(vectors.controls, vectors.values[:, list(self.kept)])


def fit_typicality_of_errors(
    vectors: ErrorVectors, people: NDArray[Any], *, components: int, folds: int = 5
) -> Typicality:
    """Fit to the errors of real faces. A value that never varies is left out (an auto-encoder has no KL).

    Args:
        vectors: of n faces.
        people: who each shows, `[n]`.
        components: Gaussians in the mixture.
        folds: parts that share no person, each scored by a fit to the others.

    Raises:
        InputError: too few faces, also for a fit without one of the folds.
    """
    wanted = math.ceil(fewest(len(CONTROLS), len(CONTROLS) + len(VALUES)) * folds / (folds - 1))
    if len(people) < wanted:
        raise InputError(
            f"{len(people)} real faces of the half `choose` are too few to learn the density of errors from",
            hint=f"it takes {wanted} at least, of several people: validate on more real faces",
        )
    kept = (vectors.values.max(0).values > vectors.values.min(0).values).tolist()
    names = (*CONTROLS, *(name for name, keep in zip(VALUES, kept, strict=True) if keep))

    def fit(part: ErrorVectors) -> ConditionalMixture:
        return fit_conditional(part.controls, part.values[:, kept], components=components, names=names)

    whole = Typicality(density=fit(vectors), kept=tuple(kept), held_out=np.zeros(0))
    _, number = np.unique(people, return_inverse=True)
    fold = np.random.default_rng(0).permutation(number.max() + 1)[number] % min(folds, number.max() + 1)
    if len(np.unique(fold)) < 2:
        return replace(whole, held_out=np.sort(whole.score(vectors).numpy()))
    scores = np.zeros(len(people))
    for one in np.unique(fold):
        rest = replace(whole, density=fit(vectors.take(fold != one)))
        scores[fold == one] = rest.score(vectors.take(fold == one)).numpy()
    return replace(whole, held_out=np.sort(scores))


@register(NAME, config=TypicalityConfig, source="docs/detectors; of a finished VAE")
@dataclass(kw_only=True, eq=False)
class TypicalityDetector(Detector):
    """A density of reconstruction errors on top of a finished VAE (see `experimental.error_typicality.fit`).

    It has no anomaly map: what makes an error atypical is how its power is spread over frequencies, nowhere in
    particular.
    """

    kind = NAME

    vae: VAEDetector
    typicality: Typicality
    name: str = NAME
    default_score: str = SCORE
    score_names: tuple[str, ...] = (SCORE,)

    @property
    @override
    def crop_rule(self) -> dict[str, Any] | None:
        return self.vae.crop_rule

    @property
    def held_out(self) -> NDArray[np.float64]:
        """Scores of the real faces it was fitted to, as those of new ones would be; ascending."""
        return self.typicality.held_out

    @override
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        values = self.typicality.score(error_vectors(self.vae, batch))
        return Scores(columns={SCORE: values.float()}, default=SCORE)

    @override
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, description = self.vae.state()
        tensors |= {f"typicality.{name}": value for name, value in self.typicality.density.tensors().items()}
        tensors["typicality.held_out"] = torch.from_numpy(self.typicality.held_out)
        kept = list(self.typicality.kept)
        return tensors, {"vae": {**description, "score": self.vae.default_score}, "kept": kept}

    @classmethod
    @override
    def from_state(cls, saved: SavedState) -> TypicalityDetector:
        written, device = saved.description["vae"], saved.common["device"]
        of_vae = {"default_score": written["score"], "device": device,
                  "preprocessing": Preprocessing.from_dict(written["preprocessing"])}  # fmt: skip
        vae = VAEDetector.from_state(replace(saved, description=written, common=of_vae))
        fitted = saved.tensors_of("typicality")
        typicality = Typicality(
            density=ConditionalMixture.from_tensors(fitted, controls=len(CONTROLS)),
            kept=tuple(saved.description["kept"]),
            held_out=fitted["held_out"].double().numpy(),
        )
        return cls(vae=vae, typicality=typicality, **saved.common)

    @classmethod
    @override
    def fit(cls, config: TrainConfig, data: TrainingData, run: Run) -> TypicalityDetector:
        raise InputError(
            f"{NAME} is made of a finished VAE",
            hint="train one, say oc-fakedect1, and give its run folder as --from",
        )

    @classmethod
    @override
    def from_detector(cls, config: TrainConfig, source: Detector, run: Run) -> TypicalityDetector:
        if not isinstance(source, VAEDetector):
            raise InputError(
                f"{NAME} cannot be made of the {source.name}", hint="give the run of a VAE as --from"
            )
        made: TypicalityDetector = import_module(_FIT).of_vae(config, source, run)
        return made

    @classmethod
    @override
    def describe(cls, name: str, size: int | None = None) -> list[ModelRow]:
        vectors = len(CONTROLS) + len(VALUES)
        numbers = 2 * vectors + vectors * (vectors + 1) // 2
        return [] if size else [ModelRow(parameters=f"{numbers:,}", input="its VAE's", score=SCORE)]

    def _how_fitted(self) -> str:
        return f"a density fitted to the errors of {self.metadata['fitted_on']['faces']} other reals"
