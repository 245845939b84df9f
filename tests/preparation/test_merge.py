from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.faces.detection.base import iou
from verovolto.preparation.extract import Record
from verovolto.preparation.merge import ALL, SAME_FACE, Counts, count, match, regroup, table, warnings

BOXES = st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50), st.integers(1, 50)).map(
    lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
)
RECORD = Record(
    path="a.mp4",
    label="real",
    dataset="set",
    video="a",
    method=None,
    compression=None,
    source_video="a",
    status="ok",
)
RECORDS = st.builds(
    lambda label, method, status, faces, missed: replace(
        RECORD,
        label=label,
        method=method if label == "fake" else None,
        status=status,
        frames=faces + sum(missed.values()),
        faces=faces,
        no_face=missed,
    ),
    st.sampled_from(["real", "fake"]),
    st.sampled_from(["Deepfakes", "FaceSwap", None]),
    st.sampled_from(["ok", "damaged", "unreadable"]),
    st.integers(0, 50),
    st.dictionaries(st.sampled_from(["nothing found", "too small"]), st.integers(0, 50)),
)


@given(st.lists(st.integers(0, 20), max_size=12), st.integers(1, 16))
def test_regrouped_rows_are_the_same_rows(lengths: list[int], size: int) -> None:
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    tables = [
        pa.table({"x": pa.array(range(s, s + n), pa.int64())}) for s, n in zip(starts, lengths, strict=True)
    ]
    groups = list(regroup(tables, size))
    assert [x for group in groups for x in group["x"].to_pylist()] == list(range(sum(lengths)))
    assert all(len(group) == size for group in groups[:-1]) and all(0 < len(g) <= size for g in groups)


@given(BOXES, BOXES)
def test_overlap_is_symmetric_and_a_share(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    assert iou(a, b) == iou(b, a)
    assert 0 <= iou(a, b) <= 1 and iou(a, a) == 1
    moved = [tuple(v + 100 for v in box) for box in (a, b)]
    assert iou(*moved) == pytest.approx(iou(a, b))


def test_overlap_of_known_boxes() -> None:
    assert iou((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert iou((0, 0, 2, 2), (2, 0, 4, 2)) == 0


@given(st.lists(BOXES, max_size=5), st.lists(BOXES, max_size=5))
def test_matched_boxes_overlap_and_are_given_away_once(
    ours: list[tuple[float, ...]], theirs: list[tuple[float, ...]]
) -> None:
    partner = match(ours, theirs)
    assert len(partner) == len(ours)
    given_away = [j for j in partner if j >= 0]
    assert len(set(given_away)) == len(given_away)
    assert all(iou(ours[i], theirs[j]) >= SAME_FACE for i, j in enumerate(partner) if j >= 0)
    left = set(range(len(theirs))) - set(given_away)
    for i, j in enumerate(partner):
        assert j >= 0 or all(iou(ours[i], theirs[free]) < SAME_FACE for free in left)


@given(st.lists(BOXES, unique=True, max_size=5))
def test_the_same_boxes_match_themselves(boxes: list[tuple[float, ...]]) -> None:
    assert match(boxes, boxes) == list(range(len(boxes)))


@given(st.lists(RECORDS, max_size=12))
def test_classes_add_up(records: list[Record]) -> None:
    *classes, total = count(records)
    assert (total.label, total.videos) == (ALL, len(records))
    for name in ("videos", "unreadable", "damaged", "frames", "faces", "no_face_frames"):
        assert sum(getattr(each, name) for each in classes) == getattr(total, name)
    assert [each.label for each in classes] == sorted((each.label for each in classes), reverse=True)
    assert [Counts.from_dict(each.to_dict()) for each in classes] == classes
    rows = table([*classes, total])
    assert len(rows) == len(classes) + 2 and len({len(row) for row in rows}) == 1


@pytest.mark.parametrize(("missed", "warned"), [(0, 0), (5, 0), (6, 1), (100, 1)])
def test_an_uneven_coverage_is_a_warning(missed: int, warned: int) -> None:
    real = replace(RECORD, frames=100, faces=100)
    fake = replace(RECORD, label="fake", frames=100, faces=100 - missed, no_face={"nothing found": missed})
    said = warnings(count([real, fake]))
    assert len(said) == warned
    assert not warned or f"{100 - missed:.1f}% of the fake" in said[0]
    assert warnings(count([fake])) == []
