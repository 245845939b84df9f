"""The command line as a user meets it: help that answers at once, errors of one line, exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import draw_face, jpeg, write_set
from verovolto import cli
from verovolto.scoring.detector import JSON_NAME, WEIGHTS_NAME


def verovolto(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object
) -> tuple[int, str, str]:
    """Run a command in this process: exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["verovolto", *map(str, words)])
    monkeypatch.setattr(cli.app, "config", ())
    with pytest.raises(SystemExit) as left:
        cli.main()
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    return lambda *words: verovolto(capsys, monkeypatch, *words)


@pytest.fixture
def refused(run):  # type: ignore[no-untyped-def]
    """Run a command that must fail: exit code 2 and one line; returns the line."""

    def check(*words: object) -> str:
        code, _, err = run(*words)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert code == 2 and len(lines) == 1, err
        assert "Traceback" not in err
        return str(lines[0])

    return check


SMALL = ("--size", 8, "--latent", 4, "--epochs", 1, "--batch-size", 8, "--threads", 1, "--precision", "32")


@pytest.fixture(scope="module")
def trained(face_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from verovolto.training.config import TrainConfig
    from verovolto.workflows.train import run_training

    out = tmp_path_factory.mktemp("trained") / "run"
    return run_training(
        TrainConfig(
            data=face_set, model="oc-ae", out=out, size=8, latent=4, epochs=1, batch_size=8, threads=1
        )
    )


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['verovolto', '--help']\n"
        "from verovolto import cli\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'matplotlib', 'sklearn', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("train", "evaluate", "compare", "models", "demo", "data"):
        assert command in done.stdout


@pytest.mark.parametrize(
    "command", [["train"], ["evaluate"], ["compare"], ["models"], ["demo"], ["data", "split"]]
)
def test_every_command_explains_itself(run, command: list[str]) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run(*command, "--help")
    assert code == 0 and "Usage: verovolto" in out


def test_train_evaluate_compare(run, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run(
        "train", "--data", face_set, "--model", "oc-fakedect1", "--out", tmp_path / "run", *SMALL
    )
    assert code == 0, err
    assert "verovolto evaluate" in out
    code, _, err = run(
        "evaluate", tmp_path / "run", "--data", face_set, "--out", tmp_path / "test", "--resamples", 50
    )
    assert code == 0, err
    metrics = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert {"value", "low", "high"} <= metrics["auroc"].keys()
    assert (tmp_path / "test" / "report.html").stat().st_size > 10_000
    run(
        "train",
        "--data",
        face_set,
        "--model",
        "oc-fakedect2",
        "--out",
        tmp_path / "twin",
        "--from",
        tmp_path / "run",
    )
    run("evaluate", tmp_path / "twin", "--data", face_set, "--out", tmp_path / "twin-test", "--resamples", 50)
    code, out, err = run("compare", tmp_path / "test", tmp_path / "twin-test", "--out", tmp_path / "both")
    assert code == 0, err
    assert "auroc" in out.lower()


def test_a_toml_file_gives_the_flags_and_flags_win(run, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "run.toml"
    file.write_text(
        f'data = "{face_set}"\nmodel = "oc-ae"\nsize = 8\nlatent = 4\nepochs = 3\nbatch_size = 8\nthreads = 1\n'
    )
    code, _, err = run("train", "--config", file, "--out", tmp_path / "run", "--epochs", 1)
    assert code == 0, err
    stored = (tmp_path / "run" / "config.toml").read_text()
    assert "epochs = 1\n" in stored and "size = 8\n" in stored
    # The configuration a run keeps can be given again.
    code, _, err = run("train", "--config", tmp_path / "run" / "config.toml", "--out", tmp_path / "again")
    assert code == 0, err


def test_a_toml_file_with_an_unknown_key(run, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "run.toml").write_text(f'data = "{face_set}"\nmodel = "oc-ae"\nepocs = 3\n')
    code, _, err = run("train", "--config", tmp_path / "run.toml", "--out", tmp_path / "run")
    assert code == 2 and "epocs" in err and "epochs" in err


@pytest.mark.parametrize(
    ("text", "match"), [(None, "no configuration file"), ("size = = 3", "no valid TOML")]
)
def test_a_missing_or_broken_toml_file(refused, tmp_path: Path, text: str | None, match: str) -> None:  # type: ignore[no-untyped-def]
    if text is not None:
        (tmp_path / "run.toml").write_text(text)
    assert match in refused("train", "--config", tmp_path / "run.toml")


def test_an_unknown_command_is_answered_with_the_nearest(run) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run("trian")
    assert code == 2 and "train" in out + err


def test_an_empty_folder(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty").mkdir()
    for words in (
        ["data", "info", tmp_path / "empty"],
        ["train", "--data", tmp_path / "empty", "--model", "oc-ae", "--out", tmp_path / "o"],
    ):
        assert "empty" in refused(*words)


def test_no_folder(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "does not exist" in refused("data", "info", tmp_path / "nowhere")


def test_wrong_columns(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.jpg").write_bytes(jpeg(draw_face(1)))
    (tmp_path / "manifest.csv").write_text("file,klass\na.jpg,real\n")
    assert "manifest.csv" in refused("data", "info", tmp_path)


def test_a_shared_identity(refused, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = write_set(tmp_path / "faces", train=12, people=4)
    (data / "manifest.csv").write_text((data / "manifest.csv").read_text().replace("val0,", "train0,"))
    assert "train0" in refused("train", "--data", data, "--model", "oc-ae", "--out", tmp_path / "run", *SMALL)
    assert "train0" in refused("data", "split", data, "--check")


def test_a_size_the_model_cannot_take(refused, face_set: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    line = refused(
        "train", "--data", face_set, "--model", "resnet-ocvae2", "--size", 100, "--out", tmp_path / "run"
    )
    assert "size 100 does not fit a ResNet" in line and "multiple of 32" in line
    assert not (tmp_path / "run").exists()


def test_missing_weights_leave_no_run_behind(  # type: ignore[no-untyped-def]
    refused, run, face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def offline(*_args: object, **_options: object) -> None:
        (tmp_path / "run" / "weights").mkdir(parents=True)  # as torch.hub does first of all
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torchvision.models.ResNet18_Weights.get_state_dict", offline)
    words = (
        "train",
        "--data",
        face_set,
        "--model",
        "resnet-ocvae1",
        "--out",
        tmp_path / "run",
        "--size",
        32,
        *SMALL[2:],
    )
    assert "--weights none" in refused(*words)
    code, _, err = run(*words, "--weights", "none")
    assert code == 0, err


def test_unreadable_images_past_the_share(refused, run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = write_set(tmp_path / "faces", train=12, people=4)
    whole = (data / "train" / "real" / "001.jpg").read_bytes()
    (data / "train" / "real" / "001.jpg").write_bytes(whole[: len(whole) // 2])
    line = refused("train", "--data", data, "--model", "oc-ae", "--out", tmp_path / "run", *SMALL)
    assert "001.jpg" in line and "--max-unreadable" in line
    code, out, _ = run(
        "train",
        "--data",
        data,
        "--model",
        "oc-ae",
        "--out",
        tmp_path / "run",
        *SMALL,
        "--max-unreadable",
        0.2,
    )
    assert code == 2, "the share is part of the configuration of a run"
    code, out, _ = run(
        "train",
        "--data",
        data,
        "--model",
        "oc-ae",
        "--out",
        tmp_path / "run2",
        *SMALL,
        "--max-unreadable",
        0.2,
    )
    assert code == 0 and "001.jpg" in out


def test_a_detector_of_another_version_and_a_tampered_one(
    refused, trained: Path, face_set: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(trained / "detector", tmp_path / "newer")
    shutil.copytree(trained / "detector", tmp_path / "tampered")
    description = json.loads((tmp_path / "newer" / JSON_NAME).read_text())
    (tmp_path / "newer" / JSON_NAME).write_text(json.dumps(description | {"schema_version": 2}))
    with (tmp_path / "tampered" / WEIGHTS_NAME).open("ab") as handle:
        handle.write(b"x")
    rest = ("--data", face_set, "--out", tmp_path / "out")
    assert "schema version 2" in refused("evaluate", tmp_path / "newer", *rest)
    assert "changed or damaged" in refused("evaluate", tmp_path / "tampered", *rest)
    assert not (tmp_path / "out").exists()


def test_a_false_alarm_rate_the_sample_cannot_support(
    refused, trained: Path, face_set: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    line = refused("evaluate", trained, "--data", face_set, "--out", tmp_path / "out", "--false-alarm", 0.001)
    assert "999" in line


def test_a_full_disk(refused, face_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("verovolto.files.os.fsync", full)
    line = refused("train", "--data", face_set, "--model", "oc-ae", "--out", tmp_path / "run", *SMALL)
    assert "disk is full" in line


def test_models_are_listed(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("models")
    assert code == 0
    for word in ("resnet-ocvae-latent", "41,644,288", "22,876,416", "23,729,776", "13,895,827", "Khalid"):
        assert word in out
