"""The figures of a reproduction are pictures, the same for the same numbers, and say which epoch was chosen."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from verovolto.thesis.figures import (
    Checkpoint,
    checkpoint_histograms,
    checkpoint_precision_recall,
    shortcut_forest,
)
from verovolto.thesis.page import effect, measured


def checkpoints(count: int) -> list[Checkpoint]:
    rng = np.random.default_rng(0)
    fake = np.repeat([False, True], 30)
    return [
        Checkpoint(epoch=10 * (i + 1), scores=rng.normal(size=60) + fake, fake=fake) for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_panel_and_a_curve_a_checkpoint(count: int) -> None:
    drawn = checkpoint_histograms(checkpoints(count), name="rmse", chosen=10)
    curves = checkpoint_precision_recall(checkpoints(count), chosen=10)
    sizes = [Image.open(io.BytesIO(png)).size for png in (drawn, curves)]
    assert all(width > 300 and height > 300 for width, height in sizes)
    assert drawn == checkpoint_histograms(checkpoints(count), name="rmse", chosen=10)
    if count > 1:
        assert drawn != checkpoint_histograms(checkpoints(count), name="rmse", chosen=20)


def test_scores_that_are_all_the_same_can_be_drawn() -> None:
    fake = np.repeat([False, True], 5)
    flat = [Checkpoint(epoch=1, scores=np.ones(10), fake=fake)]
    assert checkpoint_histograms(flat, name="rmse", chosen=1).startswith(b"\x89PNG")


def shortcut(low: float | None, high: float | None) -> dict[str, object]:
    found = {"value": 0.1, "low": low, "high": high}
    return {"name": "leak", "figures": {"auroc": {"published": found, "honest": found, "difference": found}}}


def test_effects_in_words_follow_the_interval() -> None:
    assert effect(shortcut(0.05, 0.2)).endswith("+0.100 [+0.050, +0.200] (it flatters)")
    assert effect(shortcut(-0.05, 0.2)).endswith("(no difference shown)")
    assert effect(shortcut(-0.2, -0.1)).endswith("(it costs)")
    assert effect(shortcut(0.0, 0.0)).endswith("(nothing changed)")
    assert effect(shortcut(None, None)).endswith("(no interval)")
    drawn = shortcut_forest([shortcut(0.05, 0.2), shortcut(None, None)], {"leak": "auroc"})
    assert drawn.startswith(b"\x89PNG")


def test_trivial_statistics_are_shown_once() -> None:
    tables = [{"score": "rmse", "model": m, "rows": [{"score": "rmse"}, {"score": "bytes"}]} for m in "ab"]
    assert [(table["model"], row["score"]) for table, row in measured(tables)] == [
        ("a", "rmse"), ("b", "rmse"), ("a", "bytes"),
    ]  # fmt: skip
