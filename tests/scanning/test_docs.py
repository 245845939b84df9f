"""The JSON of a scan is documented, key by key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faces.bright import RULE, BrightSquares, clip, photo
from verovolto.calibration.input_domain import CONDITIONS, Domain
from verovolto.calibration.thresholds import Calibration
from verovolto.detectors.trivial.detector import TrivialDetector
from verovolto.faces import crop
from verovolto.scanning import result, run
from verovolto.scanning.settings import ScanSettings

DOCS = Path(__file__).parents[2] / "docs" / "scan.md"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a scan of a clip, a photo of a face that is too small, and a file that is neither writes."""
    monkeypatch.setattr(run, "open_detector", lambda name: BrightSquares())
    detector = TrivialDetector(
        default_score="brightness",
        calibration={
            "brightness": Calibration.of(
                np.linspace(100, 255, 99),
                score="brightness",
                clusters=99,
                cluster="face",
                fakes={"swap": [180.0]},
            )
        },
        domain=Domain(ranges=dict.fromkeys(CONDITIONS, (0.0, 255.0))),
        metadata={"seed": 0, "weights": "none", "trained_on": "squares"},
    )
    (tmp_path / "note.txt").write_text("no picture")
    paths = [clip(tmp_path / "a.mp4"), photo(tmp_path / "b.png", [(4, 4, 12)]), tmp_path / "note.txt"]
    settings = ScanSettings(crop=RULE, smallest=20, sharpness=0)
    written: dict[str, Any] = json.loads(
        json.dumps(run.scan_files(detector, paths, settings).to_dict(), allow_nan=False)
    )
    return written


def keys(value: Any) -> Iterator[str]:
    """Every key of nested objects."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_every_key_is_documented(written: dict[str, Any]) -> None:
    text = DOCS.read_text(encoding="utf-8").partition("## The JSON")[2]
    named = {word for span in re.findall(r"`([^`]+)`", text) for word in (span, span.split(".")[-1])}
    found = set(keys(written)) - {"swap"}
    assert {"timeline", "passed_over", "share", "box", "domain", "lowest"} <= found, (
        "all kinds of objects are there"
    )
    assert found - named == set()


def test_every_word_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8").partition("## The JSON")[2]
    reasons = (
        result.OUTSIDE_DOMAIN, result.TOO_MANY, *crop.REASONS, crop.NO_FACE, crop.NO_SCORE,
        crop.OUTSIDE_FRAME, crop.TOO_BRIEF,
    )  # fmt: skip
    rules = ("one face", "twice the mean", "videos")
    for word in (*result.VERDICTS, *reasons, *rules, "damaged", "unreadable"):
        assert f"`{word}" in text, word


def test_the_schema_version_is_that_of_the_page(written: dict[str, Any]) -> None:
    assert (
        f"schema version {written['schema_version']};"
        in DOCS.read_text(encoding="utf-8").partition("## The JSON")[2]
    )
