"""What a reproduction will take, said beforehand; and that it keeps no more than it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import write_set
from tests.thesis.test_reproduce import plan
from verovolto.core.workdir import Steps
from verovolto.thesis import estimate as estimates
from verovolto.thesis.estimate import Estimate, estimate, missing_space
from verovolto.thesis.experiments.controls import GRID
from verovolto.thesis.pipeline import run_reproduction
from verovolto.thesis.plan import PARTS, Context, Plan
from verovolto.thesis.splits import make_protocol_splits


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("estimated"), train=40, people=14)


def context(settings: Plan) -> Context:
    steps = Steps(folder=settings.out / "steps")
    splits = steps.take("splits", lambda folder: make_protocol_splits(settings, folder), inputs={})
    return Context(plan=settings, steps=steps, splits=splits)


def test_trainings_are_counted_and_disk_follows(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "_measured", lambda config: (0.5, 0.125, 1_000_000))
    settings = plan(faces, tmp_path, models=("oc-fakedect1", "oc-fakedect2", "oc-ae"), parts=PARTS)
    found = estimate(context(settings))
    assert found is not None
    # Two networks, of which one serves two models; a placebo and levels of 5 and 10 % (1 % of 40 is none).
    assert found.trainings == {
        "by the protocols": 4, "with forged faces among the reals": 6, "as controls": len(GRID)
    }  # fmt: skip
    # Two epochs kept, the best, a state of three times the weights, the detector; a detector a control.
    assert found.stays == 4_000_000 * (4 * (2 + 1 + 3 + 1) + len(GRID))
    assert found.most == found.stays + 4_000_000 * 3 * 4
    trained = 4 * 2 * 40 + 6 * 2 * 40 + len(GRID) * 4 * 40
    assert found.seconds > 0.5 * trained
    assert found.text().startswith(
        "networks to train: by the protocols 4, with forged faces among the reals 6, as controls 14;"
    )


def test_what_is_done_is_not_counted_again_and_the_disk_holds_what_was_said(
    faces: Path, tmp_path: Path, undrawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = plan(faces, tmp_path, parts=("contamination",), protocols=("honest",))
    said = estimate(context(settings))
    assert said is not None
    shutil.rmtree(tmp_path)
    run_reproduction(settings)
    assert "networks to train: by the protocols 1, with" in capsys.readouterr().out
    kept = sum(
        path.stat().st_size
        for path in (tmp_path / "runs").rglob("*.*")
        if path.suffix in (".ckpt", ".safetensors")
    )
    assert kept == pytest.approx(
        said.stays, rel=0.25
    )  # archives, and what a small network's state holds beside weights
    run_reproduction(settings)
    assert "networks to train" not in capsys.readouterr().out


def test_a_dry_run_trains_nothing(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = plan(faces, tmp_path / "out", parts=("contamination",), protocols=("honest",), dry_run=True)
    assert run_reproduction(settings) is None
    assert "with forged faces among the reals 3; about 1 min" in capsys.readouterr().out
    assert not (tmp_path / "out" / "runs").exists()


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    found = Estimate(trainings={"as controls": 1}, seconds=7200, stays=10**6, most=10**18)
    assert "2 h 00 min" in found.text() and "1 MB of disk at the end" in found.text()
    assert "1000000000.0 GB may be needed" in (missing_space(found, tmp_path / "not" / "there") or "")
    assert missing_space(Estimate(trainings={}, seconds=0, stays=0, most=0), tmp_path) is None
