"""Losses also go where `--logger` says, stay on this machine, and go on in the same run when a training does."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.training.test_fit import tiny
from verovolto.core.errors import InputError
from verovolto.core.files import read_json_object
from verovolto.training import fit
from verovolto.training.callbacks import read_log
from verovolto.training.fit import run
from verovolto.training.loggers import RECORD


def test_csv_alone(face_set: Path, tmp_path: Path) -> None:
    out = run(tiny(face_set, tmp_path / "run", epochs=1, logger="csv"))
    assert {path.name for path in out.iterdir()} == {
        "checkpoints", "config.toml", "detector", "metrics.csv", "run.json",
    }  # fmt: skip


def test_another_logger_is_no_other_run(face_set: Path, tmp_path: Path) -> None:
    run(tiny(face_set, tmp_path / "run", epochs=1, logger="csv"))
    out = run(tiny(face_set, tmp_path / "run", epochs=2, logger="tensorboard"))
    assert len(read_log(out / "metrics.csv")) == 2 and list((out / "tensorboard").glob("events.*"))


@pytest.mark.slow
def test_mlflow_in_a_database_of_the_run_folder(
    face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="the extra mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "my run"
    for epochs in (1, 2):
        run(tiny(face_set, out, epochs=epochs, logger="mlflow"))
    with sqlite3.connect(out / "mlflow.db") as database:
        [(name, known)] = database.execute("select name, run_uuid from runs").fetchall()
        values = database.execute(
            "select value from metrics where key = 'val_loss' order by step, timestamp"
        ).fetchall()
        [(seed,)] = database.execute("select value from params where key = 'seed'").fetchall()
    assert (name, known, seed) == ("my run", read_json_object(out / RECORD)["mlflow"], "3")
    logged = [float(row["val_loss"]) for row in read_log(out / "metrics.csv")]
    assert [value for (value,) in values] == pytest.approx(logged, rel=1e-5) and len(logged) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["my run"], "nothing is written beside it"


@pytest.mark.slow
def test_wandb_offline(face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    for name in ("WANDB_MODE", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "WANDB_SILENT"):
        monkeypatch.setenv(name, "")  # put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    out = run(tiny(face_set, tmp_path / "run", epochs=1, logger="wandb"))
    [kept] = (out / "wandb").glob("offline-run-*")
    known = read_json_object(out / RECORD)["wandb"]
    [log] = kept.glob("*.wandb")
    assert known in kept.name and b"val_loss" in log.read_bytes()
    assert not (tmp_path / "home").exists(), "nothing is written into the home folder"


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_what_is_not_installed_is_said_first(
    face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(fit, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf'verovolto\[{name}\]"'):
        run(tiny(face_set, tmp_path / "run", logger=name))
    assert not (tmp_path / "run").exists()


def test_unknown_loggers_are_refused(command_line: Command, face_set: Path, tmp_path: Path) -> None:
    words = ("--data", face_set, "--model", "oc-ae", "--out", tmp_path / "run", "--logger", "comet")
    code, _, err = command_line("train", *words)
    assert code == 2 and "comet" in err and "mlflow" in err
    code, _, err = command_line("train", *words[:3], "mahalanobis", *words[4:-1], "wandb")
    assert code == 2 and "makes nothing of --logger" in err
