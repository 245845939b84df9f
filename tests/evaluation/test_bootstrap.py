from __future__ import annotations

import numpy as np
import pytest

from verovolto.evaluation.bootstrap import Estimate, draw_resamples, interval, with_intervals


def test_a_resample_is_whole_clusters() -> None:
    clusters, fake = np.array(["b", "a", "b", "c"]), np.array([True, False, False, True])
    drawn = draw_resamples(clusters, fake, kind="identity", resamples=50, seed=1)
    weights = np.concatenate(list(drawn.weights()))
    assert weights.shape == (50, 4)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(drawn.counts.sum(axis=1), 3)
    assert (weights[:, fake].sum(axis=1) > 0).all() and (weights[:, ~fake].sum(axis=1) > 0).all()
    assert drawn.redrawn > 0 and drawn.metadata()["redrawn"] == drawn.redrawn
    assert drawn.metadata()["cluster"] == "identity" and drawn.metadata()["clusters"] == 3


def test_the_seed_alone_decides() -> None:
    clusters, fake = np.array([f"c{i % 7}" for i in range(40)]), np.arange(40) % 2 == 0
    first = draw_resamples(clusters, fake, kind="identity", resamples=30, seed=5)
    again = draw_resamples(clusters, fake, kind="identity", resamples=30, seed=5)
    other = draw_resamples(clusters, fake, kind="identity", resamples=30, seed=6)
    np.testing.assert_array_equal(first.counts, again.counts)
    assert (first.counts != other.counts).any()


def test_many_clusters_take_a_byte_each_and_are_drawn_in_parts() -> None:
    names, fake = np.arange(3000), np.arange(3000) % 2 == 0
    drawn = draw_resamples(names, fake, kind="face", resamples=100, seed=3)
    at_once = np.random.default_rng(3).multinomial(3000, np.full(3000, 1 / 3000), size=100)
    assert drawn.counts.dtype == np.uint8
    np.testing.assert_array_equal(drawn.counts, at_once)
    rows = np.array([5, 3, 2999])
    parts = drawn.each(lambda weights: {"weights": weights}, rows)
    weights = np.concatenate([part["weights"] for part in parts])
    np.testing.assert_array_equal(weights, np.concatenate(list(drawn.weights(rows))))
    np.testing.assert_array_equal(weights, drawn.counts[:, drawn.cluster_of[rows]])


def test_a_mean_has_the_interval_that_theory_gives() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    fake = np.arange(400) % 2 == 0
    each = draw_resamples(np.arange(400), fake, kind="face", resamples=1000, seed=0)
    figure = with_intervals(lambda w: {"mean": (w @ values) / w.sum(axis=1)}, each)["mean"]
    assert figure.value == pytest.approx(values.mean())
    assert figure.high is not None and figure.low is not None
    assert (figure.high - figure.low) / 2 == pytest.approx(1.96 / 20, rel=0.12)


def test_clusters_of_equal_faces_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(20), 20)
    values = rng.normal(size=20)[people]
    fake = np.arange(400) % 2 == 0

    def width(clusters: np.ndarray) -> float:
        drawn = draw_resamples(clusters, fake, kind="x", resamples=400, seed=0)
        figure = with_intervals(lambda w: {"mean": (w @ values) / w.sum(axis=1)}, drawn)["mean"]
        assert figure.high is not None and figure.low is not None
        return figure.high - figure.low

    assert width(people) > 3 * width(np.arange(400))


def test_one_cluster_gives_no_interval() -> None:
    drawn = draw_resamples(
        np.array(["a"] * 4), np.array([True, False, True, False]), kind="identity", resamples=50, seed=0
    )
    assert with_intervals(lambda w: {"n": w.sum(axis=1)}, drawn)["n"] == Estimate(value=4.0)


def test_rarely_defined_figures_have_no_interval() -> None:
    drawn = np.concatenate([np.full(60, np.nan), np.linspace(0, 1, 40)])
    assert interval(0.5, drawn) == Estimate(value=0.5)
    assert interval(0.5, np.linspace(0, 1, 10)) == Estimate(value=0.5), "ten resamples are no interval"
    assert interval(float("nan"), drawn) == Estimate(value=None)
    usual = interval(0.5, np.concatenate([np.full(10, np.nan), np.linspace(0, 1, 101)]))
    assert (usual.low, usual.high) == (pytest.approx(0.025), pytest.approx(0.975))
