"""Two versions in turn: which figures come out of the rounds, and what is called different."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "before_after.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))  # as Python does for a script
    return runpy.run_path(str(SCRIPT))


def rounds(*seconds: float, **judged: Any) -> list[dict[str, Any]]:
    face = {"verdicts": ["suspect"], "p_values": [0.01], "scores": [1.0, 2.0]}
    other = {"verdicts": [], "p_values": [], "scores": []}
    return [{"figures": {"all": each}, "judged": {"a": {**face, **judged}, "b": other}} for each in seconds]


def test_ratios_are_those_of_the_rounds(script: dict[str, Any]) -> None:
    found = script["compare"]({"before": rounds(2.0, 6.0, 9.0), "now": rounds(1.0, 2.0, 9.0)})
    assert found["figures"] == {"all": {"before": 6.0, "now": 2.0, "ratio": 2.0}}
    assert found["files"] == 2 and found["score_difference"] == 0
    assert not any(found[name] for name in ("other_verdicts", "other_p_values", "other_faces"))


def test_what_a_version_makes_of_a_file_is_compared(script: dict[str, Any]) -> None:
    now = rounds(1.0, verdicts=["no sign found"], p_values=[0.2], scores=[1.0, 2.5])
    found = script["compare"]({"before": rounds(1.0), "now": now})
    assert (found["other_verdicts"], found["other_p_values"], found["other_faces"]) == (1, 1, 0)
    assert found["score_difference"] == 0.5
    found = script["compare"]({"before": rounds(1.0), "now": rounds(1.0, scores=[1.0])})
    assert (found["other_faces"], found["score_difference"]) == (1, 0.0)
