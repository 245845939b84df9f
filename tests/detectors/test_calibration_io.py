"""A calibration in a detector's folder: it comes back whole, and old folders are still read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from tests.detectors.conftest import make_detector
from verovolto import Detector
from verovolto.calibration.input_domain import Domain
from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import DetectorError
from verovolto.detectors.io import (
    JSON_NAME,
    calibration_metadata,
    calibration_tensors,
    digest_of,
    read_calibration,
)

scores = st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=12).map(lambda values: np.array(values))
methods = st.dictionaries(st.text(min_size=1, max_size=12), scores, max_size=4)


@st.composite
def calibrations(draw: st.DrawFn, *, videos: bool = True) -> Calibration:
    plain = Calibration.of(
        draw(scores),
        score="rmse",
        clusters=draw(st.integers(1, 99)),
        cluster=draw(st.sampled_from(["identity", "source video", "face"])),
        fakes=draw(methods),
    )
    if not videos:
        return plain
    of_videos = draw(st.one_of(st.none(), calibrations(videos=False)))
    sources = {name: np.sort(values) for name, values in draw(methods).items()}
    return Calibration(
        score=plain.score, values=plain.values, clusters=plain.clusters, cluster=plain.cluster,
        fakes=plain.fakes, videos=of_videos, fake_clusters=draw(st.one_of(st.none(), st.integers(1, 99))),
        sources=sources, source_clusters={name: len(name) for name in sources},
        frame_correlation=draw(st.one_of(st.none(), st.floats(0, 1))),
    )  # fmt: skip


def same(one: Calibration | None, other: Calibration | None) -> bool:
    if one is None or other is None:
        return one is other
    return (
        (
            one.score,
            one.clusters,
            one.cluster,
            [*one.fakes],
            one.fake_clusters,
            one.source_clusters,
            one.frame_correlation,
        )
        == (
            other.score,
            other.clusters,
            other.cluster,
            [*other.fakes],
            other.fake_clusters,
            other.source_clusters,
            other.frame_correlation,
        )
        and all(np.array_equal(one.sources[name], other.sources[name]) for name in one.sources)
        and np.array_equal(one.values, other.values)
        and all(np.array_equal(one.fakes[method], other.fakes[method]) for method in one.fakes)
        and same(one.videos, other.videos)
    )


@given(calibrations(), calibrations())
def test_what_is_written_is_read(known: Calibration, other: Calibration) -> None:
    """Two scores lie side by side in one file, and neither takes anything of the other."""
    both = {"calibration.rmse": known, "calibration.rmse_unit": other}
    tensors = load(
        save({k: v for key, each in both.items() for k, v in calibration_tensors(each, key).items()})
    )
    for key, each in both.items():
        written = json.loads(json.dumps(calibration_metadata(each), allow_nan=False))
        assert same(read_calibration("rmse", written, tensors, key), each)


def full() -> Calibration:
    """With two methods of fakes, and videos."""
    random = np.random.default_rng(0)
    videos = Calibration.of(
        random.normal(1, 0.1, 40),
        score="rmse",
        clusters=33,
        cluster="identity",
        fakes={"Face2Face": [3.0, 2.0]},
    )
    plain = Calibration.of(
        random.normal(1, 0.2, 99), score="rmse", clusters=33, cluster="identity",
        fakes={"Face2Face": [2.0, 1.0, 3.0], "/fakes/videos ü": [0.5]},
    )  # fmt: skip
    return Calibration(
        score="rmse", values=plain.values, clusters=33, cluster="identity", fakes=plain.fakes, videos=videos
    )


@pytest.mark.parametrize(
    "missing", ["key", "key/fakes/Face2Face", "key/videos", "key/videos/fakes/Face2Face"]
)
def test_a_missing_part_is_an_error(missing: str) -> None:
    tensors = calibration_tensors(full(), "key")
    del tensors[missing]
    with pytest.raises(KeyError, match=missing):
        read_calibration("rmse", calibration_metadata(full()), tensors, "key")


def test_a_detectors_folder_keeps_it(tmp_path: Path) -> None:
    before = make_detector()
    before.calibration["rmse"] = full()
    before.domain = Domain(ranges={"sharpness": (1.25, 3.5), "brightness": (40.0, 210.0)})
    before.save(tmp_path)
    after = Detector.load(tmp_path)
    assert same(after.calibration["rmse"], before.calibration["rmse"]) and after.domain == before.domain
    assert after.calibration["rmse"].missed(0.05) == before.calibration["rmse"].missed(0.05)


def rewritten(folder: Path, edit: Any) -> Path:
    """The folder with its description changed, and the digest made to fit."""
    description = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
    del description["digest"]
    edit(description)
    (folder / JSON_NAME).write_text(json.dumps(description | {"digest": digest_of(description)}))
    return folder


def as_of_old(description: dict[str, Any]) -> None:
    """Before there were fakes, videos and domains."""
    del description["domain"]
    for known in description["calibration"].values():
        known.pop("fakes", None)
        known.pop("videos", None)


def test_an_old_folder_still_loads(tmp_path: Path) -> None:
    before = make_detector()
    before.save(tmp_path)
    after = Detector.load(rewritten(tmp_path, as_of_old))
    known = after.calibration["rmse"]
    assert np.array_equal(known.values, before.calibration["rmse"].values)
    assert known.fakes == {} and known.videos is None and known.missed(0.05) == {}
    assert (known.clusters, known.cluster) == (33, "identity") and after.domain == Domain()
    assert after.thresholds == before.thresholds
    crops = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(after.score(crops).score, before.score(crops).score)


def names_another_method(description: dict[str, Any]) -> None:
    description["calibration"]["rmse"]["fakes"] = ["NeuralTextures"]


def has_a_strange_domain(description: dict[str, Any]) -> None:
    description["domain"] = {"sharpness": [0.0, "wide"]}


@pytest.mark.parametrize("edit", [names_another_method, has_a_strange_domain])
def test_a_folder_that_contradicts_itself_is_refused(tmp_path: Path, edit: Any) -> None:
    make_detector().save(tmp_path)
    with pytest.raises(DetectorError, match="does not describe a detector"):
        Detector.load(rewritten(tmp_path, edit))
