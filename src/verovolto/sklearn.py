"""A detector as scikit-learn and PyOD have estimators: `fit`, `decision_function`, `predict`, `score_samples`.

Where the two disagree, it follows PyOD and this package: `decision_function` is higher for what is more anomalous, and
`predict` gives 1 for what is flagged. There is no `predict_proba`: the probability that a face is a fake depends on the
share of fakes among the faces to come, which nobody knows who has seen real faces alone. `p_values` says what can be
said.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from verovolto.calibration.thresholds import Calibration, flagged
from verovolto.core.errors import DataError, InputError
from verovolto.data.crop_rule import read_rule
from verovolto.data.face_batch import to_batch
from verovolto.data.faceset import FaceSet
from verovolto.detectors.base import Detector
from verovolto.detectors.fitting import TrainingData
from verovolto.training.fit import fit

_PARTS = ("train", "choose", "calibrate")
_CHOOSE = 0.1
_FEWEST_CHOOSE = 2


class OneClassDetector(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Learns real faces, and flags at a named false-alarm rate what does not fit.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    >>> estimator = OneClassDetector("mahalanobis", false_alarm=0.1).fit(X)
    >>> estimator.decision_function(X[:2]).shape, estimator.false_alarm
    ((2,), 0.1)

    Args:
        model: a name that `verovolto models` lists.
        false_alarm: share of real faces that `predict` may flag, in (0, 1); it can be changed after `fit`.
        calibration: share of the people (without `groups`: of the faces) kept for the thresholds, in (0, 0.8].
        crop_rule: by which the faces were cropped (`dfdc`, `tight`, a rule); None where that is unknown.
        options: of the method and the run, as `verovolto.fit` takes them; `workers`, processes, is 0 by default.
        seed: of the division and of the training.

    Attributes:
        detector_: the fitted `Detector`, calibrated; `detector_.save_pretrained(FOLDER)` keeps it.
        n_train_: how many faces were learned from.
        n_calibrate_: how many the thresholds are from.
    """

    def __init__(
        self,
        model: str = "mahalanobis",
        *,
        false_alarm: float = 0.05,
        calibration: float = 0.4,
        crop_rule: str | None = None,
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.false_alarm = false_alarm
        self.calibration = calibration
        self.crop_rule = crop_rule
        self.options = options
        self.seed = seed

    def fit(self, X: Any, y: object = None, groups: Sequence[Any] | None = None) -> OneClassDetector:
        """Learn real faces, all of them taken for real.

        Args:
            X: face crops: paths, PIL images, uint8 arrays `[n, H, W, 3]` or `[n, H, W]`, tensors `[n, 3, H, W]`.
            y: not looked at.
            groups: who is seen in each, `[n]`: nobody is learned from and calibrated on. None: everybody is another.

        Raises:
            DataError: there are too few faces or people.
            InputError: `X` holds no images, or an option cannot be.
        """
        faces = to_batch(X).images
        people = np.arange(len(faces)) if groups is None else np.asarray(groups)
        if len(people) != len(faces):
            raise InputError(f"{len(people)} groups for {len(faces)} faces", hint="give one a face")
        parts = self._divide(people)
        with TemporaryDirectory() as place:
            data = _training_data(Path(place) / "faces", faces, people, parts, self.crop_rule)
            options = {"workers": 0, "seed": self.seed, **(self.options or {})}
            detector = fit(self.model, data, Path(place) / "run", **options)
        detector.folder = None  # it is gone
        self.detector_: Detector = detector
        self.n_train_, self.n_calibrate_ = len(data.train), len(data.calibrate)
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Scores float64 `[n]`: higher is more anomalous, without bounds."""
        check_is_fitted(self)
        return np.asarray(self.detector_.score(X).score.numpy(), dtype=np.float64)

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """The same the other way round, as scikit-learn has it: float64 `[n]`, higher is more ordinary."""
        return -self.decision_function(X)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """1 for faces that are flagged at the rate `false_alarm`, 0 for those that are not; int64 `[n]`.

        Raises:
            CalibrationError: too few faces were calibrated on for this rate.
        """
        return flagged(self.decision_function(X), self.threshold_).astype(np.int64)

    def p_values(self, X: Any) -> NDArray[np.float64]:
        """Conformal p-values float64 `[n]` in (0, 1]: how often a real face like those calibrated on scores as high."""
        scores = self.decision_function(X)
        return self._calibration.p_values(scores)

    @property
    def threshold_(self) -> float:
        """The score above which `predict` flags."""
        return self._calibration.threshold(self.false_alarm)

    @property
    def _calibration(self) -> Calibration:
        check_is_fitted(self)
        return self.detector_.calibration[self.detector_.default_score]

    def __sklearn_tags__(self) -> Any:
        """Images, not rows of features: scikit-learn's general checks do not know them."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def _divide(self, people: NDArray[Any]) -> NDArray[np.str_]:
        """The part of each face, by person, `[n]`."""
        if not 0.0 < self.calibration <= 0.8:
            raise InputError(f"calibration {self.calibration} is no share of (0, 0.8]")
        known, of = np.unique(people, return_inverse=True)
        held = max(1, round(self.calibration * len(known)))
        chosen = max(_FEWEST_CHOOSE, round(_CHOOSE * len(known)))
        if len(known) < held + chosen + 2:
            raise DataError(
                f"{len(known)} people are too few to learn from, to select on and to calibrate on",
                hint="give more real faces",
            )
        place = np.random.default_rng(self.seed).permutation(len(known))
        part = np.where(place < held, 2, np.where(place < held + chosen, 1, 0))
        return np.asarray(_PARTS)[part[of]]


def _training_data(
    folder: Path, faces: Sequence[Tensor], people: NDArray[Any], parts: NDArray[np.str_], rule: str | None
) -> TrainingData:
    """The faces as a set on disk, without loss: training reads its faces in processes of its own."""
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["path", "label", "split", "identity"])
        for number, (face, person, part) in enumerate(zip(faces, people, parts, strict=True)):
            Image.fromarray(face.permute(1, 2, 0).numpy()).save(folder / f"{number:07d}.png")
            writer.writerow([f"{number:07d}.png", "real", part, f"person {person}"])
    whole = FaceSet.open(folder)
    train, choose, calibrate = (whole.select(split=part) for part in _PARTS)
    return TrainingData(
        train=train, choose=choose, calibrate=calibrate, fingerprint=whole.fingerprint(),
        crop_rule=None if rule is None else read_rule(rule, flag="crop_rule").to_dict(),
    )  # fmt: skip
