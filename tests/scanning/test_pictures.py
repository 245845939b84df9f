"""A scan of many files keeps pictures of the most severe alone."""

from __future__ import annotations

import pytest

from verovolto.scanning import run
from verovolto.scanning.result import FileResult, FrameScore, KeyFrame, TrackResult


def result(number: int, *, p_value: float) -> FileResult:
    frame_score = FrameScore(frame=0, time_s=0.0, score=1.0, p_value=p_value, box=(0.0, 0.0, 1.0, 1.0))
    box = (0.0, 0.0, 1.0, 1.0)
    key_frames = KeyFrame(frame_score=frame_score, crop=b"", anomaly_map=None, context=b"", context_box=box)
    track = TrackResult(
        id=0,
        verdict="no sign found",
        p_value=p_value,
        seen=1,
        start_s=0.0,
        end_s=0.0,
        frame_scores=(frame_score,),
        key_frames=(key_frames,),
    )
    return FileResult(path=str(number), verdict="no sign found", p_value=p_value, tracks=(track,))


def test_pictures_of_the_gravest_are_kept_and_every_result_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PICTURED", 3)
    told: list[float] = []
    gathered = run._Results(lambda done, total: told.append(done / total), 20)
    values = [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.05, *(1.0 for _ in range(12))]
    for at, p_value in enumerate(values):
        gathered.add(at, result(at, p_value=p_value))
        assert sum(one.pictured for one in gathered._results.values()) <= 6
    found = gathered.in_order()
    assert [one.path for one in found] == [str(at) for at in range(20)] and told[-1] == 1.0
    kept = {one.path for one in found if one.pictured}
    assert {"1", "7", "3"} <= kept
    assert [one.p_value for one in found] == values
