"""Faces are cut by the rule; which are too small, too blurred or too doubtful to be judged."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from torch import Tensor

from tests.conftest import draw_face
from verovolto.core.errors import InputError
from verovolto.data.crop_rule import DFDC, FFPP, RULES, TIGHT, WIDE, CropRule
from verovolto.faces.crop import REASONS, FaceFilter, crop, crop_box, eye_angle, sharpness
from verovolto.faces.detection.base import Face

HEIGHT, WIDTH = 90, 120


def face_at(x: float, y: float, width: float, height: float, *, angle: float = 0.0) -> Face:
    """A face of the given centre and size whose eyes' line is turned by `angle`."""
    flat = torch.tensor([[-0.2, -0.15], [0.2, -0.15], [0.0, 0.0], [-0.15, 0.2], [0.15, 0.2]])
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    landmarks = flat * max(width, height) @ turn.T + torch.tensor([x, y])
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return Face(box=box, score=0.99, landmarks=landmarks)


def pattern(height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """An image whose pixels tell where they are: red the column, green the row."""
    red = torch.arange(width, dtype=torch.uint8).expand(height, width)
    green = torch.arange(height, dtype=torch.uint8)[:, None].expand(height, width)
    return torch.stack((red, green, torch.zeros(height, width, dtype=torch.uint8)))


faces = st.builds(
    face_at,
    st.floats(25, WIDTH - 25),
    st.floats(25, HEIGHT - 25),
    st.floats(2, 200),
    st.floats(2, 200),
    angle=st.floats(-1, 1),
)
rules = st.builds(
    CropRule,
    scale=st.floats(0.3, 3),
    dx=st.floats(-0.1, 0.1),
    dy=st.floats(-0.1, 0.1),
    border=st.sampled_from(["clip", "reflect"]),
)


@given(faces, rules)
def test_the_crop_is_square_and_clip_stays_inside(face: Face, rule: CropRule) -> None:
    x0, y0, x1, y1 = crop_box(face, (HEIGHT, WIDTH), rule)
    side = max(1, round(rule.scale * max(face.width, face.height)))
    assert x1 - x0 == y1 - y0 >= 1
    if rule.border == "clip":
        assert 0 <= x0 < x1 <= WIDTH and 0 <= y0 < y1 <= HEIGHT
        assert x1 - x0 <= side
    else:
        assert x1 - x0 == side


@given(faces, rules)
def test_a_crop_inside_the_image_is_centred(face: Face, rule: CropRule) -> None:
    larger = max(face.width, face.height)
    x0, y0, x1, y1 = crop_box(face, (HEIGHT, WIDTH), CropRule(**{**rule.to_dict(), "border": "reflect"}))
    assert abs((x0 + x1) / 2 - (face.centre[0] + rule.dx * larger)) <= 0.5 + 1e-6
    assert abs((y0 + y1) / 2 - (face.centre[1] + rule.dy * larger)) <= 0.5 + 1e-6


@given(faces, rules, st.booleans())
def test_crop_has_the_side_that_crop_box_gives(face: Face, rule: CropRule, align: bool) -> None:
    rule = CropRule(**{**rule.to_dict(), "align": align})
    x0, _, x1, _ = crop_box(face, (HEIGHT, WIDTH), rule)
    cut = crop(pattern(), face, rule)
    assert cut.dtype == torch.uint8 and cut.shape == (3, x1 - x0, x1 - x0)


@given(st.integers(-30, 30), st.integers(-20, 20))
def test_the_box_moves_with_the_face(dx: int, dy: int) -> None:
    big = (1000, 1000)
    here = crop_box(face_at(500, 400, 60.3, 80.7), big, TIGHT)
    there = crop_box(face_at(500 + dx, 400 + dy, 60.3, 80.7), big, TIGHT)
    assert there == (here[0] + dx, here[1] + dy, here[2] + dx, here[3] + dy)


def test_pixels_are_copied_as_they_are() -> None:
    cut = crop(pattern(), face_at(60, 45, 20, 30), TIGHT)
    side = round(0.86 * 30)
    x0, y0 = 60 - side // 2, 45 - side // 2
    assert torch.equal(cut, pattern()[:, y0 : y0 + side, x0 : x0 + side])


def test_ffpp_is_1_3_times_the_larger_side() -> None:
    assert crop_box(face_at(500, 500, 80, 100), (1000, 1000), FFPP) == (435, 435, 565, 565)


def test_clip_moves_the_corner_then_shortens_the_side() -> None:
    assert crop_box(face_at(10, 10, 40, 40), (HEIGHT, WIDTH), FFPP) == (0, 0, 52, 52)
    assert crop_box(face_at(110, 45, 40, 40), (HEIGHT, WIDTH), FFPP) == (84, 19, 120, 55)


def test_reflection_continues_the_image() -> None:
    cut = crop(pattern(), face_at(5, 45, 20, 20), CropRule(scale=1, border="reflect"))
    assert cut[0, 0].tolist() == [4, 3, 2, 1, 0, *range(15)]
    assert cut[1, :, 0].tolist() == list(range(35, 55))


def test_alignment_by_no_angle_changes_nothing() -> None:
    face = face_at(60, 45, 30, 30)
    assert torch.equal(
        crop(pattern(), face, CropRule(scale=1, align=True)), crop(pattern(), face, CropRule(scale=1))
    )


def test_alignment_levels_the_eyes() -> None:
    angle = 0.4
    face = face_at(60, 45, 40, 40, angle=angle)
    assert eye_angle(face) == pytest.approx(angle, abs=1e-5)
    image = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    for x, y in face.landmarks[:2].round().int().tolist():
        image[:, y - 1 : y + 2, x - 1 : x + 2] = 255
    cut = crop(image, face, CropRule(scale=1, align=True))[0].float()
    rows = torch.arange(40, dtype=torch.float32)[:, None]
    left, right = cut[:, :20], cut[:, 20:]
    assert abs((rows * left).sum() / left.sum() - (rows * right).sum() / right.sum()) < 1


def test_a_face_outside_the_image_is_refused() -> None:
    with pytest.raises(InputError, match="outside the image of 120x90"):
        crop_box(face_at(500, 45, 20, 20), (HEIGHT, WIDTH))


@given(rules)
def test_a_rule_survives_being_written_down(rule: CropRule) -> None:
    assert CropRule.from_dict(rule.to_dict()) == rule


def test_known_rules_and_defaults() -> None:
    assert RULES == {"ffpp": FFPP, "tight": TIGHT, "dfdc": DFDC, "wide": WIDE}
    assert CropRule.from_dict({}) == FFPP
    assert CropRule.from_dict({"scale": 2}) == CropRule(scale=2.0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"scal": 1.3}, "did you mean scale"),
        ({"zzz": 1}, "known: detector"),
        ({"scale": "1.3"}, "must be a float"),
        ({"align": 1}, "must be a bool"),
        ({"scale": 0.0}, "above 0"),
        ({"dx": float("nan")}, "finite"),
        ({"border": "wrap"}, "clip or reflect"),
    ],
)
def test_a_wrong_rule_says_what_is_wrong(value: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CropRule.from_dict(value)


def tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def face(width: float, height: float | None = None, score: float = 0.99, turn: int | None = 0) -> Face:
    box = (10.0, 20.0, 10.0 + width, 20.0 + (width if height is None else height))
    return Face(box=box, score=score, landmarks=torch.zeros(5, 2), turn=turn)


SHARP = tensor(draw_face(3, size=128))
BLURRED = tensor(draw_face(3, size=128).filter(ImageFilter.GaussianBlur(9)))


def test_a_good_face_has_nothing_against_it() -> None:
    assert FaceFilter().reasons(face(100), SHARP) == ()


@pytest.mark.parametrize(
    ("small", "blurred", "turned", "doubtful"), list(itertools.product([False, True], repeat=4))
)
def test_each_reason_is_given_for_itself_and_in_order(
    small: bool, blurred: bool, turned: bool, doubtful: bool
) -> None:
    one = face(30 if small else 100, score=0.7 if doubtful else 0.99, turn=None if turned else 2)
    want = tuple(itertools.compress(REASONS, (small, blurred, turned, doubtful)))
    assert FaceFilter().reasons(one, BLURRED if blurred else SHARP) == want


def test_a_face_at_the_limits_passes() -> None:
    limits = FaceFilter(side=80, sharpness=sharpness(SHARP), confidence=0.5)
    assert limits.reasons(face(20, 80, score=0.5), SHARP) == ()
    assert limits.reasons(face(79.5, 79.5, score=0.499), SHARP) == ("too small", "uncertain detection")


def test_the_size_is_the_boxs_and_not_the_crops() -> None:
    """A crop that was enlarged is still a small face."""
    assert "too small" in FaceFilter().reasons(
        face(20), SHARP.repeat_interleave(8, 1).repeat_interleave(8, 2)
    )


@given(seed=st.integers(0, 50), radius=st.floats(0.5, 3), more=st.floats(1, 6))
def test_sharpness_falls_with_blur(seed: int, radius: float, more: float) -> None:
    drawn = draw_face(seed, size=128)
    soft, softer = (drawn.filter(ImageFilter.GaussianBlur(r)) for r in (radius, radius + more))
    assert sharpness(tensor(drawn)) > sharpness(tensor(soft)) > sharpness(tensor(softer))


def test_sharpness_hardly_depends_on_the_crops_size() -> None:
    drawn = draw_face(5, size=512).filter(ImageFilter.GaussianBlur(8))
    small, large = (sharpness(tensor(drawn.resize((side, side)))) for side in (224, 448))
    assert small == pytest.approx(large, rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (112, 112)])
def test_a_crop_of_any_size_is_measured_and_a_plain_one_is_blurred(size: tuple[int, int]) -> None:
    plain = torch.full((3, *size), 90, dtype=torch.uint8)
    assert sharpness(plain) == pytest.approx(0, abs=1e-6)
    assert FaceFilter().reasons(face(100), plain) == ("too blurred",)


def test_limits_of_zero_let_all_pass() -> None:
    plain = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert FaceFilter(side=0, sharpness=0, confidence=0).reasons(face(1, score=0), plain) == ()


def test_a_confidence_that_is_no_number_is_uncertain() -> None:
    assert FaceFilter().reasons(face(100, score=float("nan")), SHARP) == ("uncertain detection",)


@pytest.mark.parametrize(
    "wrong", [{"side": -1.0}, {"side": float("nan")}, {"sharpness": float("inf")}, {"confidence": 1.5}]
)
def test_impossible_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        FaceFilter(**wrong)


@pytest.mark.parametrize(
    "crop",
    [torch.zeros(3, 8, 8), torch.zeros(8, 8, dtype=torch.uint8), torch.zeros(3, 0, 8, dtype=torch.uint8)],
)
def test_what_is_no_crop_is_refused(crop: Tensor) -> None:
    with pytest.raises(InputError, match="uint8"):
        FaceFilter().reasons(face(100), crop)
