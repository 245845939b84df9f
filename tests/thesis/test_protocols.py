"""A model under a protocol: thresholds from where its protocol takes them, shortcuts on faces that both share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from verovolto.calibration.thresholds import flagged
from verovolto.core.errors import CalibrationError, DataError
from verovolto.data.score_table import ScoreTable
from verovolto.evaluation.groups import Sample
from verovolto.thesis import protocols
from verovolto.thesis.ablation import SharedFaces, leak, noise, selection

Make = Callable[..., ScoreTable]


def test_the_halves_of_validation_share_nobody(make_table: Make) -> None:
    val = make_table(40, per=4)
    half = protocols.calibration_split(val, seed=3)
    rest = set(val.strings("face")) - set(half.strings("face"))
    people = dict(zip(val.strings("face"), val.strings("target_identity"), strict=True))
    assert 0 < len(half) < len(val)
    assert not {people[face] for face in rest} & set(half.strings("target_identity"))


def test_held_out_thresholds_look_at_reals_alone(make_table: Make) -> None:
    val, other = make_table(40), make_table(40, shift=50.0)
    found = protocols.held_out_thresholds(val, "rmse", 0.1)
    assert [one.name for one in found] == ["far_0.1", "p80_reals"]
    assert [one.value for one in protocols.held_out_thresholds(other, "rmse", 0.1)] == [
        one.value for one in found
    ]
    real = val.values("rmse")[val.strings("label") == "real"]
    assert flagged(real, found[0].value).mean() <= 0.1
    assert "40 held-out real faces (10 clusters by identity)" in found[0].chosen_on
    with pytest.raises(CalibrationError, match="cannot support"):
        protocols.held_out_thresholds(val, "rmse", 0.01)
    with pytest.raises(DataError, match="no scored real"):
        protocols.held_out_thresholds(val.take(val.strings("label") == "fake"), "rmse", 0.1)


def test_the_thesis_takes_one_threshold_of_the_test_and_one_of_fakes(make_table: Make) -> None:
    test, val = make_table(60, seed=1), make_table(40, seed=2)
    pooled, largest = protocols.thesis_thresholds(test, val, "rmse")
    assert pooled.value == np.percentile(test.values("rmse"), 80) and pooled.kind == "thesis"
    assert largest.value in val.values("rmse") and largest.kind == "supervised"


def test_each_way_of_the_thesis_is_replaced_by_its_sound_counterpart(make_table: Make) -> None:
    test, val = make_table(60, seed=1), make_table(40, seed=2)
    published = protocols.thesis_thresholds(test, val, "rmse")
    reals = protocols.calibration_split(val, seed=0)
    of_reals, second = protocols.thesis_thresholds(test, val, "rmse", kept=("max-f1", "strict"), reals=reals)
    assert second == published[1] and of_reals == protocols.held_out_thresholds(reals, "rmse", 0.1)[1]
    assert protocols.thesis_thresholds(test, val, "rmse", kept=("max-f1", "strict"))[0] != of_reals
    first, at_rate = protocols.thesis_thresholds(
        test, val, "rmse", kept=("pooled", "strict"), reals=reals, false_alarm=0.2
    )
    assert first == published[0] and at_rate == protocols.held_out_thresholds(reals, "rmse", 0.2)[0]
    first, fair = protocols.thesis_thresholds(test, val, "rmse", kept=("pooled", "max-f1"))
    assert first == published[0] and fair.name == "max_f1_real"
    values, fake = protocols.labels_of(val, "rmse")
    f1 = [2 * (values[~fake] <= s).sum() / ((values <= s).sum() + (~fake).sum()) for s in (*values, np.inf)]
    accepted = values <= fair.value
    assert 2 * accepted[~fake].sum() / (accepted.sum() + (~fake).sum()) == pytest.approx(max(f1))


def test_a_threshold_of_reals_needs_no_rate(make_table: Make) -> None:
    few = make_table(4)
    assert protocols.percentile_of_reals(few, "rmse").value == np.percentile(few.values("rmse")[:4], 80)
    with pytest.raises(CalibrationError, match="cannot support"):
        protocols.thesis_thresholds(few, few, "rmse", kept=("pooled", "strict"), false_alarm=0.1)


def shared(one: ScoreTable, other: ScoreTable) -> SharedFaces:
    return SharedFaces.of(one, other, "rmse", resamples=50, seed=0)


def test_noise_and_leak_are_measured_together_where_they_cannot_be_parted(make_table: Make) -> None:
    faces = shared(make_table(60, seed=1), make_table(60, seed=2))
    alone, leaky = noise(faces, faces=1000), leak(faces, share=0.4, faces=1000)
    both = leak(faces, share=0.4, uniform=True, faces=1000)
    assert [one.name for one in (alone, leaky, both)] == ["uniform noise", "leak", "leak and uniform noise"]
    assert alone.figures == leaky.figures == both.figures
    assert "uniform" in both.published and "normal noise" in both.sound and "uniform" not in leaky.published


def test_two_detectors_are_joined_by_face_whatever_the_order(make_table: Make) -> None:
    one, other = make_table(60, seed=1), make_table(60, seed=2, shift=0.2)
    shuffled = other.take(np.random.default_rng(0).permutation(len(other))[:90])
    found = leak(shared(one, shuffled), share=0.4, faces=1000)
    both = one.take(np.isin(one.strings("face"), shuffled.strings("face")))
    straight = leak(shared(both, other), share=0.4, faces=1000)
    assert found.to_dict() == straight.to_dict()
    assert "40% of the judged faces" in found.published
    with pytest.raises(DataError, match="no face in common"):
        shared(one, make_table(60, seed=2, face=[f"g{i}" for i in range(120)]))


def test_choosing_the_same_epoch_gains_nothing_and_says_so(make_table: Make) -> None:
    first, second = make_table(60, seed=1), make_table(60, seed=1, shift=2.0)
    same = selection(shared(second, second), on_test=2, on_reals=2, checkpoints=2).to_dict()
    assert same["figures"]["auroc"]["difference"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "same epoch" in same["note"]
    other = selection(shared(second, first), on_test=2, on_reals=1, checkpoints=2).to_dict()
    assert other["figures"]["auroc"]["difference"]["low"] > 0 and "2 checkpoints" in other["note"]


def test_trivial_statistics_with_gaps_are_left_out(make_table: Make) -> None:
    table = make_table(30)
    sample = Sample.of(table, "rmse", resamples=20, seed=0)
    assert protocols.evaluated_scores(sample, "rmse") == ["rmse", "bytes"]
    assert set(protocols.rankings(sample, "rmse")) == {"rmse", "bytes"}
    gaps = table.table.set_column(
        table.table.column_names.index("bytes"), "bytes", [[None, *table.values("bytes")[1:]]]
    )
    holey = ScoreTable(table=gaps, scores=table.scores, baselines=table.baselines)
    assert protocols.evaluated_scores(Sample.of(holey, "rmse", resamples=20, seed=0), "rmse") == ["rmse"]
