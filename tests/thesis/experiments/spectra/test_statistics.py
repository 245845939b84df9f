"""Spectra of one detector judged: what is planted is found, its own score is the reference, JSON keeps all of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from verovolto.core.errors import InputError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.bootstrap import draw_resamples
from verovolto.thesis.error_spectra import mean_spectra
from verovolto.thesis.experiments.spectra.bands import ERROR, IMAGE, MeasuredBands, SpectralComparison
from verovolto.thesis.experiments.spectra.statistics import GIVEN, TYPICALITY, evaluate_spectra

N, K = 160, 3
FAKE = np.tile([False, True], N // 2)
EDGES = (0.0, 0.1, 0.3, 0.5)


def measured(rows: int, *, seed: int, fake: np.ndarray | None = None, beyond: float = 0.0) -> MeasuredBands:
    """Errors that follow their pictures; those of fakes hold more in the last band than their pictures foretell."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(rows, K))
    error = 0.7 * image + 0.1 * rng.normal(size=(rows, K))
    if fake is not None:
        error[:, -1] += beyond * fake
    radial = error[:, [0, 0, 1, 2]]
    return MeasuredBands(
        rows=np.arange(rows),
        bands={ERROR: error, IMAGE: image},
        frequency=np.arange(1, 5) / 10,
        radial=radial,
    )


def scored(**columns: np.ndarray) -> ScoreTable:
    table = pa.table(
        {
            "face": [str(i) for i in range(N)],
            "label": np.where(FAKE, "fake", "real"),
            "target_identity": [str(i // 4) for i in range(N)],
            "pair": [str(i // 2) for i in range(N)],
            "status": ["ok"] * N,
            **columns,
        }
    )
    return ScoreTable(table=table, scores=("rmse",), baselines=("bytes",))


def judged(beyond: float) -> dict[str, Any]:
    rng = np.random.default_rng(9)
    table = scored(rmse=rng.normal(size=N), bytes=rng.normal(size=N))
    return evaluate_spectra(
        measured(100, seed=1), measured(N, seed=2, fake=FAKE, beyond=beyond), table, own=("rmse",), edges=EDGES,
        resamples=80, seed=0,
    )  # fmt: skip


def test_what_the_input_does_not_explain_is_found_and_only_where_it_was_planted() -> None:
    found = judged(0.8)
    given = found["comparisons"][GIVEN]["bands"]
    assert given[2]["g"]["low"] > 1 and given[2]["p_corrected"] <= 0.05
    assert all(band["p_corrected"] > 0.05 for band in given[:2])
    assert all(band["p_corrected"] > 0.05 for band in found["comparisons"][IMAGE]["bands"])
    made = found["scores"][TYPICALITY.format(GIVEN)]
    assert made["auroc"]["low"] > 0.9 and made["difference"]["verdict"] == "better"
    # Seen without its picture, the same signal is hardly atypical.
    assert found["scores"][TYPICALITY.format(ERROR)]["auroc"]["value"] < made["auroc"]["value"]
    assert "beyond what the images' own explain" in found["verdict"]
    alone = found["scores"][TYPICALITY.format(IMAGE)]["auroc"]["value"]
    assert found["beyond_input"]["verdict"] == "better"
    assert found["beyond_input"]["value"] == pytest.approx(made["auroc"]["value"] - alone)


def test_where_nothing_was_planted_nothing_is_said_to_differ() -> None:
    found = judged(0.0)
    assert all(b["p_corrected"] > 0.05 for one in found["comparisons"].values() for b in one["bands"])
    assert "do not support the conjecture" in found["verdict"]
    assert {one["difference"]["verdict"] for one in found["scores"].values() if one["difference"]} == {
        "no difference shown"
    }
    assert list(found["scores"]) == [
        "rmse", *(TYPICALITY.format(n) for n in (GIVEN, ERROR, IMAGE)), "band 1", "band 2", "band 3", "bytes",
    ]  # fmt: skip


def test_faces_without_a_score_are_left_out_of_everything() -> None:
    rng = np.random.default_rng(9)
    values = rng.normal(size=N)
    values[:4] = np.nan
    found = evaluate_spectra(
        measured(100, seed=1), measured(N, seed=2), scored(rmse=values, bytes=rng.normal(size=N)), own=("rmse",),
        edges=EDGES, resamples=30, seed=0,
    )  # fmt: skip
    assert {part["faces"]["real"] for part in found["comparisons"].values()} == {N // 2 - 2}
    assert found["radial"]["faces"] == {"real": N // 2 - 2, "fake": N // 2 - 2}


def test_too_few_reals_are_refused() -> None:
    table = scored(rmse=np.arange(N, dtype=float), bytes=np.arange(N, dtype=float))
    with pytest.raises(InputError, match="11 real faces are too few"):
        evaluate_spectra(
            measured(11, seed=1), measured(N, seed=2), table, own=("rmse",), edges=EDGES, resamples=9, seed=0
        )


def test_json_keeps_all_that_the_figures_need() -> None:
    found = judged(0.8)
    kept = json.loads(json.dumps(found, allow_nan=False))
    for name, one in kept["comparisons"].items():
        assert SpectralComparison.from_dict(one).to_dict() == found["comparisons"][name]
    assert kept["radial"] == found["radial"]


def test_mean_spectra_are_means_with_intervals_about_them() -> None:
    values = np.random.default_rng(1).normal(size=(N, 5)) + FAKE[:, None]
    resamples = draw_resamples(np.arange(N) // 4, FAKE, kind="identity", resamples=60, seed=0)
    found = mean_spectra(np.arange(5) / 10, values, FAKE, resamples)
    np.testing.assert_allclose(found["fake"]["value"], values[FAKE].mean(axis=0))
    difference = values[FAKE].mean(axis=0) - values[~FAKE].mean(axis=0)
    np.testing.assert_allclose(found["difference"]["value"], difference)
    low, value, high = (np.array(found["real"][end]) for end in ("low", "value", "high"))
    assert (low < value).all() and (value < high).all()
    none = mean_spectra(
        np.arange(5) / 10, values, FAKE, draw_resamples(np.arange(N), FAKE, kind="face", resamples=0, seed=0)
    )
    assert none["real"]["low"] == [None] * 5
