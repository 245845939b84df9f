"""What Mahalanobis, PaDiM and PatchCore share: models of real faces' frozen features, in closed form.

The features of every training face are kept block by block in the run's `work/`, then the model is fitted. No fake is
looked at, and nothing is chosen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, conv2d, interpolate, pad
from typing_extensions import override

from verovolto.core.errors import DataError, InputError
from verovolto.core.workdir import compute_chunks
from verovolto.data.face_batch import FaceBatch, Preprocessing, to_batch
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector, Explanation, ModelRow, SavedState, Scores
from verovolto.detectors.fitting import Run, TrainingData, check_readable, read_image
from verovolto.detectors.registry import TrainConfig
from verovolto.features.spectrum import ledoit_wolf
from verovolto.networks.backbones.efficientnet_lite import MEAN, STD, Lite, variant

BACKBONE = "lite0"
"""The network whose features all of them stand on; see `networks.backbones.efficientnet_lite`."""

CHANNELS = variant(BACKBONE).channels
"""Its channels after each block."""

SIZE = 224
"""Side of its input in pixels."""

ANOMALY_MAP_SIDE = 56
"""Places a side of an anomaly map, of whatever model."""

FEWEST = 8
"""Faces that anything can be fitted to."""

_SIGMA = 1.0  # places of an anomaly map: 4 of 224 pixels, as in Roth et al. 2022
_REACH = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureModel(ABC):
    """What real faces' feature maps look like: fitted, and judging others.

    `layers` are the blocks of the backbone after which the maps are taken; all other fields are tensors. `in_a_graph`:
    the scores of a batch are one computation, whatever the faces.
    """

    scores: ClassVar[tuple[str, ...]]
    in_a_graph: ClassVar[bool] = True

    layers: tuple[int, ...]

    @abstractmethod
    def score_maps(
        self, maps: Sequence[Tensor], *, anomaly_map: bool = False
    ) -> tuple[dict[str, Float[Tensor, " b"]], Float[Tensor, "b h w"] | None]:
        """The scores of faces, and where in them the anomaly lies."""

    def tensors(self) -> dict[str, Tensor]:
        """What has to be stored."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "layers"}

    @classmethod
    def from_tensors(cls, layers: tuple[int, ...], tensors: Mapping[str, Tensor]) -> FeatureModel:
        """Back from `tensors`, after any detour through a file."""
        return cls(layers=layers, **tensors)


class Recipe(ABC):
    """How a model is fitted: what is kept of each face, and what is made of it. It pickles.

    Attributes:
        layers: blocks of the backbone after which features are taken.
        fitted: what the detector holds of the training faces, in words.
        numbers: how many numbers are fitted.
    """

    layers: tuple[int, ...]
    fitted: str
    numbers: int

    def check(self, faces: int) -> None:
        """Raise `DataError` where so many faces are too few."""
        if faces < FEWEST:
            raise DataError(
                f"{faces} real faces are too few to fit anything to", hint=f"give {FEWEST} at least"
            )

    @abstractmethod
    def kept(self, maps: list[Tensor], rows: list[int], faces: int) -> Tensor:
        """What is kept of each face `[n, ...]`; `rows` are their numbers among all `faces`."""

    @abstractmethod
    def fit(self, kept: NDArray[np.float16], run: Run) -> FeatureModel:
        """The model, out of what was kept of the faces that could be read."""


@dataclass(kw_only=True, eq=False)
class FeatureBaselineDetector(Detector):
    """A model of real faces' features; each method names its `model_class` and says how it is fitted (`recipe`)."""

    kind = "normality"
    model_class: ClassVar[type[FeatureModel]]

    model: FeatureModel
    preprocessing: Preprocessing

    @classmethod
    @abstractmethod
    def recipe(cls, config: TrainConfig) -> Recipe:
        """How the model is fitted with these options. Raises `InputError` for what cannot be."""

    def __post_init__(self) -> None:
        self.default_score = self.default_score or self.model.scores[0]
        self.score_names = self.model.scores
        moved = {name: value.to(self.device) for name, value in self.model.tensors().items()}
        self._model = self.model_class.from_tensors(self.model.layers, moved)
        backbone = Lite(BACKBONE, self.model.layers).to(self.device)
        self._backbone = backbone.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    @override
    def score_batch(self, batch: FaceBatch, *, anomaly_map: bool = False) -> Scores:
        maps = self._backbone(self.preprocessing(batch, self.device))
        columns, where = self._model.score_maps(maps, anomaly_map=anomaly_map)
        return Scores(
            columns={name: values.cpu() for name, values in columns.items()},
            default=self.default_score,
            anomaly_map=None if where is None else where.cpu(),
        )

    @override
    def score_network(self) -> nn.Module:
        if not self._model.in_a_graph:
            raise InputError(
                f"a {self.name} cannot be exported: it looks at each face by itself, which a graph does not",
                hint="mahalanobis and padim can be",
            )
        return _ScoreNetwork(self._backbone, self._model)

    @torch.inference_mode()
    @override
    def explain(self, images: Any) -> Explanation:
        x = self.preprocessing(to_batch(images), self.device)
        _, where = self._model.score_maps(self._backbone(x), anomaly_map=True)
        assert where is not None, "it was asked for"
        return Explanation(inputs=self.preprocessing.pictures(x), anomaly_map=where.cpu())

    @classmethod
    @override
    def fit(cls, config: TrainConfig, data: TrainingData, run: Run) -> FeatureBaselineDetector:
        recipe, faces = cls.recipe(config), data.train
        recipe.check(len(faces))
        preprocessing = Preprocessing(size=SIZE, mean=MEAN, std=STD, crop_rule=data.crop_rule)
        device = config.device
        features = compute_chunks(
            len(faces),
            _Rows(faces=faces, recipe=recipe, preprocessing=preprocessing, device=device),
            run.work / "features",
            workers=config.workers or 0,
            on_progress=run.task("features of the training faces", len(faces)),
        )
        readable = np.isfinite(features.reshape(len(faces), -1)[:, 0])
        lost = np.flatnonzero(~readable)
        first = faces.face(int(lost[0])) if len(lost) else ""
        check_readable(len(lost), len(faces), config.max_unreadable, what="training faces", first=first)
        recipe.check(int(readable.sum()))
        metadata = run.metadata(weights="EfficientNet-Lite0, ImageNet, frozen", unreadable=len(lost))
        metadata |= {"fitted": recipe.fitted, "unreadable": len(lost)}
        model = recipe.fit(features if readable.all() else features[readable], run)
        return cls(
            name=config.model,
            model=model,
            preprocessing=preprocessing,
            metadata=metadata,
            device=torch.device(device),
        )

    @override
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {f"model.{name}": value for name, value in self.model.tensors().items()}
        written = {"name": self.name, "method": self.name, "taps": list(self.model.layers)}
        return tensors, {"model": written, "preprocessing": asdict(self.preprocessing)}

    @classmethod
    @override
    def from_state(cls, saved: SavedState) -> FeatureBaselineDetector:
        written = saved.description["model"]
        model = cls.model_class.from_tensors(tuple(written["taps"]), saved.tensors_of("model"))
        return cls(name=written["name"], model=model, **saved.common)

    @classmethod
    @override
    def describe(cls, name: str, size: int | None = None) -> list[ModelRow]:
        numbers = cls.recipe(TrainConfig.of(name)).numbers
        return [] if size else [ModelRow(parameters=f"{numbers:,}", input=f"{SIZE} px", score=name)]

    def _how_fitted(self) -> str:
        return f"{self.metadata['fitted']} kept"


class _ScoreNetwork(nn.Module):
    """What a model makes of the backbone's input; see `Detector.score_network`."""

    def __init__(self, backbone: nn.Module, model: FeatureModel) -> None:
        super().__init__()
        self.backbone, self.model = backbone, model

    def forward(self, x: Float[Tensor, "b 3 s s"]) -> tuple[Tensor, Tensor]:
        columns, where = self.model.score_maps(self.backbone(x), anomaly_map=True)
        assert where is not None, "it was asked for"
        return torch.stack([columns[name] for name in self.model.scores], dim=1), where


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What is kept of a range of faces; NaN where a face cannot be read."""

    faces: FaceSet
    recipe: Recipe
    preprocessing: Preprocessing
    device: str

    def __call__(self, block: range) -> NDArray[np.float16]:
        images = [read_image(self.faces, row) for row in block]
        there = [number for number, image in enumerate(images) if image is not None]
        shown = [image for image in images if image is not None]
        if not shown:  # what is kept has a shape all the same
            there, shown = [0], [torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)]
        with torch.inference_mode():
            batch = FaceBatch(images=shown, encoded_bytes=[None] * len(shown))
            backbone = _loaded(BACKBONE, self.recipe.layers).to(self.device)
            maps = backbone(self.preprocessing(batch, torch.device(self.device)))
            kept = self.recipe.kept(maps, [block[number] for number in there], len(self.faces)).cpu().numpy()
        found = np.full((len(images), *kept.shape[1:]), np.nan, dtype=np.float16)
        found[there] = kept
        found[[image is None for image in images]] = np.nan
        return found


def numbers_of_gaussian(columns: int) -> int:
    """Numbers of a mean and a covariance."""
    return columns + columns * (columns + 1) // 2


def fit_gaussian(rows: Float[Tensor, "n k"]) -> tuple[Float64[Tensor, " k"], Float64[Tensor, "k k"]]:
    """Mean `m` and whitening `W` of rows: `|(x - m) @ W|` is the Mahalanobis distance of x.

    The covariance is shrunken by Ledoit & Wolf's rule (2004), so that it can be inverted when rows are fewer than
    columns.

    Raises:
        DataError: nothing varies.
    """
    rows = rows.double()
    mean = rows.mean(0)
    covariance = ledoit_wolf(rows - mean)
    unit = torch.eye(len(covariance), dtype=torch.float64, device=rows.device)
    # With L L^T the covariance, rows times L^-T have covariance 1.
    lower, failed = torch.linalg.cholesky_ex(covariance)
    if int(failed):
        raise DataError(
            f"the features of {len(rows)} training faces hardly vary, so no Gaussian can be fitted",
            hint="are the faces all alike? give more of them",
        )
    return mean, torch.linalg.solve_triangular(lower, unit, upper=False).T.contiguous()


def aligned(maps: Sequence[Float[Tensor, "b _ _ _"]], edge: int) -> Float[Tensor, "b c {edge} {edge}"]:
    """Maps of several sizes as one of all channels, float32: larger ones averaged, smaller ones enlarged bilinearly."""
    return torch.cat([_resized(features.float(), edge) for features in maps], dim=1)


def smoothed(
    distances: Float[Tensor, "b h w"], side: int = ANOMALY_MAP_SIDE
) -> Float[Tensor, "b {side} {side}"]:
    """A map enlarged bilinearly and blurred (Gaussian, its border repeated): single places count for less."""
    offsets = torch.arange(-_REACH, _REACH + 1, dtype=torch.float32, device=distances.device)
    kernel = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    kernel = kernel / kernel.sum()
    wide = pad(_resized(distances[:, None], side), (_REACH,) * 4, mode="replicate")
    blurred: Tensor = conv2d(conv2d(wide, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return blurred[:, 0]


def above_median(anomaly_map: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """By how much each place exceeds the median place of its own face, 0 where it does not.

    Distances of real faces lie far from zero everywhere; only where they are larger than elsewhere is worth showing.
    """
    places = anomaly_map.flatten(1)
    # The lower median; graphs have no word for it.
    middle = places.topk((places.shape[1] + 1) // 2, dim=1, largest=False).values.amax(1)
    return (anomaly_map - middle[:, None, None]).clamp(min=0)


def _resized(features: Tensor, edge: int) -> Tensor:
    if features.shape[-1] >= edge:
        return adaptive_avg_pool2d(features, edge)
    resized: Tensor = interpolate(features, size=(edge, edge), mode="bilinear", align_corners=False)
    return resized


@lru_cache(maxsize=1)
def _loaded(backbone: str, layers: tuple[int, ...]) -> Lite:
    """Loaded once a process while one is fitted."""
    return Lite(backbone, layers).to(memory_format=torch.channels_last)
