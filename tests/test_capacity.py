"""The simulated queue is the one that queueing theory knows, and the day is the one asked for."""

from __future__ import annotations

import math
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def capacity() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "capacity.py"))


@pytest.mark.parametrize(("servers", "load"), [(1, 0.5), (3, 0.8)])
def test_waits_are_those_of_erlang(capacity: dict[str, Any], servers: int, load: float) -> None:
    """M/M/c: the share that waits is Erlang's C, the mean wait follows from it (Kleinrock 1975, section 3.5)."""
    random, files = np.random.default_rng(1), 40_000
    offered = servers * load
    times = np.cumsum(random.exponential(1 / offered, files))
    found = capacity["simulate"](times, [(servers, random.exponential(1.0, files))])
    terms = [offered**number / math.factorial(number) for number in range(servers)]
    full = offered**servers / math.factorial(servers) / (1 - load)
    waiting = full / (sum(terms) + full)
    assert (found["waits"] > 0).mean() == pytest.approx(waiting, rel=0.05)
    assert found["waits"].mean() == pytest.approx(waiting / (servers - offered), rel=0.1)
    assert found["utilisation"] == [pytest.approx(load, rel=0.03)]
    assert found["queue"].mean() == pytest.approx(offered * found["waits"].mean(), rel=0.1), "Little's law"


def test_a_second_station_has_a_queue_of_its_own(capacity: dict[str, Any]) -> None:
    times = np.arange(4.0)
    found = capacity["simulate"](times, [(4, np.ones(4)), (1, np.full(4, 3.0))])
    assert found["waits"].tolist() == [0, 2, 4, 6]
    assert found["utilisation"] == [4 / (4 * 13), 12 / 13] and found["queue"].tolist() == [0, 0, 0, 1]


def test_a_day_has_its_number_its_length_and_its_swing(capacity: dict[str, Any]) -> None:
    load = capacity["Load"](per_day=50_000, seconds=30.0, swing=0.5)
    times, lengths = capacity["day_of"](load, np.random.default_rng(0))
    assert len(times) == len(lengths) == pytest.approx(50_000, rel=0.02)
    assert (np.diff(times) >= 0).all() and times[0] >= 0 and times[-1] < 86400
    assert lengths.mean() == pytest.approx(30, rel=0.05)
    noon = ((times > 10.8e3 * 3) & (times < 10.8e3 * 5)).sum()
    night = (times < 10.8e3).sum() + (times > 10.8e3 * 7).sum()
    assert noon / night == pytest.approx((1 + 0.45) / (1 - 0.45), rel=0.05)


def test_the_tables(
    capacity: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    words = ["--stage-costs", "0.1", "0.2", "0.3", "0.0", "--per-day", "2880", "--seconds", "30", "--loads", "0.5",
             "--gpus", "1", "--per-file", "0"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["capacity.py", *words])
    capacity["main"]()
    out = capsys.readouterr().out
    assert "2,880 videos of 30 s a day are 1 seconds of video a second" in out
    assert "| 2 (mean load 50%) |" in out and out.count("\n| 1 | 1 |") == 1
    monkeypatch.setattr(sys, "argv", ["capacity.py", "--costs", str(tmp_path / "none.json")])
    with pytest.raises(SystemExit, match=r"run benchmarks/scan.py first"):
        capacity["main"]()
