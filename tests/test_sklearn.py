"""The adapter for scikit-learn and PyOD: the conventions it keeps, and scikit-learn's own checks where they apply."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.utils import estimator_checks as checks

from tests.conftest import draw_face
from tests.detectors import toy  # noqa: F401  registers a detector that is fitted in no time
from verovolto import Detector
from verovolto.core.errors import CalibrationError, DataError, InputError
from verovolto.sklearn import OneClassDetector

FACES = np.stack([np.asarray(draw_face(number, size=32)) for number in range(80)])


@pytest.fixture(scope="module")
def fitted() -> OneClassDetector:
    return OneClassDetector("toy", false_alarm=0.1).fit(FACES)


def test_higher_is_more_anomalous(fitted: OneClassDetector) -> None:
    scores = fitted.decision_function(np.concatenate([FACES[60:], FACES[60:] // 4]))
    assert roc_auc_score([0] * 20 + [1] * 20, scores) > 0.9


def test_the_words_of_the_conventions(fitted: OneClassDetector) -> None:
    scores = fitted.decision_function(FACES)
    assert scores.dtype == np.float64 and scores.shape == (80,)
    assert (fitted.score_samples(FACES) == -scores).all()
    assert set(fitted.predict(FACES)) == {0, 1}
    assert (fitted.predict(FACES) == (scores > fitted.threshold_)).all()
    assert ((fitted.p_values(FACES) <= 0.1) == (fitted.predict(FACES) == 1)).all()
    assert not hasattr(fitted, "predict_proba")


def test_the_rate_can_be_named_later_and_is_refused_where_it_cannot_be_kept(fitted: OneClassDetector) -> None:
    estimator = pickle.loads(pickle.dumps(fitted))
    assert estimator.n_calibrate_ == 32
    flagged = [estimator.set_params(false_alarm=rate).predict(FACES).sum() for rate in (0.05, 0.2, 0.5)]
    assert flagged == sorted(flagged) and flagged[-1] > flagged[0]
    with pytest.raises(CalibrationError, match="cannot support"):
        estimator.set_params(false_alarm=0.01).predict(FACES)


def test_nobody_is_learned_from_and_calibrated_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[str]] = {}

    def look(model: str, data: Any, out: Path, **options: Any) -> Detector:
        for part in ("train", "choose", "calibrate"):
            seen[part] = set(getattr(data, part).columns("target_identity")["target_identity"].to_pylist())
        raise InterruptedError

    monkeypatch.setattr("verovolto.sklearn.fit", look)
    with pytest.raises(InterruptedError):
        OneClassDetector("toy").fit(FACES, groups=np.arange(80) // 4)
    assert {part: len(people) for part, people in seen.items()} == {"train": 10, "choose": 2, "calibrate": 8}
    assert len(set().union(*seen.values())) == 20


def test_what_cannot_be_is_said(fitted: OneClassDetector) -> None:
    with pytest.raises(NotFittedError):
        OneClassDetector("toy").predict(FACES)
    with pytest.raises(DataError, match="too few"):
        OneClassDetector("toy").fit(FACES[:4])
    with pytest.raises(InputError, match="groups for"):
        OneClassDetector("toy").fit(FACES, groups=[1])
    with pytest.raises(InputError, match="no share"):
        OneClassDetector("toy", calibration=1.0).fit(FACES)
    with pytest.raises(InputError, match="no image"):
        fitted.predict(np.zeros((4, 3)))


def test_images_of_any_kind_do(fitted: OneClassDetector, tmp_path: Path) -> None:
    draw_face(3, size=48).save(tmp_path / "face.png")
    [score] = fitted.decision_function([draw_face(3, size=48)])
    assert fitted.decision_function([tmp_path / "face.png"]).tolist() == [score]


class Rows(OneClassDetector):
    """Rows of numbers as pictures of one line, so that scikit-learn's checks have something to give."""

    def __init__(self, model: str = "toy", *, false_alarm: float = 0.5, calibration: float = 0.4,
                 crop_rule: str | None = None, options: Any = None, seed: int = 0) -> None:  # fmt: skip
        super().__init__(model, false_alarm=false_alarm, calibration=calibration, crop_rule=crop_rule,
                         options=options, seed=seed)  # fmt: skip

    def fit(self, X: Any, y: object = None, groups: Any = None) -> Any:
        return super().fit(self.pictures(X), y, groups)

    def decision_function(self, X: Any) -> Any:
        return super().decision_function(self.pictures(X))

    @staticmethod
    def pictures(X: Any) -> Any:
        rows = np.clip(np.asarray(X, dtype=np.float64) * 20 + 128, 0, 255).astype(np.uint8)
        return [np.tile(row[None, :, None], (4, 3, 3)) for row in rows]


WITHOUT_DATA = (
    checks.check_estimator_tags_renamed, checks.check_valid_tag_types, checks.check_estimator_repr,
    checks.check_no_attributes_set_in_init, checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_parameters_default_constructible, checks.check_get_params_invariance, checks.check_set_params,
    checks.check_mixin_order, checks.check_estimator_cloneable,
)  # fmt: skip
WITH_DATA = (
    checks.check_fit_score_takes_y, checks.check_estimators_overwrite_params, checks.check_dont_overwrite_parameters,
    checks.check_estimators_fit_returns_self, checks.check_estimators_unfitted, checks.check_dict_unchanged,
    checks.check_fit_idempotent, checks.check_fit_check_is_fitted, checks.check_methods_sample_order_invariance,
    checks.check_methods_subset_invariance, checks.check_estimators_pickle,
)  # fmt: skip
"""Left out, because they are about rows of features: the number and names of features, sparse matrices, NaN, complex
and object data, one sample and one feature, one dimension. Left out, because of `predict` (see the module): those of
outlier detectors, which want -1 for what is flagged and scores that fall."""


@pytest.mark.parametrize("check", WITHOUT_DATA, ids=lambda check: check.__name__)
def test_checks_of_scikit_learn(check: Any) -> None:
    check("OneClassDetector", OneClassDetector("toy"))


@pytest.mark.parametrize("check", WITH_DATA, ids=lambda check: check.__name__)
def test_checks_of_scikit_learn_on_rows_as_pictures(check: Any) -> None:
    check("Rows", clone(Rows()))
