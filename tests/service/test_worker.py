"""A worker keeps what it loaded, for as long as it is the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from tests.scanning.drawn import by_brightness
from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import DetectorError
from verovolto.detectors.io import detector_folder
from verovolto.service.settings import KnownDetector
from verovolto.service.worker import load_once


def test_a_detector_is_loaded_once_and_again_when_it_is_another(tmp_path: Path) -> None:
    by_brightness().save(tmp_path)
    first = load_once(tmp_path)
    assert load_once(tmp_path) is first
    by_brightness(faces=200).save(tmp_path)
    second = load_once(tmp_path)
    assert second is not first and len(second.calibration["brightness"]) == 200


@pytest.mark.parametrize(("faces", "rates"), [(40, (0.1, 0.05)), (100, (0.1, 0.05, 0.01)), (5, (0.167,))])
def test_every_rate_that_is_offered_is_kept_in_the_smallest_source(
    tmp_path: Path, faces: int, rates: tuple[float, ...]
) -> None:
    sources = {"many": np.arange(1000.0), "few": np.arange(float(faces))}
    calibration = Calibration.of(
        np.concatenate([*sources.values()]), score="s", clusters=9, cluster="face", sources=sources
    )
    known = KnownDetector(
        name="a", folder=tmp_path, model="a", digest=None, licence=None, calibration=calibration, metadata={}
    )
    assert known.rates == rates
    assert [known.promise(rate).false_alarm for rate in rates] == list(rates)


def test_a_damaged_one_is_not_kept(tmp_path: Path) -> None:
    shutil.copytree(detector_folder(), tmp_path / "copy")
    with (tmp_path / "copy" / "model.safetensors").open("ab") as handle:
        handle.write(b"x")
    for _ in range(2):
        with pytest.raises(DetectorError, match="changed or damaged"):
            load_once(tmp_path / "copy")
