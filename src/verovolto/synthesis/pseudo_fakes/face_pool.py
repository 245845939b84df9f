"""A pool of real faces: each can be forged, and be the donor of the inner face in the forgery of another.

With their principal components (Turk & Pentland, "Eigenfaces for Recognition", Journal of Cognitive Neuroscience 3(1),
1991): a face rebuilt from the leading ones lacks what an auto-encoder's narrow code loses too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from verovolto.core.errors import InputError, UnreadableImage
from verovolto.data.face_batch import resize
from verovolto.data.faceset import FaceSet
from verovolto.synthesis.geometry import invert, transform, umeyama
from verovolto.synthesis.pseudo_fakes.imaging import REFERENCE_SIDE, mean_landmarks, template, unit, warp

COMPONENTS = 400
"""Components that are kept at most: the finest face that is rebuilt uses as many."""

FITTED_ON = 6000
"""Faces that the principal components are fitted on at most (0.4 GB)."""

BASIS_SIDE = 72
"""Side of the aligned faces that are described by principal components, pixels for a crop of 224."""

DRAWN = 150
"""Faces drawn as candidates for a donor; the most alike of them is it."""

CACHED = 64
"""Decoded crops kept in memory: the face being forged is asked for several times, donors hardly ever again."""

_BRIGHTNESS = 0.25  # a grey level of difference in brightness weighs as much as this many pixels of landmarks
_CENTRE = (60, 170)  # of the reference crop: rows and columns over which brightness is measured
_BLOCK = 256  # faces projected at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceBasis:
    """A mean face and orthonormal directions, most variable first.

    It consists of the faces it was fitted on, so that it stays in memory and goes into no file.

    Attributes:
        mean: float32 `[3 * n * n]`, grey levels.
        components: float32 `[k, 3 * n * n]`.
        side: n, pixels.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    side: int

    @staticmethod
    def fit(
        faces: NDArray[np.float32], *, side: int, components: int = COMPONENTS, seed: int = 0
    ) -> FaceBasis:
        """Fit the leading components, of which there are fewer where there are fewer faces.

        Randomised singular values: Halko, Martinsson & Tropp, SIAM Review 53(2), 2011, with 2 power iterations.

        Args:
            faces: aligned faces `[m, 3 * side * side]`, which are centred in place to save memory.
            side: of the faces, pixels.
            components: number of components at most.
            seed: of the random projection.

        Raises:
            InputError: fewer than two faces, or faces of another side.
        """
        from sklearn.utils.extmath import randomized_svd  # slow to import, and needed in training alone

        if len(faces) < 2 or faces.shape[1:] != (3 * side * side,):
            raise InputError(
                f"no components of an array {faces.shape}", hint="give two aligned faces or more"
            )
        mean = faces.mean(0)
        faces -= mean
        count = min(components, len(faces) - 1, faces.shape[1])
        _, _, rows = randomized_svd(faces, count, n_iter=2, random_state=seed)
        return FaceBasis(mean=mean, components=rows.astype(np.float32), side=side)

    def coordinates(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        """Coordinates `[m, k]` of aligned faces `[m, 3 * n * n]`."""
        return np.asarray((faces - self.mean) @ self.components.T, dtype=np.float32)

    def rebuild(self, coordinates: NDArray[np.float32]) -> Float[Tensor, "3 n n"]:
        """The aligned face, `[3, n, n]`, of the first coordinates `[c]`, 0 <= c <= k; the others are 0."""
        flat = self.mean + coordinates @ self.components[: len(coordinates)]
        return torch.from_numpy(flat).view(3, self.side, self.side)


class ImageSource(Protocol):
    """Numbered images, such as a `FaceSet`."""

    def __len__(self) -> int: ...

    def image(self, i: int, /) -> Tensor:
        """Image `i`, uint8 `[3, H, W]`."""
        ...


class ImageCache:
    """Images resized to one side, the last few kept decoded. It pickles without these."""

    def __init__(self, images: ImageSource, side: int, *, cached: int = CACHED) -> None:
        self.images, self.side, self.cached = images, side, cached
        self._decoded: OrderedDict[int, Tensor] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_decoded": OrderedDict()}

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, i: int) -> UInt8[Tensor, "3 s s"]:
        """Image `i`, uint8 `[3, S, S]`; not to be changed in place. Raises `UnreadableImage`."""
        if i not in self._decoded:
            self._decoded[i] = resize(self.images.image(i), self.side)
            while len(self._decoded) > self.cached:
                self._decoded.popitem(last=False)
        self._decoded.move_to_end(i)
        return self._decoded[i]


@dataclass(frozen=True, kw_only=True, eq=False)
class FacePool:
    """Real faces and what is needed of each to forge it; `gather` makes one.

    Images are decoded when they are needed. Everything else fits into memory: 2 kB a face. It pickles, so that
    several processes can share one, and is never written to disk: it holds faces.

    Attributes:
        image_cache: the crops.
        landmarks: float32 `[N, 5, 2]`, `(x, y)` in pixels of the S x S crop; average ones where none were found.
        donors: int64, faces that may be donors, in ascending order: those that can be read and have landmarks.
        targets: int64, faces that may be forged, in ascending order: those that can be read.
        to_template: float32 `[N, 2, 3]`, carries a crop's pixels into the common frame.
        shapes: float32 `[N, 10]`, landmarks in the common frame.
        brightness: float32 `[N]`, mean grey level of the crop's centre.
        native: int64 `[N]`, side in pixels that the face had in its picture.
        basis: principal components of all faces.
        coordinates: float32 `[N, k]`, each face in that basis.
        unreadable: a message for each crop that cannot be read.
    """

    image_cache: ImageCache
    landmarks: Float[Tensor, "n 5 2"]
    donors: NDArray[np.int64]
    targets: NDArray[np.int64]
    to_template: Float[Tensor, "n 2 3"]
    shapes: Float[Tensor, "n 10"]
    brightness: Float[Tensor, " n"]
    native: NDArray[np.int64]
    basis: FaceBasis
    coordinates: NDArray[np.float32]
    unreadable: tuple[str, ...] = ()

    @staticmethod
    def gather(
        images: ImageSource,
        landmarks: ArrayLike,
        *,
        native: ArrayLike | None = None,
        side: int = REFERENCE_SIDE,
        components: int = COMPONENTS,
        fitted_on: int = FITTED_ON,
        seed: int = 0,
        on_progress: Callable[[int], None] | None = None,
    ) -> FacePool:
        """Read every face once and describe it.

        Args:
            images: tight crops of **real** faces, N of them, brought to `side` x `side` pixels.
            landmarks: `[N, 5, 2]` in pixels of these, in the order of `faces.detection.base.LANDMARKS`; NaN where none
                were found.
            native: `[N]`, the side that each had in its picture (see `native_sides`); `side` if not given.
            side: S, pixels.
            components: principal components at most.
            fitted_on: faces that these are fitted on at most, drawn by `seed`.
            seed: decides the draw and the components.
            on_progress: called with the number of faces that have been read since the last call.

        Raises:
            InputError: shapes that do not fit, or fewer than two faces that can be read and have landmarks.
        """
        points, has_landmarks = _landmarks(landmarks, len(images), side)
        sides = np.full(len(images), side) if native is None else np.asarray(native).astype(np.int64)
        if sides.shape != (len(images),):
            raise InputError(f"{len(images)} faces cannot have {sides.shape} sizes", hint="give one a face")
        frame = template(side)
        to_template = torch.stack([umeyama(p, frame) for p in points]).float()
        survey = _FaceSurvey(
            image_cache=ImageCache(images, side),
            to_template=to_template,
            on_progress=on_progress or (lambda _: None),
        )
        basis, coordinates = survey.describe(components, fitted_on, seed)
        donors = np.flatnonzero(has_landmarks & survey.readable)
        if len(donors) < 2:
            raise InputError(
                f"{len(donors)} faces can lend their inner part to others",
                hint="give two crops or more that can be read, and landmarks for them",
            )
        return FacePool(
            image_cache=survey.image_cache,
            landmarks=points,
            donors=donors,
            targets=np.flatnonzero(survey.readable),
            to_template=to_template,
            shapes=torch.stack([transform(m, p) for m, p in zip(to_template, points, strict=True)]).flatten(
                1
            ),
            brightness=survey.brightness,
            native=sides,
            basis=basis,
            coordinates=coordinates,
            unreadable=tuple(survey.unreadable),
        )

    def __len__(self) -> int:
        return len(self.image_cache)

    @property
    def side(self) -> int:
        """S: side of all crops, pixels."""
        return self.image_cache.side

    def pixels(self, index: int) -> UInt8[Tensor, "3 s s"]:
        """The crop of a face, uint8 `[3, S, S]`; not to be changed in place. Raises `UnreadableImage`."""
        return self.image_cache.pixels(index)

    def image(self, index: int) -> Float[Tensor, "3 s s"]:
        """The crop of a face, float32 `[3, S, S]`, grey levels 0 to 255."""
        return self.pixels(index).float()

    def donor(self, index: int, rng: Generator, *, drawn: int = DRAWN) -> int:
        """Choose a donor for a face: of `drawn` candidates the one most alike in pose and brightness.

        It never is the face itself, nor one without landmarks.
        """
        candidates = rng.choice(self.donors, min(drawn, len(self.donors)), replace=False)
        candidates = candidates[candidates != index]  # two are drawn at least: one is left
        distance = (self.shapes[candidates] - self.shapes[index]).norm(dim=1) / unit(self.side)
        distance += _BRIGHTNESS * (self.brightness[candidates] - self.brightness[index]).abs()
        return int(candidates[int(distance.argmin())])

    def aligned(self, donor: int, index: int) -> Float[Tensor, "3 s s"]:
        """The donor's crop moved, turned and scaled so that its landmarks fall on those of the face `index`."""
        back = invert(umeyama(self.landmarks[donor], self.landmarks[index]))
        return warp(self.image(donor), back, self.side)


def native_sides(faces: FaceSet, side: int = REFERENCE_SIDE) -> NDArray[np.int64]:
    """The side of each crop in its picture, `[N]`: the column `crop_width`, `side` where nobody wrote it down."""
    widths = faces.columns("crop_width")["crop_width"].to_pylist()
    return np.array([width or side for width in widths], dtype=np.int64)


def _landmarks(given: ArrayLike, count: int, side: int) -> tuple[Tensor, NDArray[np.bool_]]:
    """Landmarks `[N, 5, 2]`, average ones where none are given, and which faces have some."""
    points = torch.from_numpy(np.array(given, dtype=np.float32))
    if points.shape != (count, 5, 2):
        raise InputError(
            f"{count} faces cannot have landmarks of shape {tuple(points.shape)}",
            hint="give [N, 5, 2], NaN where none were found",
        )
    # Points that all lie at one place are no face either: nothing can be aligned with them.
    spread = (points - points.mean(1, keepdim=True)).norm(dim=2).amax(1)
    has_landmarks = points.isfinite().all(2).all(1) & (spread >= unit(side))
    points[~has_landmarks] = mean_landmarks(side)
    return points, has_landmarks.numpy()


class _FaceSurvey:
    """One pass over the faces: which can be read, how bright they are, and their principal components."""

    def __init__(
        self, *, image_cache: ImageCache, to_template: Tensor, on_progress: Callable[[int], None]
    ) -> None:
        self.image_cache, self.on_progress = image_cache, on_progress
        self.to_template = to_template
        self.readable = np.ones(len(image_cache), dtype=np.bool_)
        self.brightness = torch.zeros(len(image_cache))
        self.unreadable: list[str] = []
        self.side = max(8, round(BASIS_SIDE * unit(image_cache.side)))

    def describe(self, components: int, fitted_on: int, seed: int) -> tuple[FaceBasis, NDArray[np.float32]]:
        """The basis of a drawn part of the faces, and the coordinates `[N, k]` of all."""
        count = len(self.image_cache)
        drawn = np.sort(np.random.default_rng(seed).permutation(count)[:fitted_on])
        first = np.empty((len(drawn), 3 * self.side**2), dtype=np.float32)
        seen = self._aligned(drawn, first)
        basis = FaceBasis.fit(first[: len(seen)], side=self.side, components=components, seed=seed)
        coordinates = np.zeros((count, len(basis.components)), dtype=np.float32)
        coordinates[seen] = first[: len(seen)] @ basis.components.T  # the fit has centred them
        block = np.empty((_BLOCK, first.shape[1]), dtype=np.float32)
        others = np.setdiff1d(np.arange(count), drawn)
        for start in range(0, len(others), _BLOCK):
            seen = self._aligned(others[start : start + _BLOCK], block)
            coordinates[seen] = basis.coordinates(block[: len(seen)])
        return basis, coordinates

    def _aligned(self, indices: NDArray[Any], out: NDArray[np.float32]) -> list[int]:
        """Write the aligned faces that can be read into the first rows of `out`; returns their indices."""
        rows: list[int] = []
        for index, image in self._images(indices):
            face = warp(image, invert(self.to_template[index].double()), self.image_cache.side)[None]
            small = torch.nn.functional.interpolate(face, size=self.side, mode="bilinear", antialias=True)
            out[len(rows)] = small.flatten().numpy()
            rows.append(index)
        return rows

    def _images(self, indices: NDArray[Any]) -> Iterator[tuple[int, Tensor]]:
        low, high = (round(edge * unit(self.image_cache.side)) for edge in _CENTRE)
        for index in map(int, indices):
            self.on_progress(1)
            try:
                image = self.image_cache.pixels(index).float()
            except UnreadableImage as error:
                self.readable[index] = False
                self.unreadable.append(str(error))
                continue
            self.brightness[index] = image[:, low:high, low:high].mean()
            yield index, image
