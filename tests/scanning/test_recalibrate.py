"""Real faces of one's own: as the calibration of a detector, and as a test of its promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Command, write_set
from tests.detectors.conftest import make_detector
from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import CalibrationError, InputError
from verovolto.data.crop_rule import TIGHT
from verovolto.data.faceset import FaceSet
from verovolto.data.storage.convert import convert_set
from verovolto.detectors.base import Detector, load_detector
from verovolto.scanning.recalibrate import breaks_promise, promise_text, realised, recalibrate
from verovolto.scanning.result import FileResult, OperatingPoint, Scan, Verdict


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two sets of drawn faces, 40 people each."""
    folder = tmp_path_factory.mktemp("reals")
    for name in ("press", "street"):
        convert_set(FaceSet.open(write_set(folder / f"{name}-images", train=40, people=20)), folder / name)
    return [folder / "press", folder / "street"]


def detector() -> Detector:
    made = make_detector()
    known = np.linspace(0.3, 0.4, 99)
    made.calibration["rmse"] = Calibration.of(
        known, score="rmse", clusters=99, cluster="face", fakes={"swap": np.array([0.35, 0.9])}
    )
    return made


def test_thresholds_and_domain_become_those_of_the_faces_given(faces: list[Path], tmp_path: Path) -> None:
    before = detector()
    before.metadata["left_out"] = {"elsewhere": {"share": 0.1}}
    recalibrate(before, faces, tmp_path / "mine", crop=TIGHT)
    made = load_detector(tmp_path / "mine")
    known = made.calibration[made.default_score]
    assert len(known) == 240 and set(known.sources) == {"press-images", "street-images"}
    assert made.metadata["calibrated_on"]["real"] == 240
    assert "left_out" not in made.metadata, "it was of the former calibration"
    assert made.metadata["calibrated_on"]["sources"] == {"press-images": 120, "street-images": 120}
    assert made.domain.ranges.keys() >= {"sharpness", "brightness", "contrast"}
    assert sum(len(values) for values in known.fakes.values()) > 0, "known fakes of the set itself"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"], "no faces are left behind"


def test_too_few_are_refused(tmp_path: Path) -> None:
    convert_set(FaceSet.open(write_set(tmp_path / "few-images", train=6, people=4)), tmp_path / "few")
    with pytest.raises(CalibrationError, match=r"22 real faces of 11 .* too few to calibrate on") as error:
        recalibrate(detector(), [tmp_path / "few"], tmp_path / "out", crop=TIGHT)
    assert error.value.hint is not None and "--reals" in error.value.hint
    assert not (tmp_path / "out").exists()
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="is not a folder"):
        recalibrate(detector(), [tmp_path / "photo.jpg"], tmp_path / "out", crop=TIGHT)


def scan_of(**verdicts: list[Verdict | None]) -> Scan:
    point = OperatingPoint.of(Calibration.of(np.arange(99.0), score="s", clusters=99, cluster="face"), 0.05)
    files = [
        FileResult(path="x", medium=medium, verdict=verdict)  # type: ignore[arg-type]
        for medium, of in verdicts.items()
        for verdict in of
    ]
    return Scan(files=tuple(files), operating_point=point, detector={}, settings={})


def test_false_alarms_are_counted_by_kind_of_file() -> None:
    photos: list[Verdict | None] = ["suspect"] * 9 + ["no sign found"] * 51 + ["cannot tell"] * 4 + [None]
    found = realised(scan_of(photo=photos, video=["no sign found"] * 5))
    assert [(each.kind, each.suspect, each.judged, each.cannot_tell) for each in found] == [
        ("photo", 9, 60, 4), ("video", 0, 5, 0), ("file", 9, 65, 4),
    ]  # fmt: skip
    assert found[0].low == pytest.approx(0.0710, abs=1e-3) and found[0].high == pytest.approx(
        0.2657, abs=1e-3
    )
    assert breaks_promise(found[0], 0.05) and "3 times as many" in promise_text(found[0], 0.05)
    assert promise_text(found[1], 0.05) == "nothing speaks against its promise, but 5 are too few to tell"
    many = realised(scan_of(photo=["suspect"] * 20 + ["no sign found"] * 480))
    assert [promise_text(each, 0.05) for each in many] == ["it keeps its promise"]
    assert realised(scan_of(photo=[None, "cannot tell"])) == []


def test_one_of_both_is_asked_for(command_line: Command, tmp_path: Path, faces: list[Path]) -> None:
    words: list[Any] = ["calibrate", "default", "--reals", faces[0]]
    for more in ([], ["--check", "--out", tmp_path / "x"]):
        code, _, error = command_line(*words, *more)
        assert code == 2 and "--out FOLDER, or --check" in error
