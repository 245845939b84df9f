"""What the frames of a video have in common: known variances, the bound's promise, and a mean set against faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verovolto.calibration.frame_correlation import (
    as_single_face,
    largest_correlation,
    spread_of_mean,
    upper_correlation,
)
from verovolto.calibration.thresholds import Calibration
from verovolto.core.errors import InputError


def drawn(videos: int, frames: int, correlation: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of variance 1 of so many videos, and the video of each."""
    rng = np.random.default_rng(seed)
    own = np.repeat(rng.standard_normal(videos), frames)
    scores = np.sqrt(correlation) * own + np.sqrt(1 - correlation) * rng.standard_normal(videos * frames)
    return scores, np.repeat(np.arange(videos).astype(str), frames)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_of_many_videos_it_is_the_share_that_frames_have_in_common(correlation: float) -> None:
    scores, videos = drawn(4000, 6, correlation)
    assert upper_correlation(scores, videos, confidence=0.5) == pytest.approx(correlation, abs=0.02)


@pytest.mark.parametrize("correlation", [0.2, 0.6])
def test_the_bound_lies_above_it_as_often_as_it_says(correlation: float) -> None:
    above = [upper_correlation(*drawn(6, 10, correlation, seed)) >= correlation for seed in range(600)]
    assert np.mean(above) == pytest.approx(0.8, abs=0.05)


@given(st.floats(0.1, 9), st.floats(-50, 50))
def test_neither_unit_nor_origin_matters(scale: float, shift: float) -> None:
    scores, videos = drawn(8, 5, 0.5)
    assert upper_correlation(scale * scores + shift, videos) == pytest.approx(
        upper_correlation(scores, videos)
    )


def test_frames_that_are_all_alike_have_everything_in_common() -> None:
    assert upper_correlation([1.0, 1, 2, 2], ["a", "a", "b", "b"]) == 1.0
    assert upper_correlation([1.0, 1, 1, 1], ["a", "a", "b", "b"]) == 0.0


@pytest.mark.parametrize("videos", [["a", "a"], ["a", "b"]])
def test_one_video_or_single_frames_tell_nothing(videos: list[str]) -> None:
    with pytest.raises(InputError, match="two videos"):
        upper_correlation([1.0, 2.0], videos)


def test_the_worst_source_with_videos_enough_decides() -> None:
    alike, of_alike = drawn(6, 5, 0.9)
    unlike, of_unlike = drawn(6, 5, 0.1)
    few, of_few = drawn(2, 5, 1.0)
    photos, of_photos = drawn(40, 1, 0.0)
    values = np.concatenate([alike, unlike, few, photos])
    names = [np.char.add(f"{i} ", of) for i, of in enumerate((of_alike, of_unlike, of_few, of_photos))]
    sources = np.repeat(np.array(list("abcd")), [len(each) for each in names])
    found = largest_correlation(values, np.concatenate(names), sources, fewest=5, frames=4)
    assert found == upper_correlation(alike, of_alike)
    only_few = sources >= "c"
    assert (
        largest_correlation(
            values[only_few], np.concatenate(names)[only_few], sources[only_few], fewest=5, frames=4
        )
        is None
    )


def test_a_mean_lies_as_far_out_as_the_face_of_as_many_deviations() -> None:
    assert spread_of_mean(10, 0.6) == pytest.approx(np.sqrt(0.64))
    assert as_single_face(4.0, 2.0, 0.5) == 6.0 and as_single_face(1.0, 2.0, 0.5) == 1.0


class TestMeans:
    """`Calibration.p_value_of_mean`."""

    FACES = np.sort(np.random.default_rng(1).standard_normal(999))

    def known(self, correlation: float | None) -> Calibration:
        return Calibration(
            score="s", values=self.FACES, clusters=999, cluster="face", frame_correlation=correlation
        )

    @given(st.floats(-3, 3), st.integers(2, 50), st.floats(0, 1))
    def test_it_is_never_above_that_of_a_face_and_the_same_where_all_is_common(
        self, mean: float, frames: int, correlation: float
    ) -> None:
        of_face = float(self.known(None).p_values(mean))
        assert self.known(None).p_value_of_mean(mean, frames) == of_face
        assert self.known(1.0).p_value_of_mean(mean, frames) == pytest.approx(of_face, abs=0.003)
        assert self.known(correlation).p_value_of_mean(mean, 1) == pytest.approx(of_face, abs=0.003)
        assert 0 < self.known(correlation).p_value_of_mean(mean, frames) <= of_face + 1e-12

    @pytest.mark.parametrize("correlation", [0.2, 0.7])
    def test_real_videos_keep_the_rate(self, correlation: float) -> None:
        scores, _ = drawn(4000, 8, correlation, seed=3)
        means = scores.reshape(4000, 8).mean(1)
        known = self.known(correlation)
        flagged = np.mean([known.p_value_of_mean(mean, 8) <= 0.05 for mean in means])
        careful = np.mean(known.p_values(means) <= 0.05)
        assert flagged == pytest.approx(0.05, abs=0.015) and careful < flagged

    def test_of_several_sources_the_largest_counts(self) -> None:
        low, high = np.arange(1.0, 100.0), np.arange(101.0, 200.0)
        both = Calibration(
            score="s", values=np.concatenate([low, high]), clusters=2, cluster="face", frame_correlation=0.0,
            sources={"a": low, "b": high},
        )  # fmt: skip
        # 150 is the middle of b: 155 over four frames is as 160 of a face.
        assert both.p_value_of_mean(155.0, 4) == (1 + 40) / 100
