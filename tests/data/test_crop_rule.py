"""Crop rules, and looks: narrower crops cut out of wider ones."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import draw_face
from verovolto.core.errors import InputError
from verovolto.data.crop_rule import DFDC, FFPP, TIGHT, WIDE, CropRule, Look, look_at, read_rule, shows
from verovolto.data.faceset import FaceSet
from verovolto.data.storage.convert import convert_set
from verovolto.faces.crop import crop
from verovolto.faces.detection.base import Face

RULE = CropRule(scale=1.1, dy=0.05)


def test_crop_rules_by_name_and_by_file(tmp_path: Path) -> None:
    assert read_rule("tight").scale == 0.86
    for value in (RULE.to_dict(), {"crop_rule": RULE.to_dict()}):
        (tmp_path / "rule.json").write_text(json.dumps(value))
        assert read_rule(str(tmp_path / "rule.json")) == RULE
    (tmp_path / "rule.json").write_text("[1]")
    with pytest.raises(InputError, match="not a JSON object"):
        read_rule(str(tmp_path / "rule.json"))
    with pytest.raises(InputError, match="neither a rule nor a file"):
        read_rule("ffp")


def face_at(x: float, y: float, side: float) -> Face:
    return Face(
        box=(x - 0.4 * side, y - side / 2, x + 0.4 * side, y + side / 2),
        score=1.0,
        landmarks=torch.zeros(5, 2),
    )


@given(
    x=st.floats(10, 150), y=st.floats(10, 150), side=st.floats(20, 70), scale=st.floats(0.4, 1.0),
    dx=st.floats(-0.1, 0.1), dy=st.floats(-0.1, 0.1),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_a_look_is_the_crop_of_its_rule_to_a_pixel(
    x: float, y: float, side: float, scale: float, dx: float, dy: float
) -> None:
    rows, columns = torch.meshgrid(torch.arange(160), torch.arange(160), indexing="ij")
    image = torch.stack([rows, columns, rows]).to(torch.uint8)  # each pixel says where it lies
    inner = CropRule(scale=scale, dx=dx, dy=dy, border="reflect")
    face = face_at(x, y, side)
    direct = crop(image, face, inner)
    cut = Look.within(WIDE, inner).cut(crop(image, face, WIDE))
    assert abs(direct.shape[1] - cut.shape[1]) <= 1
    same = min(direct.shape[1], cut.shape[1])
    far = (direct[:, :same, :same].int() - cut[:, :same, :same].int()).abs()
    assert int(far.max()) <= 2  # two roundings, of the corner and of the side


def test_what_a_crop_does_not_show_is_refused() -> None:
    for outer, inner, why in (
        (FFPP, TIGHT, "was moved"),
        (TIGHT, WIDE, "was moved"),
        (replace(TIGHT, border="reflect"), WIDE, "reaches beyond"),
        (WIDE, replace(WIDE, dy=0.01), "reaches beyond"),
        (WIDE, replace(TIGHT, align=True), "turned"),
        (WIDE, replace(TIGHT, detector="centerface"), "boxes of mtcnn"),
    ):
        assert not shows(outer, inner)
        with pytest.raises(InputError, match=why):
            Look.within(outer, inner)
    assert shows(WIDE, DFDC) and shows(TIGHT, TIGHT)
    assert look_at(None, TIGHT.to_dict()) is None and look_at(TIGHT.to_dict(), TIGHT.to_dict()) is None


def test_a_look_is_at_least_a_pixel_and_of_square_crops() -> None:
    look = Look(left=0.4, top=0.4, side=0.2)
    assert look.cut(torch.zeros(3, 2, 2, dtype=torch.uint8)).shape == (3, 1, 1)
    with pytest.raises(InputError, match="not square"):
        look.cut(torch.zeros(3, 20, 30, dtype=torch.uint8))


@pytest.fixture
def wide(tmp_path: Path) -> FaceSet:
    lines = ["path,label,split,source_video,crop_width,crop_height,box"]
    for i, label in enumerate(("real", "real", "fake")):
        draw_face(i, size=130).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{label},train,v{i},260,260,0 0 260 260")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    (tmp_path / "faceset.json").write_text(json.dumps({"crop_rule": WIDE.to_dict()}))
    return FaceSet.open(tmp_path)


def test_a_set_is_seen_by_a_narrower_rule(wide: FaceSet) -> None:
    seen = wide.seen_by(DFDC.to_dict())
    look = Look.within(WIDE, DFDC)
    x0, y0, x1, y1 = look.box(130)
    assert seen.crop_rule == DFDC.to_dict() and seen.image(1).shape == (3, 86, 86)
    assert torch.equal(seen.image(1), wide.image(1)[:, y0:y1, x0:x1])
    row = seen.columns("crop_width", "crop_height", "box", "label").slice(0, 1).to_pylist()[0]
    assert row["crop_width"] == row["crop_height"] == 172 and row["label"] == "real"
    assert row["box"] == pytest.approx([44, 54, 216, 226], abs=0.01)
    for other in (
        pickle.loads(pickle.dumps(seen)),
        seen.take([0, 1, 2]),
        FaceSet.join([seen]),
        seen.with_splits(seen.columns("split")["split"]),
    ):
        assert torch.equal(other.image(1), seen.image(1)) and other.crop_rule == seen.crop_rule
    assert wide.seen_by(None) is wide and wide.seen_by(WIDE.to_dict()) is wide
    between = replace(WIDE, scale=1.0).to_dict()
    assert torch.equal(
        wide.seen_by(between).seen_by(TIGHT.to_dict()).image(2), wide.seen_by(TIGHT.to_dict()).image(2)
    )
    with pytest.raises(InputError, match="encoding them anew"):
        convert_set(seen, wide.path / "shards")
