"""A worker keeps what it loaded, for as long as it is the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from tests.scanning.drawn import by_brightness
from verovolto.core.errors import DetectorError
from verovolto.detectors.io import detector_folder
from verovolto.service.worker import load_once


def test_a_detector_is_loaded_once_and_again_when_it_is_another(tmp_path: Path) -> None:
    by_brightness().save(tmp_path)
    first = load_once(tmp_path)
    assert load_once(tmp_path) is first
    by_brightness(faces=200).save(tmp_path)
    second = load_once(tmp_path)
    assert second is not first and len(second.calibration["brightness"]) == 200


def test_a_damaged_one_is_not_kept(tmp_path: Path) -> None:
    shutil.copytree(detector_folder(), tmp_path / "copy")
    with (tmp_path / "copy" / "model.safetensors").open("ab") as handle:
        handle.write(b"x")
    for _ in range(2):
        with pytest.raises(DetectorError, match="changed or damaged"):
            load_once(tmp_path / "copy")
