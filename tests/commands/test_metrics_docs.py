"""`docs/metrics-schema.md` and what `evaluate` writes name the same keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.detectors.conftest import make_detector
from verovolto.commands.evaluate import evaluate

PAGE = (Path(__file__).parents[2] / "docs" / "metrics-schema.md").read_text(encoding="utf-8")


def documented(heading: str) -> set[str]:
    """The keys in the first column of the first table after a line."""
    after = PAGE.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"\| key \| value \|\n\|---\|---\|\n((?:\|.*\n)+)", after)
    assert table is not None, heading
    return {key for line in table[1].splitlines() for key in re.findall(r"`(\w+)`", line.split(" | ")[0])}


@pytest.fixture(scope="module")
def out(face_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    make_detector().save(folder / "detector")
    asked = {"resamples": 20, "robustness": True, "robustness_faces": 24}
    evaluate(folder / "detector", data=face_set, out=folder / "out", **asked)
    return folder / "out"


@pytest.fixture(scope="module")
def metrics(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "metrics.json").read_text()))


def test_the_top_level(metrics: dict[str, Any]) -> None:
    assert set(metrics) == documented("## Top level")


def test_thresholds(metrics: dict[str, Any]) -> None:
    oriented = {"precision", "recall", "f1"}  # named where `positive` is explained
    assert all(set(one) - oriented == documented("## `thresholds[]`") for one in metrics["thresholds"])
    assert all(f"`{name}`" in PAGE for name in oriented)


def test_robustness(metrics: dict[str, Any]) -> None:
    found = metrics["robustness"]
    levels = documented("`robustness.degradations[].levels[]`:")
    assert set(found) == documented("## `robustness`")
    assert set(found["none"]) == levels - {"level", "auroc_change"}
    for one in found["degradations"]:
        assert set(one) == documented("`robustness.degradations[]`:")
        assert f"`{one['name']}`" in PAGE
        assert all(set(level) == levels for level in one["levels"])
    assert set(found["threshold"]) <= documented("## `thresholds[]`")


def test_the_columns_of_degraded_scores(out: Path) -> None:
    text = PAGE.split("## `robustness.parquet`")[1]
    names = pq.read_schema(out / "robustness.parquet").names
    assert names[:4] == ["face", "label", "degradation", "level"]
    assert all(f"`{name}`" in text for name in names[:4])
